"""The drawn video of a run: persons that move between keyframes, drawn here, coded beside."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from x3d_det.io.video_writer import VideoWriter
from x3d_det.video_detection.encoding import EncodingThread, encoding
from x3d_det.video_detection.frames import ShownFrame, SourceInfo
from x3d_det.video_detection.moving import MovingPersons
from x3d_det.video_detection.results import KeyframeActions, PersonActions
from x3d_det.visualization.draw import Caption, DrawnPerson, draw_persons
from x3d_det.visualization.names import short_action_names
from x3d_det.visualization.placement import PlateMemory


class VideoDrawing:
    """Draws frame after frame; made by `drawn_video`.

    Attributes:
        num_frames: drawn so far.
        done_seconds: second of the source that is reached.
        seconds: of drawing so far.
        encode_seconds: of coding, beside it.
    """

    def __init__(
        self,
        encoder: EncodingThread,
        info: SourceInfo,
        *,
        action_names: Mapping[int, str],
        hold_seconds: float,
        score_threshold: float,
        top_k: int,
    ) -> None:
        self.num_frames = 0
        self.seconds = self.done_seconds = 0.0
        self._encoder, self._info = encoder, info
        self._short_names = short_action_names(action_names)
        self._score_threshold, self._top_k = score_threshold, top_k
        self._moving = MovingPersons(hold_seconds=hold_seconds)
        self._memory = PlateMemory()
        self._first_seconds: float | None = None

    @property
    def encode_seconds(self) -> float:
        return self._encoder.seconds

    def add(self, keyframe: KeyframeActions) -> None:
        """Take a keyframe's persons; it comes ahead of the frames that show them."""
        self._moving.add(keyframe)

    def draw(self, frame: ShownFrame) -> None:
        """Draw a frame and have it coded.

        Raises:
            VideoError: the video cannot be written.
        """
        started = time.perf_counter()
        if self._first_seconds is None:
            self._first_seconds = frame.seconds
        persons = self._moving.at(frame.seconds, shot=frame.shot)
        drawn_HWC = draw_persons(
            frame.rgb_HWC(),
            [self._drawn(person) for person in persons],
            score_threshold=self._score_threshold,
            top_k=self._top_k,
            caption=Caption(text=f"{frame.seconds:.2f} s"),
            memory=self._memory,
        )
        self.seconds += time.perf_counter() - started
        self._encoder.write(drawn_HWC, seconds=frame.seconds - self._first_seconds)
        self.num_frames += 1
        self.done_seconds = max(self.done_seconds, frame.seconds + frame.duration_seconds)

    def _drawn(self, person: PersonActions) -> DrawnPerson:
        x1, y1, x2, y2 = person.box_norm
        width, height = self._info.width, self._info.height
        assert person.track_id is not None
        return DrawnPerson(
            box_xyxy_px=(x1 * width, y1 * height, x2 * width, y2 * height),
            labels=[(self._short_names[a.action_id], a.score) for a in person.actions],
            person_id=person.track_id,
            color_index=person.track_id - 1,
            tag=str(person.track_id),
        )


@contextlib.contextmanager
def drawn_video(
    path: Path,
    info: SourceInfo,
    *,
    action_names: Mapping[int, str],
    hold_seconds: float,
    score_threshold: float,
    top_k: int,
    keeps_sound: bool,
    start_seconds: float,
) -> Iterator[VideoDrawing]:
    """Yield the drawing of a video, whose file appears when the block ends without an error.

    A block that draws no frame leaves no file.

    Args:
        path: of the mp4.
        info: of the source.
        action_names: by id.
        hold_seconds: a person is shown so long before the first and after the last keyframe.
        score_threshold: an action with this score or more is drawn.
        top_k: most actions a person.
        keeps_sound: carry the source's sound along, where it has any.
        start_seconds: second of the source that its first drawn frame is near to.

    Raises:
        VideoError: the video cannot be written.
    """
    has_sound = keeps_sound and info.has_audio and info.path is not None
    writer = VideoWriter(
        path,
        height=info.height,
        width=info.width,
        fps=info.fps,
        audio_from=info.path if has_sound else None,
        audio_start_seconds=start_seconds,
    )
    with contextlib.suppress(_NoFrame), writer:
        with encoding(writer) as encoder:
            drawing = VideoDrawing(
                encoder,
                info,
                action_names=action_names,
                hold_seconds=hold_seconds,
                score_threshold=score_threshold,
                top_k=top_k,
            )
            yield drawing
        if not drawing.num_frames:
            raise _NoFrame


class _NoFrame(Exception):
    """No frame was shown: a video without any cannot be written, and is none."""
