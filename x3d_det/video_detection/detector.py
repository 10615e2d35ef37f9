"""The Python interface: a trained detector that names the actions of everybody in a video."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from x3d_det.errors import ConfigError, did_you_mean
from x3d_det.persons import PersonDetector, PersonDetectorOptions
from x3d_det.persons.batches import torch_device
from x3d_det.tracking import PersonLinker, make_linker
from x3d_det.video_detection.detections import Detections
from x3d_det.video_detection.frames import ShownFrame, SourceInfo
from x3d_det.video_detection.linking import Numbering
from x3d_det.video_detection.persons import GivenBoxes, PersonFinder
from x3d_det.video_detection.pipeline import Pipeline
from x3d_det.video_detection.request import Request, Video
from x3d_det.video_detection.results import KeyframeActions, PersonActions, ScoredAction
from x3d_det.video_detection.trained import TrainedClasses, TrainedDetector, load_trained
from x3d_det.video_detection.window import ClipWindow, Look, Moment, Ready

Precision = Literal["float32", "bfloat16"]
_PRECISIONS = ("float32", "bfloat16")


class ActionDetector:
    """Persons and their actions in videos.

    Never changes after `load`: it may be pickled, and shared by any number of threads.
    """

    def __init__(
        self, trained: TrainedDetector, finder: PersonFinder, *, person_threshold: float
    ) -> None:
        self._trained = trained
        self._finder = finder
        self._person_threshold = person_threshold

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        *,
        persons: PersonDetector | PersonDetectorOptions | None = None,
        device: str = "auto",
        precision: Precision = "float32",
        person_threshold: float = 0.8,
        short_side: int | None = None,
    ) -> "ActionDetector":
        """Return a detector with the weights, clips and classes of a checkpoint.

        Args:
            checkpoint: `model.safetensors` of `tools/train_ava.py`, or a checkpoint of its run.
            persons: finds the persons. None, or options: the detector is made when a video
                first needs it, on `device`, and published weights are downloaded by then.
            device: of the network: cpu, cuda, cuda:N, or auto: a GPU where torch finds one.
            precision: arithmetic of the network, float32 or bfloat16.
            person_threshold: least person score in [0, 1].
            short_side: pixels of a frame's short side as the network sees it; None: as in the
                evaluation of the training.

        Raises:
            CheckpointError: the file is missing, damaged, or of no action detector.
            ConfigError: a value outside its range.
            X3DDetError: there is no such device.
        """
        if precision not in _PRECISIONS:
            raise ConfigError(
                f"precision is {precision!r}{did_you_mean(str(precision), _PRECISIONS)}; allowed "
                f"are {', '.join(_PRECISIONS)}."
            )
        if not 0 <= person_threshold <= 1:
            raise ConfigError(f"person_threshold is {person_threshold}; it must be in [0, 1].")
        if short_side is not None and short_side < 1:
            raise ConfigError(f"short_side is {short_side}; it must be 1 pixel or more.")
        trained = load_trained(
            checkpoint,
            device=torch_device(device),
            precision=precision,
            short_side_px=short_side,
        )
        finder = PersonFinder(PersonDetectorOptions(device=device) if persons is None else persons)
        return cls(trained, finder, person_threshold=person_threshold)

    @property
    def action_names(self) -> dict[int, str]:
        """Action id to name, of every action that a person is scored for."""
        return dict(self._trained.classes.names)

    @property
    def person_threshold(self) -> float:
        """Least person score in [0, 1]."""
        return self._person_threshold

    @property
    def clip_span_seconds(self) -> float:
        """From the first to the last frame of a keyframe's clip."""
        seconds = self._trained.clip_seconds(0.0)
        return float(seconds[-1] - seconds[0])

    def settings(self, *, boxes_given: bool = False) -> dict[str, Any]:
        """Return all that changes a result, for JSON; a run that goes on compares it.

        Args:
            boxes_given: leave out the person detector, which is then not made either.
        """
        trained = self._trained
        return {
            "checkpoint_sha256": trained.sha256,
            "precision": str(trained.network.backbone.dtype).removeprefix("torch."),
            "short_side": trained.short_side_px,
            "person_threshold": self._person_threshold,
            "persons": None if boxes_given else dict(self._finder.detector().settings),
        }

    def detect(
        self, video: Video, request: Request | None = None, *, tracker: str | None = "iou"
    ) -> "Detections[KeyframeActions]":
        """Return everybody at every keyframe, one keyframe after another, as they are ready.

        Memory does not grow with the video's length. Nothing is done before the first result
        is asked for, but for opening the video.

        Args:
            video: a file, the URL of a stream, the number of a camera, an iterable of uint8 RGB
                arrays (H, W, 3) of one size, or a `VideoSource`.
            request: which seconds, which persons; None: `Request()`, every second to the end.
            tracker: numbers the persons over time: "iou" by overlap, or one of the package
                `trackers` (see `tracking.LINKERS`); None leaves `track_id` None.

        Raises:
            VideoError: the video cannot be opened, or has no picture.
            DataError: boxes that cannot be used.
            ConfigError: a value that does not go with the video, or no such tracker.
        """
        return Detections(self._tracked(video, request, tracker, keeps_frames=False), warns=True)

    def detect_with_frames(
        self, video: Video, request: Request | None = None, *, tracker: str | None = "iou"
    ) -> "Detections[KeyframeActions | ShownFrame]":
        """Return what `detect` does and, among it, every frame of the range.

        A keyframe comes before the frames that are shown before it: who draws a frame knows the
        keyframe behind it and, if it is within `PipelineOptions.hold_seconds`, the one ahead.
        Frames come in the order of their seconds, and so do keyframes.

        Args and errors: as of `detect`.
        """
        return Detections(self._tracked(video, request, tracker, keeps_frames=True), warns=True)

    def run(
        self,
        video: Video,
        request: Request,
        *,
        keeps_frames: bool = False,
        linker: PersonLinker | None = None,
        known: Iterator[KeyframeActions] | None = None,
        num_known: int = 0,
    ) -> "Detections[KeyframeActions | ShownFrame]":
        """Return what `detect` or `detect_with_frames` does, with the first results known already.

        Args:
            video: as for `detect`.
            request: as for `detect`.
            keeps_frames: give the frames too.
            linker: numbers the persons, those of the known results too; None: nobody does.
            known: results of an earlier run of the same request, in their order.
            num_known: how many are taken from it.

        Raises:
            As `detect`; DataError: known results that are not those of the first moments.
        """
        return Detections(
            self._pipeline(
                video,
                request,
                keeps_frames=keeps_frames,
                linker=linker,
                known=known,
                num_known=num_known,
            )
        )

    def _tracked(
        self, video: Video, request: Request | None, tracker: str | None, *, keeps_frames: bool
    ) -> Pipeline:
        request = Request() if request is None else request
        linker = None
        if tracker is not None:
            linker = make_linker(tracker, spacing_seconds=request.interval_seconds)
        return self._pipeline(video, request, keeps_frames=keeps_frames, linker=linker)

    def _pipeline(
        self,
        video: Video,
        request: Request,
        *,
        keeps_frames: bool,
        linker: PersonLinker | None = None,
        known: Iterator[KeyframeActions] | None = None,
        num_known: int = 0,
    ) -> Pipeline:
        given = request.given_boxes(video)
        first = request.start_seconds if given is None or keeps_frames else min(given)
        lead = max(0.0, -float(self._trained.clip_seconds(0.0)[0]))
        source = request.open(video, from_seconds=first - lead)

        def make_window(look: Look | None) -> ClipWindow[Tensor]:
            return ClipWindow(
                request.moments(given, num_known=num_known),
                clip_seconds=self._trained.clip_seconds,
                tolerance_seconds=source.tolerance_seconds,
                scale=self._trained.scaled,
                look=look,
            )

        return Pipeline(
            source,
            make_window,
            find=self._finding(source.info, given),
            score=lambda batch: self._scored(batch, source.info),
            finish=Numbering(linker).numbered,
            known=iter(()) if known is None else known,
            needs_frames=given is None,
            keeps_frames=keeps_frames,
            num_moments=None if given is None else len(given),
            start_seconds=request.start_seconds,
            end_seconds=request.end_seconds,
            options=request.options,
        )

    def _finding(
        self, info: SourceInfo, given: GivenBoxes | None
    ) -> Callable[[Moment, np.ndarray | None], np.ndarray]:
        def find(moment: Moment, frame_HWC: np.ndarray | None) -> np.ndarray:
            if given is not None:
                return given[moment.seconds]
            assert frame_HWC is not None
            return self._finder.find(frame_HWC, name=info.name, seconds=moment.seconds)

        return find

    def _scored(
        self, batch: Sequence[tuple[Ready[Tensor], np.ndarray]], info: SourceInfo
    ) -> list[KeyframeActions]:
        """Return the results of some moments; the network sees those with persons alone."""
        kept = [rows[rows[:, 4] >= self._person_threshold] for _, rows in batch]
        with_clips = [
            index
            for index, ((ready, _), rows) in enumerate(zip(batch, kept, strict=True))
            if ready.moment.has_actions and len(rows)
        ]
        scores = self._trained.scores(
            [
                (batch[index][0].moment.seconds, batch[index][0].frames_T, kept[index][:, :4])
                for index in with_clips
            ],
            name=info.name,
            height=info.height,
            width=info.width,
        )
        scores_of = dict(zip(with_clips, scores, strict=True))
        return [
            _keyframe(ready, rows, kept[index], scores_of.get(index), self._trained.classes, info)
            for index, (ready, rows) in enumerate(batch)
        ]


def _keyframe(
    ready: Ready[Tensor],
    found: np.ndarray,
    kept: np.ndarray,
    scores_NK: np.ndarray | None,
    classes: TrainedClasses,
    info: SourceInfo,
) -> KeyframeActions:
    # Those below the threshold are scored lower than any that was kept.
    below = np.sort(found[:, 4])[: len(found) - len(kept)]
    persons = tuple(
        PersonActions(
            box_norm=tuple(row[:4].tolist()),
            person_score=float(row[4]),
            track_id=None,
            actions=() if scores_NK is None else _actions(scores_NK[number], classes),
        )
        for number, row in enumerate(kept)
    )
    return KeyframeActions(
        seconds=ready.moment.seconds,
        frame_height=info.height,
        frame_width=info.width,
        persons=persons,
        num_clamped=ready.num_clamped,
        has_actions=ready.moment.has_actions,
        shot=ready.shot,
        num_below_threshold=len(found) - len(kept),
        highest_below_threshold=float(below[-1]) if len(below) else None,
    )


def _actions(scores_K: np.ndarray, classes: TrainedClasses) -> tuple[ScoredAction, ...]:
    """Return all actions of a person by falling score; ids rise, and a stable sort keeps them."""
    named = list(classes.names.items())
    return tuple(
        ScoredAction(named[place][0], named[place][1], float(scores_K[place]))
        for place in np.argsort(-scores_K, kind="stable")
    )
