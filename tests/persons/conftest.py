"""The film of the runs that are killed, and of those that meet broken videos."""

from pathlib import Path

import pytest
from lit_films import drawn_boxes, lit_film


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one film of 40 seconds."""
    folder = tmp_path_factory.mktemp("film")
    lit_film(folder / "film.mp4", [drawn_boxes(second) for second in range(40)])
    return folder
