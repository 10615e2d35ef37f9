"""The X3D weights that others publish: where they lie, what they cost, what they scored.

`weights_path("x3d_m_kinetics400")` gives the file, downloaded at the first use. Nothing here
looks into a file; `x3d_det.checkpoints` reads every layout named here.
"""

from x3d_det.zoo.cache import default_cache, take_copy, weights_path
from x3d_det.zoo.entries import ZOO, PublishedScore, ZooEntry, zoo_entry

__all__ = [
    "ZOO",
    "PublishedScore",
    "ZooEntry",
    "default_cache",
    "take_copy",
    "weights_path",
    "zoo_entry",
]
