"""A checkpoint, a detector and films for the tests of this folder, and no thread left over."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from action_checkpoints import BrightPersons, save_action_checkpoint
from video_files import make_video
from video_runs import calm_frame, contents, detect, loaded, own_threads


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as `train_ava` exports it."""
    return save_action_checkpoint(tmp_path_factory.mktemp("detector") / "model.safetensors")


@pytest.fixture
def detector(checkpoint: Path):
    """The detector of that file, with persons that need no weights."""
    from x3d_det import ActionDetector

    return ActionDetector.load(checkpoint, persons=BrightPersons(), device="cpu")


@pytest.fixture
def no_thread_is_left_over() -> Iterator[None]:
    """See after the test that no thread of ours is alive."""
    yield
    assert own_threads() == []


@pytest.fixture
def clip_of_30(tmp_path: Path) -> Path:
    """Three seconds of numbered frames."""
    return make_video(tmp_path / "numbers.mp4", num_frames=90)


@pytest.fixture(scope="module")
def calm_films():
    """Let `make_video` show calm frames ; one thread, as the killed processes have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("video_files.numbered_frame", calm_frame)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def film(tmp_path_factory, calm_films) -> Path:
    """Four seconds with sound."""
    folder = tmp_path_factory.mktemp("film")
    return make_video(folder / "film.mp4", num_frames=48, fps=12, with_audio=True)


@pytest.fixture(scope="module")
def whole(film, tmp_path_factory, checkpoint) -> dict[str, bytes]:
    """What a run that nobody disturbs leaves."""
    folder = tmp_path_factory.mktemp("whole")
    detect(loaded(checkpoint), film, folder, interval_seconds=0.5)
    return contents(folder)
