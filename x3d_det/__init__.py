"""Spatiotemporal action detection with X3D: who does what in a video."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from x3d_det.video_detection import ActionDetector, Request

__version__ = "0.1.0"
__all__ = ["ActionDetector", "Request", "__version__"]


def __getattr__(name: str) -> Any:
    """Import what is heavy when it is first asked for: `--help` of a command must stay quick."""
    if name in ("ActionDetector", "Request"):
        from x3d_det import video_detection

        return getattr(video_detection, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
