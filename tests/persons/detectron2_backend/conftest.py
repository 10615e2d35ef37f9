"""One random Detectron2 detector for the tests of this folder: config, state, file and object."""

from pathlib import Path

import pytest
import torch
from detectron2_cases import State, detectron2_detector_of, random_detectron2_state, write_config

from x3d_det.persons.detector import PersonDetector


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("config") / "tiny.yaml")


@pytest.fixture(scope="session")
def state(config: Path) -> State:
    return random_detectron2_state(config)


@pytest.fixture(scope="session")
def weights(state: State, config: Path) -> Path:
    path = config.with_name("tiny.pth")
    torch.save({"model": state, "iteration": 5}, path)
    return path


@pytest.fixture(scope="session")
def detector(config: Path, weights: Path) -> PersonDetector:
    return detectron2_detector_of(config, weights)
