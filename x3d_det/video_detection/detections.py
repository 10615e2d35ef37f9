"""The results of one video, one after another, and what there is to know of the run."""

import logging
import weakref
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from x3d_det.video_detection.frames import ShownFrame, SourceInfo
from x3d_det.video_detection.pipeline import Pipeline, Progress
from x3d_det.video_detection.results import KeyframeActions

_logger = logging.getLogger(__name__)
_Item = TypeVar("_Item", KeyframeActions, KeyframeActions | ShownFrame)


class Detections(Generic[_Item]):
    """The results of one video, an iterator; and what there is to know of the run.

    A video that breaks off gives what came before, and `damage` says what broke it.
    Closing it early, or letting go of it, ends its threads; so does the end of its `with` block.
    """

    def __init__(self, pipeline: Pipeline, *, warns: bool = False) -> None:
        self._pipeline = pipeline
        self._warns = warns
        self._items = pipeline.run()
        # A run that nobody ever asked for a result has no `finally` that would close a camera.
        self._closing: weakref.finalize = weakref.finalize(self, pipeline.close)
        self._closing.atexit = False

    def __iter__(self) -> Iterator[_Item]:
        return self

    def __next__(self) -> _Item:
        try:
            item: Any = next(self._items)
        except StopIteration:
            if self._warns and self.damage is not None:
                _logger.warning("%s What came before is here.", self.damage)
                self._warns = False
            raise
        return item

    @property
    def info(self) -> SourceInfo:
        """Size, rate and length of the video."""
        return self._pipeline.source.info

    @property
    def progress(self) -> Progress:
        """Counts, the time of each stage, and notes; may be read at any time."""
        return self._pipeline.progress

    @property
    def notes(self) -> tuple[str, ...]:
        """What the caller should know, complete after the last result: seconds with boxes that
        the video does not have."""
        return tuple(self._pipeline.progress.notes)

    @property
    def damage(self) -> str | None:
        """What broke the video and at which second; None, after the last result: it was whole."""
        return self._pipeline.progress.damage

    @property
    def num_decoded(self) -> int:
        """Frames decoded."""
        return self._pipeline.source.num_decoded

    @property
    def num_dropped(self) -> int:
        """Frames of a camera or stream that came faster than they were seen."""
        return self._pipeline.source.num_dropped

    def close(self) -> None:
        """End all threads and let go of the video; results that waited are lost."""
        self._items.close()
        self._closing()

    def __enter__(self) -> "Detections[_Item]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
