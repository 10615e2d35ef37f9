"""What an import from an annotation tool gives, and what all imports are asked.

The readers `read_cvat`, `read_via` and `read_coco_video` have one signature, `ImportReader`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from typing import Protocol

from x3d_det.errors import DataError
from x3d_det.io.ava_csv import AvaAnnotations
from x3d_det.io.label_map import LabelMap

FrameRate = Callable[[str], float | Fraction]
"""Video id -> frames a second of its file; raises `X3DDetError` where it is not known."""

FrameSize = Callable[[str], tuple[int, int]]
"""Video id -> (height, width) of its frames in pixels; raises as `FrameRate` does."""

MAX_VIDEO_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class ImportedAnnotations:
    """An export of an annotation tool in AVA's form.

    Args:
        annotations: rows with boxes in [0, 1] to six decimals, by video, second and person,
            then the keyframes at which nobody is boxed; `line` counts both from 1, as
            `write_annotations` writes them (an export has no lines of its own).
        label_map: the actions, given by the caller or as the export lists them.
        notes: what was left out or changed, in words with counts.
    """

    annotations: AvaAnnotations
    label_map: LabelMap
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What every import may be told; a reader's docstring says what it makes of the defaults.

    Args:
        fps: rate of a video, where the export counts frames and does not state it.
        frame_size: (height, width) of a video, where the export does not state it.
        keyframe_interval_seconds: keyframes stand at whole multiples of it, counted from
            the start of the file; 0 makes every annotated frame a keyframe at its own
            second; None is 1 where the export counts frames, 0 where it states seconds.
        video_start_seconds: second of the film that every file starts with (AVA's cuts:
            900); added to all.
        video_id: the only video of the export; None takes the export's own names.
        label_map: actions by name; a name that it lacks is a fault. None numbers the
            export's own names in their order, from 1 (COCO keeps its ids).
        person_label: the label or category that is a person and no action; None finds it.
        action_attribute: the attribute that holds the actions, or several with commas
            between; None finds it.
        first_frame_number: number that the first frame of a video has in the names of
            images and in frame ids: 0, or 1 as ffmpeg writes images.

    Raises:
        DataError: a number that cannot be.
    """

    fps: FrameRate | None = None
    frame_size: FrameSize | None = None
    keyframe_interval_seconds: float | None = None
    video_start_seconds: float = 0.0
    video_id: str | None = None
    label_map: LabelMap | None = None
    person_label: str | None = None
    action_attribute: str | None = None
    first_frame_number: int = 0

    def __post_init__(self) -> None:
        for name in ("keyframe_interval_seconds", "video_start_seconds"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= MAX_VIDEO_SECONDS:
                raise DataError(
                    f"{name} is {value}; it must be in 0 to {MAX_VIDEO_SECONDS:,} seconds."
                )
        if self.first_frame_number < 0:
            raise DataError(
                f"first_frame_number is {self.first_frame_number}; it must be 0 or more."
            )


DEFAULT_OPTIONS = ImportOptions()


class ImportReader(Protocol):
    """The signature of `read_cvat`, `read_via` and `read_coco_video`."""

    def __call__(
        self, path: str | PathLike[str], options: ImportOptions = DEFAULT_OPTIONS
    ) -> ImportedAnnotations:
        """Return the annotations of one export; a zip that holds it will do.

        Raises:
            DataError: every fault of the export at once, each with its place.
        """
        ...
