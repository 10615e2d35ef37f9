"""Boxes of single frames linked into tubes, one action at a time.

Frame by frame, the tubes under way choose in the order of their mean score; each takes the box
of the highest score among those that overlap its last box enough, of equal scores the one that
overlaps it most, and a box is taken once. Boxes left over begin new tubes. A tube ends when it
has found nothing for a while; frames in between are filled by straight lines from box to box. A
tube's score is the mean score of the boxes that were linked. Of tubes of one action that overlap
much, the best stays.

Source: the online linking of Singh et al., "Online Real-time Multiple Spatiotemporal Action
Localisation and Prediction", ICCV 2017, Sec. 3.3, without its trimming in time, and of
Kalogeiton et al., "Action Tubelet Detector", ICCV 2017, Sec. 3.3 (a tubelet is one box here);
thinning out at 0.3: vkalogeiton/caffe a431461, act-detector-scripts/ACT.py, `videoAP`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from x3d_det.boxes import pairwise_iou
from x3d_det.evaluation.tube_matching import pack_tubes, tube_ious
from x3d_det.evaluation.tube_rules import TubeRules
from x3d_det.io.action_tubes import FrameDetections, Tube, continuous_corners

_GAP_STEPS = 5


@dataclass(frozen=True, kw_only=True)
class LinkOptions:
    """How boxes become tubes.

    Args:
        min_iou: least overlap of a box with the last one of its tube.
        max_gap_frames: most frames from a tube's last box to its next; None takes five times
            the usual step between the frames that have boxes.
        top_k: boxes of an action and frame that are looked at, the best.
        min_score: boxes below it are left out.
        min_frames: shorter tubes are dropped.
        nms_iou: tubes of one action and video that overlap a better one more are dropped;
            1.0 keeps all.
    """

    min_iou: float = 0.3
    max_gap_frames: int | None = None
    top_k: int = 10
    min_score: float = 0.01
    min_frames: int = 1
    nms_iou: float = 0.3


@dataclass
class _OpenTube:
    """A tube under way: the rows of its boxes."""

    rows: list[int]
    frame: int
    scores: list[float] = field(default_factory=list)

    @property
    def score(self) -> float:
        return sum(self.scores) / len(self.scores)


def link_tubes(
    detections: FrameDetections,
    rules: TubeRules,
    *,
    options: LinkOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Tube]:
    """Return the tubes of all videos and actions, video after video.

    Args:
        detections: boxes with one action each, in any order.
        rules: how sides and durations are counted, for the overlaps.
        options: None takes the defaults.
        progress: called with the videos done and their number.
    """
    options = options or LinkOptions()
    gap = options.max_gap_frames or _GAP_STEPS * _usual_step(detections)
    kept = np.flatnonzero(detections.scores >= options.min_score)
    order = kept[
        np.lexsort(
            (
                *detections.boxes_px[kept].T[::-1],
                -detections.scores[kept],
                detections.frames[kept],
                detections.labels[kept],
                detections.video[kept],
            )
        )
    ]
    videos = detections.video[order]
    bounds = np.searchsorted(videos, np.arange(len(detections.videos) + 1))
    corners = continuous_corners(detections.boxes_px, inclusive=rules.extra_pixel > 0)
    tubes: list[Tube] = []
    for video, (start, stop) in enumerate(pairwise(bounds)):
        of_video = order[start:stop]
        labels = detections.labels[of_video]
        found = [
            _finished(detections, open_tube)
            for label in np.unique(labels)
            for open_tube in _link(detections, of_video[labels == label], corners, gap, options)
        ]
        found = [tube for tube in found if len(tube.frames) >= options.min_frames]
        tubes += suppress_tubes(found, rules, max_iou=options.nms_iou)
        if progress is not None:
            progress(video + 1, len(detections.videos))
    return tubes


def _usual_step(detections: FrameDetections) -> int:
    """Return the commonest number of frames from one frame with boxes to the next."""
    keys = np.unique(np.stack([detections.video, detections.frames], axis=1), axis=0)
    steps = np.diff(keys[:, 1])[np.diff(keys[:, 0]) == 0]
    return int(np.argmax(np.bincount(steps))) if steps.size else 1


def _link(
    detections: FrameDetections,
    rows: np.ndarray,
    corners: np.ndarray,
    gap: int,
    options: LinkOptions,
) -> list[_OpenTube]:
    """Return the tubes of one video and action; `rows` by frame, then falling score."""
    frames = detections.frames[rows]
    starts = np.flatnonzero(np.append(True, frames[1:] != frames[:-1]))
    under_way: list[_OpenTube] = []
    done: list[_OpenTube] = []
    for start, stop in zip(starts, np.append(starts[1:], len(rows)), strict=True):
        frame = int(frames[start])
        boxes = rows[start : min(stop, start + options.top_k)]
        done += [tube for tube in under_way if frame - tube.frame > gap]
        under_way = [tube for tube in under_way if frame - tube.frame <= gap]
        under_way.sort(key=lambda tube: -tube.score)
        free = np.ones(len(boxes), bool)
        last = corners[[tube.rows[-1] for tube in under_way]]
        ious = pairwise_iou(last, corners[boxes])
        scores = detections.scores[boxes]
        for tube, overlaps in zip(under_way, ious, strict=True):
            fitting = np.where(free & (overlaps >= options.min_iou), scores, -np.inf)
            place = np.lexsort((-overlaps, -fitting))[0]
            if np.isfinite(fitting[place]):
                free[place] = False
                _add(tube, int(boxes[place]), frame, detections)
        for row in boxes[free]:
            tube = _OpenTube([], frame)
            _add(tube, int(row), frame, detections)
            under_way.append(tube)
    return done + under_way


def _add(tube: _OpenTube, row: int, frame: int, detections: FrameDetections) -> None:
    tube.rows.append(row)
    tube.scores.append(float(detections.scores[row]))
    tube.frame = frame


def _finished(detections: FrameDetections, tube: _OpenTube) -> Tube:
    """Return a tube with a box on every frame from its first to its last."""
    rows = np.array(tube.rows)
    known = detections.frames[rows]
    frames = np.arange(known[0], known[-1] + 1)
    columns = [np.interp(frames, known, column) for column in detections.boxes_px[rows].T]
    video = detections.videos[detections.video[rows[0]]]
    label = int(detections.labels[rows[0]])
    return Tube(video, label, frames, np.stack(columns, axis=1), tube.score)


def suppress_tubes(tubes: Sequence[Tube], rules: TubeRules, *, max_iou: float) -> list[Tube]:
    """Return the tubes that no better one of their video and action overlaps too much.

    Args:
        tubes: any number, of any videos and actions.
        rules: how sides and durations are counted.
        max_iou: a tube that overlaps a kept one more is dropped.
    """
    groups: dict[tuple[str, int], list[Tube]] = {}
    for tube in tubes:
        groups.setdefault((tube.video_id, tube.label), []).append(tube)
    return [kept for group in groups.values() for kept in _suppress(group, rules, max_iou)]


def _suppress(tubes: list[Tube], rules: TubeRules, max_iou: float) -> list[Tube]:
    if max_iou >= 1 or len(tubes) < 2:
        return tubes
    tubes = sorted(tubes, key=lambda t: (-t.score, t.frames[0], *t.boxes_px.sum(axis=0)))
    packed = pack_tubes(tubes)
    kept: list[int] = []
    alive = np.arange(len(tubes))
    while alive.size:
        kept.append(int(alive[0]))
        rest = alive[1:]
        ious = tube_ious(packed, packed, (np.full(len(rest), alive[0]), rest), rules)
        alive = rest[~(ious > max_iou)]
    return [tubes[place] for place in kept]
