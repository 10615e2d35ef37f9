"""A generated AVA and a generated Kinetics: articulated figures in textured scenes.

Each in the files that its original has.
"""

from x3d_det.synthetic.actions import ACTION_IDS, MOTION_ONLY_ACTION_IDS
from x3d_det.synthetic.ava_mini import AvaMiniSummary, generate_ava_mini
from x3d_det.synthetic.kinetics_mini import KineticsMiniSummary, generate_kinetics_mini

__all__ = [
    "ACTION_IDS",
    "MOTION_ONLY_ACTION_IDS",
    "AvaMiniSummary",
    "KineticsMiniSummary",
    "generate_ava_mini",
    "generate_kinetics_mini",
]
