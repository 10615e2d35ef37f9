"""The small data set, made once with its videos; each test gets its own copy."""

from pathlib import Path

import pytest
from small_dataset import copy_dataset, make_small_dataset, make_tables


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small data set; not to be changed."""
    return make_small_dataset(tmp_path_factory.mktemp("pristine") / "set")


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tables alone, as `set` of the working folder."""
    monkeypatch.chdir(tmp_path)
    return make_tables(tmp_path / "set")


@pytest.fixture
def dataset(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy with videos, as `set` of the working folder."""
    monkeypatch.chdir(tmp_path)
    return copy_dataset(pristine, tmp_path / "set")
