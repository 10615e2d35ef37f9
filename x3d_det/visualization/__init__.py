"""Persons, boxes and actions drawn on frames, videos and contact sheets; training curves."""

from x3d_det.visualization.contact_sheet import (
    contact_sheet,
    keyframe_sheet,
    motion_strip,
    save_png,
)
from x3d_det.visualization.curves import plot_curves
from x3d_det.visualization.draw import Caption, DrawnPerson, draw_persons
from x3d_det.visualization.names import short_action_names
from x3d_det.visualization.placement import PlateMemory
from x3d_det.visualization.render import RenderSummary, render_video
from x3d_det.visualization.timeline import KeyframePerson, Timeline, build_timeline, to_drawn

__all__ = [
    "Caption",
    "DrawnPerson",
    "KeyframePerson",
    "PlateMemory",
    "RenderSummary",
    "Timeline",
    "build_timeline",
    "contact_sheet",
    "draw_persons",
    "keyframe_sheet",
    "motion_strip",
    "plot_curves",
    "render_video",
    "save_png",
    "short_action_names",
    "to_drawn",
]
