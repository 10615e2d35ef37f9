"""A checkpoint and a detector for the tests of this folder."""

from pathlib import Path

import pytest
from action_checkpoints import BrightPersons, save_action_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as `train_ava` exports it."""
    return save_action_checkpoint(tmp_path_factory.mktemp("detector") / "model.safetensors")


@pytest.fixture
def detector(checkpoint: Path):
    """The detector of that file, with persons that need no weights."""
    from x3d_det import ActionDetector

    return ActionDetector.load(checkpoint, persons=BrightPersons(), device="cpu")
