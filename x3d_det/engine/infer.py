"""A detector and batches of keyframes -> detection rows, the same on any number of ranks.

Shape suffixes: B clips, C channels, T frames, H x W pixels, N boxes of the whole
batch, K actions.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from x3d_det.engine.distributed import World
from x3d_det.errors import DataError

_MAX_SHOWN = 5
_T = TypeVar("_T")
Activation = Literal["sigmoid", "softmax"]
"""Logits to scores: each action for itself, or one action a box."""


class KeyframeBatch(Protocol):
    """What is read of a batch; `data.batch.AvaBatch` has it."""

    @property
    def clips_BCTHW(self) -> Tensor:
        """Float32, normalised."""

    @property
    def boxes_xyxy_px(self) -> Sequence[Tensor]:
        """B tensors (N_b, 4) in pixels of the clips."""

    @property
    def boxes_norm(self) -> Sequence[np.ndarray]:
        """B arrays float64 (N_b, 4), fractions of the full frames; passed through."""

    @property
    def person_scores(self) -> Sequence[np.ndarray]:
        """B arrays float64 (N_b,) in [0, 1]; passed through."""

    @property
    def video_ids(self) -> Sequence[str]:
        """B names."""

    @property
    def timestamps(self) -> Sequence[float]:
        """B seconds."""

    @property
    def indices(self) -> Sequence[int]:
        """B places in the data set."""


@dataclass(frozen=True)
class KeyframeScores:
    """The scores of one keyframe's boxes."""

    index: int
    """Place in the data set."""
    video_id: str
    timestamp: float
    boxes_norm: np.ndarray
    """float64 (N_b, 4); N_b may be 0."""
    person_scores_N: np.ndarray
    """float64 (N_b,) in [0, 1]; how sure the person detector was."""
    scores_NK: np.ndarray
    """float64 (N_b, K) in [0, 1], not rounded."""

    def boxes_above(self, threshold: float) -> "KeyframeScores":
        """Return the keyframe with the boxes of at least this person score."""
        kept_N = self.person_scores_N >= threshold
        return replace(
            self,
            boxes_norm=self.boxes_norm[kept_N],
            person_scores_N=self.person_scores_N[kept_N],
            scores_NK=self.scores_NK[kept_N],
        )


def detect_actions(
    model: nn.Module,
    batches: Iterable[KeyframeBatch],
    *,
    action_ids: Iterable[int],
    num_keyframes: int,
    world: World | None = None,
    autocast_dtype: torch.dtype | None = None,
    num_threads: int | None = None,
    score_min: float = 0.0,
    activation: Activation = "sigmoid",
) -> pd.DataFrame | None:
    """Return the detections of a whole data set on rank 0, None on other ranks.

    The columns are video_id, timestamp, x1, y1, x2, y2, action_id, score; the rows
    are in the order of the data set's keyframes, their boxes, and the action ids.
    With one batch plan and one number of threads, the rows have the same bits on
    any number of ranks.

    Args:
        model: `forward(clips_BCTHW, boxes_xyxy_px) -> logits_NK` on `world.device`;
            put into eval mode for the time.
        batches: this rank's; together the ranks have every keyframe once.
        action_ids: the actions that get rows; id a is column a - 1 of the logits.
        num_keyframes: of the whole data set, with index 0 to `num_keyframes - 1`.
        world: from `start_world`; None is this process alone on the CPU.
        autocast_dtype: torch.bfloat16, or None for full precision.
        num_threads: of torch on the CPU for the time; None leaves them.
        score_min: rows with a lower score are left out.
        activation: logits to scores; softmax runs over all columns.

    Raises:
        DataError: a keyframe came twice or not at all, a score is NaN, or an action
            id has no column; on every rank.
    """
    world = world or World()
    scored = score_dataset(
        model,
        [batches],
        num_keyframes=num_keyframes,
        world=world,
        autocast_dtype=autocast_dtype,
        num_threads=num_threads,
        activation=activation,
    )
    ids = sorted(action_ids)
    return _kept_on_main(
        world, lambda: detection_table(scored or [], action_ids=ids, score_min=score_min)
    )


def score_dataset(
    model: nn.Module,
    views: Iterable[Iterable[KeyframeBatch]],
    *,
    num_keyframes: int,
    world: World | None = None,
    autocast_dtype: torch.dtype | None = None,
    num_threads: int | None = None,
    activation: Activation = "sigmoid",
) -> list[KeyframeScores] | None:
    """Return the mean scores of a whole data set's keyframes on rank 0, None on other ranks.

    Args:
        views: this rank's batches of every view; each view has the same batches of the same
            keyframes, shown in another way. Asked for one after another.
        model, num_keyframes, world, autocast_dtype, num_threads, activation: as for
            `detect_actions`.

    Raises:
        DataError: a keyframe came twice or not at all, or a score is NaN; on every rank.
    """
    world = world or World()
    with _threads(num_threads):
        scored = mean_over_views(
            score_keyframes(
                model,
                batches,
                device=world.device,
                autocast_dtype=autocast_dtype,
                activation=activation,
            )
            for batches in views
        )
    gathered = world.gather_objects(scored)

    def check() -> list[KeyframeScores]:
        assert gathered is not None
        return in_dataset_order([item for part in gathered for item in part], num_keyframes)

    return _kept_on_main(world, check)


def mean_over_views(views: Iterable[Iterable[KeyframeScores]]) -> list[KeyframeScores]:
    """Return the keyframes with the mean of their scores, added up in the order of the views.

    Only the sum so far is held, whatever the number of views.
    """
    sums: list[KeyframeScores] = []
    num_views = 0
    for view in views:
        sums = [_sum(*pair) for pair in zip(sums, view, strict=True)] if num_views else list(view)
        num_views += 1
    return [replace(item, scores_NK=item.scores_NK / num_views) for item in sums]


def _sum(so_far: KeyframeScores, item: KeyframeScores) -> KeyframeScores:
    assert so_far.index == item.index, "views must show the same keyframes in the same order"
    assert np.array_equal(so_far.boxes_norm, item.boxes_norm), "and all of their boxes"
    return replace(so_far, scores_NK=so_far.scores_NK + item.scores_NK)


def weighted_by_person(scored: Iterable[KeyframeScores]) -> list[KeyframeScores]:
    """Return the keyframes with each box's action scores times its person score."""
    return [
        replace(item, scores_NK=item.scores_NK * item.person_scores_N[:, None]) for item in scored
    ]


def _kept_on_main(world: World, compute: Callable[[], _T]) -> _T | None:
    """Return the result on rank 0 alone, as others need no copy of it; its errors on all."""
    results: list[_T] = []
    world.on_main(lambda: results.append(compute()))
    return results[0] if results else None


@torch.no_grad()
def score_keyframes(
    model: nn.Module,
    batches: Iterable[KeyframeBatch],
    *,
    device: torch.device,
    autocast_dtype: torch.dtype | None = None,
    activation: Activation = "sigmoid",
) -> Iterator[KeyframeScores]:
    """Yield the scores of each keyframe in `batches`, in their order."""
    was_training = model.training
    model.eval()
    autocast: Any = (
        torch.autocast(device.type, dtype=autocast_dtype)
        if autocast_dtype is not None
        else contextlib.nullcontext()
    )
    try:
        for batch in batches:
            boxes_xyxy_px = [boxes.to(device) for boxes in batch.boxes_xyxy_px]
            with torch.no_grad(), autocast:
                logits_NK = model(batch.clips_BCTHW.to(device), boxes_xyxy_px)
            # float64 keeps apart what float32 would round to the same 1.0
            logits_NK = logits_NK.double()
            is_softmax = activation == "softmax"
            scores_NK = (logits_NK.softmax(dim=1) if is_softmax else logits_NK.sigmoid()).cpu()
            first = 0
            for index, video_id, timestamp, boxes_norm, person_scores_N in zip(
                batch.indices,
                batch.video_ids,
                batch.timestamps,
                batch.boxes_norm,
                batch.person_scores,
                strict=True,
            ):
                last = first + len(boxes_norm)
                scores = scores_NK[first:last].numpy()
                if np.isnan(scores).any():
                    raise DataError(
                        f"video {video_id} at second {timestamp}: a score is NaN; the model's "
                        "weights or this clip hold values that are not finite."
                    )
                yield KeyframeScores(
                    index=int(index),
                    video_id=video_id,
                    timestamp=float(timestamp),
                    boxes_norm=boxes_norm,
                    person_scores_N=person_scores_N,
                    scores_NK=scores,
                )
                first = last
            assert first == len(scores_NK), "the model must return one row of logits a box"
    finally:
        model.train(was_training)


def in_dataset_order(scored: Sequence[KeyframeScores], num_keyframes: int) -> list[KeyframeScores]:
    """Return the keyframes by index, each of 0 to `num_keyframes - 1` exactly once.

    Raises:
        DataError: one is missing, double, or out of range; names them.
    """
    counts = Counter(item.index for item in scored)
    missing = [index for index in range(num_keyframes) if index not in counts]
    double = sorted(index for index, count in counts.items() if count > 1)
    strange = sorted(index for index in counts if not 0 <= index < num_keyframes)
    faults = [
        f"{len(indices)} {what} ({', '.join(map(str, indices[:_MAX_SHOWN]))}"
        f"{', ...' if len(indices) > _MAX_SHOWN else ''})"
        for what, indices in (("missing", missing), ("double", double), ("unknown", strange))
        if indices
    ]
    if faults:
        raise DataError(
            f"of {num_keyframes} keyframes each must be scored once: {', '.join(faults)}. "
            "Shard them with EvalBatchSampler, which does not pad."
        )
    return sorted(scored, key=lambda item: item.index)


def detection_table(
    scored: Sequence[KeyframeScores], *, action_ids: Sequence[int], score_min: float = 0.0
) -> pd.DataFrame:
    """Return the detections of `scored` in their order; columns as `detect_actions`."""
    num_actions = scored[0].scores_NK.shape[1] if scored else max(action_ids, default=0)
    if outside := [action_id for action_id in action_ids if not 1 <= action_id <= num_actions]:
        raise DataError(
            f"action id {outside[0]} has no output: the model has {num_actions}, for the ids "
            f"1 to {num_actions}; use the label map that the model was trained with."
        )
    ids = np.asarray(action_ids, dtype=np.int64)
    num_boxes = [len(item.boxes_norm) for item in scored]
    boxes_norm = np.concatenate([np.empty((0, 4)), *(item.boxes_norm for item in scored)])
    scores_NK = np.concatenate(
        [np.empty((0, len(ids))), *(item.scores_NK[:, ids - 1] for item in scored)]
    )
    box_of_row, action_of_row = np.nonzero(scores_NK >= score_min)
    keyframe_of_box = np.repeat(np.arange(len(scored)), num_boxes)
    keyframe_of_row = keyframe_of_box[box_of_row]
    video_ids = np.array([item.video_id for item in scored], dtype=object)
    timestamps = np.array([item.timestamp for item in scored], dtype=np.float64)
    columns = {"video_id": video_ids[keyframe_of_row], "timestamp": timestamps[keyframe_of_row]}
    for column, name in enumerate(("x1", "y1", "x2", "y2")):
        columns[name] = boxes_norm[box_of_row, column]
    columns["action_id"] = ids[action_of_row]
    columns["score"] = scores_NK[box_of_row, action_of_row]
    return pd.DataFrame(columns)


@contextlib.contextmanager
def _threads(num_threads: int | None) -> Iterator[None]:
    """Give torch `num_threads` for the time."""
    before = torch.get_num_threads()
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
