"""A classifier and the views of videos -> one row of scores a video, the same on any ranks.

Shape suffixes: V videos of a batch, W views of a video, N clips (V W of them), C channels,
T frames, H x W pixels, K classes.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from x3d_det.engine.distributed import World
from x3d_det.errors import DataError

_logger = logging.getLogger(__name__)
_MAX_SHOWN = 5


class ViewBatch(Protocol):
    """What is read of a batch; `data.kinetics.KineticsBatch` has it."""

    @property
    def clips_BCTHW(self) -> Tensor:
        """Float32, normalised: all views of the first video, then those of the second."""

    @property
    def video_labels(self) -> Tensor:
        """int64, one a video."""

    @property
    def video_names(self) -> Sequence[str]:
        """One a video."""

    @property
    def indices(self) -> Sequence[int]:
        """Places of the videos in the data set."""

    @property
    def num_clamped(self) -> int:
        """Frames that stand in for seconds outside their videos; counted for the log."""


@dataclass(frozen=True)
class VideoScores:
    """The scores of one video."""

    index: int
    """Place in the data set."""
    name: str
    label: int
    """The true class, 0 to K - 1."""
    scores_K: np.ndarray
    """float64 (K,): the mean over the views of the classes' probabilities."""


def score_videos(
    model: nn.Module,
    batches: Iterable[ViewBatch],
    *,
    num_videos: int,
    max_clips: int,
    world: World | None = None,
) -> list[VideoScores] | None:
    """Return the mean scores of a whole data set's videos on rank 0, None on other ranks.

    With one batch plan and one number of threads the scores have the same bits on any number
    of ranks.

    Args:
        model: `forward(clips) -> probabilities (N, K)` in eval mode, on `world.device`:
            `X3DClassifier`, fused or not; put into eval mode for the time.
        batches: this rank's; together the ranks have every video once, with all its views.
        num_videos: of the whole data set, with index 0 to `num_videos - 1`.
        max_clips: most clips that the model gets at a time; the views of a video may be more.
        world: from `start_world`; None is this process alone on the CPU.

    Raises:
        DataError: a video came twice or not at all (on every rank), or a score is not finite
            (on the rank that has it).
    """
    world = world or World()
    assert max_clips >= 1
    scored: list[VideoScores] = []
    num_clamped = 0
    for batch, videos in _score_batches(model, batches, max_clips=max_clips, device=world.device):
        scored += videos
        num_clamped += batch.num_clamped
    gathered = world.gather_objects((scored, num_clamped))
    results: list[VideoScores] = []

    def check() -> None:
        assert gathered is not None
        results.extend(_in_dataset_order([v for part, _ in gathered for v in part], num_videos))
        if total := sum(count for _, count in gathered):
            _logger.info(
                "%s frames repeated at the ends of videos shorter than a clip", f"{total:,}"
            )

    world.on_main(check)  # others need no copy of the result
    return results if world.is_main else None


def _score_batches(
    model: nn.Module, batches: Iterable[ViewBatch], *, max_clips: int, device: torch.device
) -> Iterator[tuple[ViewBatch, list[VideoScores]]]:
    """Yield each batch with the scores of its videos."""
    was_training = model.training
    model.eval()
    try:
        for batch in batches:
            with torch.no_grad():
                parts = batch.clips_BCTHW.split(max_clips)
                scores_NK = torch.cat([model(part.to(device)).double().cpu() for part in parts])
            # (V, W, K): every video has the same number of views
            scores_VK = scores_NK.unflatten(0, (len(batch.indices), -1)).mean(dim=1)
            yield (
                batch,
                [
                    _checked(VideoScores(int(index), name, int(label), scores_K))
                    for index, name, label, scores_K in zip(
                        batch.indices,
                        batch.video_names,
                        batch.video_labels,
                        scores_VK.numpy(),
                        strict=True,
                    )
                ],
            )
    finally:
        model.train(was_training)


def _checked(video: VideoScores) -> VideoScores:
    if not np.isfinite(video.scores_K).all():
        raise DataError(
            f"video {video.name}: a score is not finite; the model's weights or this video hold "
            "values that are not finite."
        )
    return video


def _in_dataset_order(scored: Sequence[VideoScores], num_videos: int) -> list[VideoScores]:
    """Return the videos by index, each of 0 to `num_videos - 1` exactly once."""
    counts = Counter(video.index for video in scored)
    faults = [
        f"{len(indices)} {what} ({', '.join(map(str, indices[:_MAX_SHOWN]))}"
        f"{', ...' if len(indices) > _MAX_SHOWN else ''})"
        for what, indices in (
            ("missing", [index for index in range(num_videos) if index not in counts]),
            ("double", sorted(index for index, count in counts.items() if count > 1)),
            ("unknown", sorted(index for index in counts if not 0 <= index < num_videos)),
        )
        if indices
    ]
    if faults:
        raise DataError(
            f"of {num_videos} videos each must be scored once: {', '.join(faults)}. "
            "Shard them with EvalBatchSampler, which does not pad."
        )
    return sorted(scored, key=lambda video: video.index)
