"""AVA's files brought to their places: lists, person boxes, films and their cuts."""

from x3d_det.preparation.cut import Cut, CutSettings, cut_film
from x3d_det.preparation.fetch import FetchSettings
from x3d_det.preparation.films import FilmSettings
from x3d_det.preparation.plan import Listed, PrepareSettings, list_files
from x3d_det.preparation.run import Report, prepare

__all__ = [
    "Cut",
    "CutSettings",
    "FetchSettings",
    "FilmSettings",
    "Listed",
    "PrepareSettings",
    "Report",
    "cut_film",
    "list_files",
    "prepare",
]
