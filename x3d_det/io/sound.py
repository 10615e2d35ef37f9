"""The sound of a media file, carried along into another one beside its picture."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from x3d_det.errors import VideoError

# MP4 holds these as they are; any other sound is encoded again, as AAC.
_COPIED = frozenset({"aac", "mp3", "mp3float", "ac3", "eac3", "alac"})


class SoundTrack:
    """The first sound stream of a file, on its way into an opened mp4.

    Args:
        path: the media file; without sound in it nothing is written.
        container: the mp4 being written, its picture stream added, nothing muxed yet.
        start_seconds: second of the sound that plays with the first picture; sound before
            it is left out.

    Raises:
        VideoError: the file cannot be read.
    """

    def __init__(self, path: Path, container: Any, *, start_seconds: float) -> None:
        self._container = container
        self._pending: tuple[float, Any] | None = None
        self._packets = self._open(path, start_seconds)

    def mux_until(self, end_seconds: float) -> None:
        """Hand on the sound before `end_seconds`: side by side with the picture, a few kB held."""
        while self._packets is not None:
            if self._pending is None:
                self._pending = next(self._packets, None)
            if self._pending is None:
                self._packets = None
                return
            if self._pending[0] >= end_seconds:
                return
            self._container.mux(self._pending[1])
            self._pending = None

    def _open(self, path: Path, start_seconds: float) -> Iterator[tuple[float, Any]] | None:
        """Return (second in the new file, packet) for the sound; None without sound."""
        try:
            source = av.open(str(path))
        except (av.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise VideoError(f"{path}: sound cannot be read: {reason}.") from error
        if not source.streams.audio:
            source.close()
            return None
        read = source.streams.audio[0]
        if read.codec_context.name in _COPIED:
            written = self._container.add_stream_from_template(read)
            return _copied(source, read, written, start_seconds)
        written = self._container.add_stream("aac", rate=read.codec_context.sample_rate)
        return _encoded(source, read, written, start_seconds)


def _copied(
    source: Any, read: Any, written: Any, start_seconds: float
) -> Iterator[tuple[float, Any]]:
    offset = round(start_seconds / read.time_base) + (read.start_time or 0)
    with source:
        for packet in source.demux(read):
            if packet.dts is None or packet.pts is None or packet.pts < offset:
                continue
            packet.pts -= offset
            packet.dts = max(packet.dts - offset, 0)
            packet.stream = written
            yield float(packet.pts * packet.time_base), packet


def _encoded(
    source: Any, read: Any, written: Any, start_seconds: float
) -> Iterator[tuple[float, Any]]:
    start_seconds += float((read.start_time or 0) * read.time_base)
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=written.rate)
    num_samples: int | None = None
    with source:
        for frame in source.decode(read):
            late_seconds = 0.0 if frame.time is None else frame.time - start_seconds
            if late_seconds < 0:
                continue
            if num_samples is None:
                num_samples = round(late_seconds * written.rate)
            for piece in resampler.resample(frame):
                piece.pts, piece.time_base = num_samples, Fraction(1, written.rate)
                num_samples += piece.samples
                for packet in written.encode(piece):
                    yield float(packet.pts * packet.time_base), packet
        for packet in written.encode(None):
            yield float(packet.pts * packet.time_base), packet
