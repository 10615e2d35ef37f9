"""Fixtures of the whole suite: where the reference data lies."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

if "PYTEST_XDIST_WORKER" in os.environ:  # one of as many as there are cores: no threads beside it
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _shared_dir() -> Path:
    return Path(os.environ.get("X3D_DET_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Reference data beside the checkout (real AVA files, official results, real clips)."""
    folder = _shared_dir()
    if not (folder / "ava").is_dir():
        pytest.skip(f"reference data not found in {folder}; set X3D_DET_SHARED to its folder")
    return folder
