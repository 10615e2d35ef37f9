"""engine/classify.py: means over views, their order, the same bits on any number of ranks."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from x3d_det.engine.classify import VideoScores, score_videos
from x3d_det.engine.distributed import World, end_world, start_world
from x3d_det.errors import DataError

NUM_VIDEOS, NUM_VIEWS, NUM_CLASSES = 7, 3, 4


@dataclass
class Views:
    """A batch as `engine.classify` reads it."""

    clips_BCTHW: Tensor
    video_labels: Tensor
    video_names: list[str]
    indices: list[int]
    num_clamped: int = 0


class TinyClassifier(nn.Module):
    """Probabilities from the mean colour of a clip; counts the clips of each call."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.convolution = nn.Conv3d(3, 8, 3, padding=1)
        self.projection = nn.Linear(8, NUM_CLASSES)
        self.calls: list[int] = []

    def forward(self, clips_BCTHW: Tensor) -> Tensor:
        self.calls.append(len(clips_BCTHW))
        features_BC = self.convolution(clips_BCTHW).relu().mean(dim=(2, 3, 4))
        logits_BK = self.projection(features_BC)
        return logits_BK if self.training else logits_BK.softmax(dim=1)


def views_of(index: int) -> Tensor:
    generator = torch.Generator().manual_seed(index)
    return torch.randn(NUM_VIEWS, 3, 2, 8, 8, generator=generator)


def batch_of(*indices: int, num_clamped: int = 0) -> Views:
    return Views(
        torch.cat([views_of(index) for index in indices]),
        torch.tensor([index % NUM_CLASSES for index in indices]),
        [f"video{index}" for index in indices],
        list(indices),
        num_clamped,
    )


def batches_of(rank: int, world_size: int) -> list[Views]:
    plan = [(0, 1), (2, 3), (4, 5), (6,)]
    return [batch_of(*indices) for indices in plan[rank::world_size]]


def scored(model: nn.Module, *, max_clips: int = 6, world: World | None = None):
    world = world or World()
    return score_videos(
        model,
        batches_of(world.rank, world.world_size),
        num_videos=NUM_VIDEOS,
        max_clips=max_clips,
        world=world,
    )


class ConstantClassifier(nn.Module):
    """The clip's first number is the probability of class 0."""

    def forward(self, clips_BCTHW: Tensor) -> Tensor:
        first_B = clips_BCTHW[:, 0, 0, 0, 0]
        return torch.stack([first_B, 1 - first_B], dim=1)


def test_the_mean_of_the_views_by_hand():
    clips = torch.zeros(4, 3, 1, 1, 1)
    clips[:, 0, 0, 0, 0] = torch.tensor([0.25, 0.75, 1.0, 0.5])  # two views of each of two videos
    batch = Views(clips, torch.tensor([1, 0]), ["b", "a"], [1, 0])
    first, second = score_videos(ConstantClassifier(), [batch], num_videos=2, max_clips=3) or []
    assert (first.index, first.name, first.label) == (0, "a", 0)
    assert first.scores_K.tolist() == [0.75, 0.25]
    assert (second.name, second.label, second.scores_K.tolist()) == ("b", 1, [0.5, 0.5])


@pytest.mark.parametrize("max_clips", [1, 4, 6, 100])
def test_equals_a_loop_over_single_clips(max_clips: int):
    model = TinyClassifier().train()
    result = scored(model, max_clips=max_clips)
    assert model.training  # as it was
    assert max(model.calls) <= max_clips
    assert sum(model.calls) == NUM_VIDEOS * NUM_VIEWS
    assert result is not None
    model.eval()
    for index, video in enumerate(result):
        assert (video.index, video.name, video.label) == (index, f"video{index}", index % 4)
        with torch.no_grad():
            clips = [model(view[None])[0].double() for view in views_of(index)]
        np.testing.assert_allclose(video.scores_K, sum(clips) / NUM_VIEWS, rtol=1e-6)
        assert video.scores_K.dtype == np.float64
        assert video.scores_K.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("batches", "text"),
    [
        ([batch_of(0, 1)], r"of 3 videos each must be scored once: 1 missing \(2\)"),
        ([batch_of(0, 1), batch_of(1, 2)], r"1 double \(1\)"),
        ([batch_of(0, 1), batch_of(2, 9)], r"1 unknown \(9\)"),
    ],
)
def test_every_video_exactly_once(batches: list[Views], text: str):
    with pytest.raises(DataError, match=text):
        score_videos(TinyClassifier(), batches, num_videos=3, max_clips=4)


def test_a_score_that_is_no_number_names_the_video():
    batch = batch_of(4, 5)
    batch.clips_BCTHW[NUM_VIEWS + 1] = torch.nan  # the second view of the second video
    with pytest.raises(DataError, match="video video5: a score is not finite"):
        score_videos(TinyClassifier(), [batch], num_videos=6, max_clips=4)


def test_repeated_frames_are_counted(caplog):
    caplog.set_level("INFO", logger="x3d_det")
    batches = [batch_of(0, num_clamped=1200), batch_of(1, num_clamped=34)]
    score_videos(TinyClassifier(), batches, num_videos=2, max_clips=3)
    assert "1,234 frames repeated at the ends of videos shorter than a clip" in caplog.text


def bits(videos: list[VideoScores]) -> list[list[str]]:
    return [[value.hex() for value in video.scores_K.tolist()] for video in videos]


@pytest.mark.slow
def test_two_ranks_give_the_same_bits(torchrun, tmp_path):
    output = tmp_path / "ranks.json"
    done = torchrun(Path(__file__).name, str(output))
    assert done.returncode == 0, done.stderr
    result = scored(TinyClassifier())
    assert result is not None
    assert json.loads(output.read_text()) == {"bits": bits(result), "others": [None]}


def main() -> None:
    """One of several ranks."""
    torch.set_num_threads(1)
    world = start_world("cpu", timeout_seconds=60)
    result = scored(TinyClassifier(), world=world)
    gathered = world.gather_objects(result)
    if gathered is not None and result is not None:
        Path(sys.argv[1]).write_text(json.dumps({"bits": bits(result), "others": gathered[1:]}))
    end_world(world)


if __name__ == "__main__":
    main()
