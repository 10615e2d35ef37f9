"""Spatiotemporal action detection with X3D: who does what in a video."""

__version__ = "0.1.0"
