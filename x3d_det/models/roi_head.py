"""Action classifiers for the person boxes of a keyframe.

Shape suffixes in this file: B clips, C channels, T frames, H x W feature cells,
N boxes of the whole batch, K actions, R cells along one side of an RoI.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from x3d_det.errors import did_you_mean
from x3d_det.models.batch_norm import BatchNorm3d
from x3d_det.models.layers import PointwiseConv3d
from x3d_det.models.x3d import LIN5_CHANNELS, initialize_weights

ROI_HEADS: dict[str, tuple[bool, bool]] = {
    "fc": (False, False),
    "conv5_fc": (True, False),
    "conv5_lin5_fc": (True, True),
}
"""Name of a head -> whether it has conv5, whether it has lin5.

The paper does not say which head it used on AVA. `conv5_lin5_fc` keeps all of the
Kinetics head but its last layer, and alone fits the 3.1 M parameters remembered
from the paper's AVA table.
"""


class ActionRoIHead(nn.Module):
    """Give every person box one independent logit per action.

    The keyframe box stays still over the clip, so the mean over time may be
    taken before RoIAlign: the result is the same and T - 1 RoIAligns are saved.

    Args:
        in_channels: channels C of the backbone features.
        conv5_channels: width of conv5 (`X3D.inner_channels`).
        num_actions: K. AVA has 80; action id a (1 to 80) is column a - 1.
        layers: "fc", "conv5_fc" or "conv5_lin5_fc": what stands beside the class
            layer. conv5, with BN and ReLU, runs on the whole map, before RoIAlign;
            lin5, with ReLU, on the pooled box.
        roi_size: R, cells along one side of the RoIAlign grid.
        dropout: chance in [0, 1) of dropping a pooled feature while training.

    Raises:
        ValueError: `layers` names no head.

    Source: SlowFast, arXiv:1812.03982, Sec. 5, "Detection architecture"; conv5 and
    lin5 as in X3D's Kinetics head. The paper ends in a sigmoid; we return logits,
    and `engine.infer` applies it.
    """

    def __init__(
        self,
        in_channels: int,
        conv5_channels: int,
        *,
        num_actions: int,
        layers: str = "conv5_lin5_fc",
        roi_size: int = 7,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if layers not in ROI_HEADS:
            raise ValueError(
                f"there is no RoI head {layers!r}{did_you_mean(layers, ROI_HEADS)}; "
                f"it must be one of {', '.join(ROI_HEADS)}."
            )
        has_conv5, has_lin5 = ROI_HEADS[layers]
        self.roi_size = roi_size
        self.conv5: PointwiseConv3d | None = None
        self.norm5: nn.BatchNorm3d | None = None
        width = in_channels
        if has_conv5:
            width = conv5_channels
            self.conv5 = PointwiseConv3d(in_channels, width)
            self.norm5 = BatchNorm3d(width)
        self.lin5 = nn.Linear(width, LIN5_CHANNELS, bias=False) if has_lin5 else None
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(LIN5_CHANNELS if has_lin5 else width, num_actions)
        initialize_weights(self)

    def forward(
        self,
        features_BCTHW: Tensor,
        boxes_xyxy_px: Sequence[Tensor],
        *,
        clip_size_px: tuple[int, int],
    ) -> Tensor:
        """Return the logits (N, K), clip after clip, boxes in the order given.

        Args:
            features_BCTHW: backbone output.
            boxes_xyxy_px: B tensors (N_b, 4) of corners x1, y1, x2, y2 in pixels
                of the clip that the backbone saw. N_b may be 0.
            clip_size_px: height and width of that clip; over the size of the map
                they give the scale of the boxes.

        Raises:
            ValueError: not one box tensor per clip, or one not shaped (N_b, 4).
        """
        check_boxes(boxes_xyxy_px, num_clips=features_BCTHW.shape[0])
        x = features_BCTHW
        if self.conv5 is not None and self.norm5 is not None:
            x = F.relu(self.norm5(self.conv5(x)), inplace=True)
        pooled_NC = max_pool_rois(
            x.mean(dim=2), boxes_xyxy_px, clip_size_px=clip_size_px, roi_size=self.roi_size
        )
        if self.lin5 is not None:
            pooled_NC = F.relu(self.lin5(pooled_NC), inplace=True)
        return self.projection(self.dropout(pooled_NC))


def check_boxes(boxes_xyxy_px: Sequence[Tensor], *, num_clips: int) -> None:
    """Raise ValueError unless there is one tensor (N_b, 4) for each of `num_clips` clips."""
    if len(boxes_xyxy_px) != num_clips:
        raise ValueError(
            f"boxes_xyxy_px has {len(boxes_xyxy_px)} tensors for {num_clips} clips; "
            "give one per clip, shaped (0, 4) where a clip has no person."
        )
    for clip, boxes in enumerate(boxes_xyxy_px):
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(
                f"boxes_xyxy_px[{clip}] has shape {tuple(boxes.shape)}; it must be (N_b, 4)."
            )


def max_pool_rois(
    features_BCHW: Tensor,
    boxes_xyxy_px: Sequence[Tensor],
    *,
    clip_size_px: tuple[int, int],
    roi_size: int,
) -> Tensor:
    """Return the largest RoIAlign sample of every box and channel, (N, C), in float32.

    The whole clip lies on the whole map, along each axis for itself: a map has
    ceil(341 / 32) = 11 cells for 341 pixels, one for each 31. Runs in float32
    inside autocast too; sample points are too coarse in 16 bits.
    """
    height_px, width_px = clip_size_px
    rows, columns = features_BCHW.shape[2:]
    with torch.autocast(features_BCHW.device.type, enabled=False):
        scale_xyxy = features_BCHW.new_tensor(
            [columns / width_px, rows / height_px] * 2, dtype=torch.float32
        )
        rois_NCRR = roi_align(
            features_BCHW.float(),
            [boxes.float() * scale_xyxy for boxes in boxes_xyxy_px],
            output_size=roi_size,
            spatial_scale=1.0,  # the boxes are in feature cells already
            aligned=True,  # pixel centres lie at +0.5; torchvision's default is False
        )
        return rois_NCRR.amax(dim=(2, 3))
