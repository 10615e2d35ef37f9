"""Drawn frames coded on a thread of their own while the next ones are drawn."""

import contextlib
import threading
import time
from collections.abc import Iterator

import numpy as np

from x3d_det.io.video_writer import VideoWriter
from x3d_det.video_detection.channel import Channel, Closed

_MOST_WAITING = 4  # frames; more would only take memory, coding is as fast at the end as before


class EncodingThread:
    """Hands frames to a writer, in their order; made by `encoding`.

    Attributes:
        seconds: of work so far.
    """

    def __init__(self, writer: VideoWriter) -> None:
        self.seconds = 0.0
        self._writer = writer
        self._frames: Channel[tuple[np.ndarray, float] | None] = Channel(_MOST_WAITING)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="x3d_det encode", daemon=True)
        self._thread.start()

    def write(self, frame_HWC: np.ndarray, seconds: float) -> None:
        """Have a frame coded; see `VideoWriter.write`. It must not be changed afterwards.

        Raises:
            VideoError: this one or one before could not be written.
        """
        try:
            self._frames.put((frame_HWC, seconds))
        except Closed:
            self._raise_error()

    def finish(self) -> None:
        """Wait until all frames are coded.

        Raises:
            VideoError: one of them could not be written.
        """
        with contextlib.suppress(Closed):
            self._frames.put(None)
        self._thread.join()
        self._raise_error()

    def give_up(self) -> None:
        """End the thread; frames that wait are dropped."""
        self._frames.close()
        self._thread.join()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while (item := self._frames.get()) is not None:
                started = time.perf_counter()
                self._writer.write(*item)
                self.seconds += time.perf_counter() - started
        except Closed:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._frames.close()


@contextlib.contextmanager
def encoding(writer: VideoWriter) -> Iterator[EncodingThread]:
    """Yield a thread that codes for `writer`, inside the writer's own `with` block.

    Raises:
        VideoError: a frame could not be written; at the latest when the block ends.
    """
    thread = EncodingThread(writer)
    try:
        yield thread
        thread.finish()
    finally:
        thread.give_up()
