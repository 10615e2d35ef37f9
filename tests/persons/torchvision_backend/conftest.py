"""One random torchvision detector for the tests of this folder: its state, file and object."""

from pathlib import Path

import pytest
import torch
from torchvision_cases import State, random_state, torchvision_detector_of

from x3d_det.persons.detector import PersonDetector


@pytest.fixture(scope="session")
def state() -> State:
    return random_state()


@pytest.fixture(scope="session")
def weights(state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="session")
def detector(weights: Path) -> PersonDetector:
    return torchvision_detector_of(weights)
