"""Everybody's X3D checkpoints: recognised, converted both ways, loaded into our models."""

from x3d_det.checkpoints.convert import Converted, Exported, convert_state, export_state
from x3d_det.checkpoints.layouts import LAYOUTS
from x3d_det.checkpoints.network_shape import NetworkShape
from x3d_det.checkpoints.pretrained import fill_model, load_pretrained
from x3d_det.checkpoints.read import Checkpoint, read_checkpoint
from x3d_det.checkpoints.recognise import recognise_layout
from x3d_det.checkpoints.write import write_checkpoint

__all__ = [
    "LAYOUTS",
    "Checkpoint",
    "Converted",
    "Exported",
    "NetworkShape",
    "convert_state",
    "export_state",
    "fill_model",
    "load_pretrained",
    "read_checkpoint",
    "recognise_layout",
    "write_checkpoint",
]
