"""X3D, its heads and the action detector."""

from x3d_det.models.batch_norm import set_batch_norm_splits
from x3d_det.models.detector import X3DDetector, build_detector
from x3d_det.models.fused import fuse_for_inference
from x3d_det.models.roi_head import ROI_HEADS, ActionRoIHead
from x3d_det.models.x3d import X3D, X3D_SPECS, X3DClassifier, X3DSpec

__all__ = [
    "ROI_HEADS",
    "X3D",
    "X3D_SPECS",
    "ActionRoIHead",
    "X3DClassifier",
    "X3DDetector",
    "X3DSpec",
    "build_detector",
    "fuse_for_inference",
    "set_batch_norm_splits",
]
