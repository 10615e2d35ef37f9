"""A generated AVA: articulated figures in textured scenes, in AVA's own file formats."""

from x3d_det.synthetic.actions import ACTION_IDS, MOTION_ONLY_ACTION_IDS
from x3d_det.synthetic.ava_mini import AvaMiniSummary, generate_ava_mini

__all__ = ["ACTION_IDS", "MOTION_ONLY_ACTION_IDS", "AvaMiniSummary", "generate_ava_mini"]
