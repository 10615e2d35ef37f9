"""The action detector: X3D backbone and RoI head.

Shape suffixes in this file: B clips, C channels, T frames, H x W pixels or feature
cells, N boxes of the whole batch, K actions.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from x3d_det.models.roi_head import ActionRoIHead, check_boxes
from x3d_det.models.x3d import X3D, X3DSpec


class X3DDetector(nn.Module):
    """Clips and person boxes in, one independent logit per box and action out.

    Args:
        backbone: clips to features.
        head: features and boxes to logits.

    Source: X3D, arXiv:2004.04730, Sec. 4.4: res5 keeps stride 32, unlike SlowFast.
    """

    def __init__(self, backbone: X3D, head: ActionRoIHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, clips_BCTHW: Tensor, boxes_xyxy_px: Sequence[Tensor]) -> Tensor:
        """Return the logits (N, K), clip after clip, boxes in the order given.

        Args:
            clips_BCTHW: normalised RGB clips of one size, which may be any.
            boxes_xyxy_px: B tensors (N_b, 4) of corners x1, y1, x2, y2 in pixels
                of these clips. N_b may be 0.

        Raises:
            ValueError: clips or boxes of another shape.
        """
        check_boxes(boxes_xyxy_px, num_clips=clips_BCTHW.shape[0])
        height_px, width_px = clips_BCTHW.shape[-2:]
        features_BCTHW = self.backbone(clips_BCTHW)
        return self.head(features_BCTHW, boxes_xyxy_px, clip_size_px=(height_px, width_px))


def build_detector(
    spec: X3DSpec,
    *,
    num_actions: int,
    head: str = "conv5_lin5_fc",
    feature_stride: int = 32,
    roi_size: int = 7,
    dropout: float = 0.5,
    zero_init_residual: bool = True,
) -> X3DDetector:
    """Return a detector with fresh weights.

    Args:
        spec: one of `X3D_SPECS`, or another.
        num_actions: K. AVA has 80; action id a (1 to 80) is column a - 1.
        head: "fc", "conv5_fc" or "conv5_lin5_fc" (see `ActionRoIHead`).
        feature_stride: clip pixels per feature cell, 32 or 16 (see `X3D`).
        roi_size: cells along one side of the RoIAlign grid.
        dropout: chance in [0, 1) of dropping a pooled feature while training.
        zero_init_residual: every block begins as its shortcut (see `X3D`).
    """
    backbone = X3D(spec, feature_stride=feature_stride, zero_init_residual=zero_init_residual)
    roi_head = ActionRoIHead(
        backbone.out_channels,
        backbone.inner_channels,
        num_actions=num_actions,
        layers=head,
        roi_size=roi_size,
        dropout=dropout,
    )
    return X3DDetector(backbone, roi_head)
