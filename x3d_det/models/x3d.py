"""X3D: the expansion factors, the network from stem to res5, the Kinetics classifier.

Shape suffixes in this file: B clips, C channels, T frames, H x W pixels or feature
cells, K classes, P positions of the pooling window.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from x3d_det.models.batch_norm import BatchNorm3d
from x3d_det.models.layers import Bottleneck, PointwiseConv3d, Stem, round_width

LIN5_CHANNELS = 2048
BASE_STEM_CHANNELS = 24
BASE_STAGE_CHANNELS = (24, 48, 96, 192)
BASE_STAGE_DEPTHS = (1, 2, 5, 3)
STAGE_NAMES = ("res2", "res3", "res4", "res5")


@dataclass(frozen=True, kw_only=True)
class X3DSpec:
    """One member of the X3D family as expansion factors of the X2D base network.

    Attributes:
        num_frames: frames T of a clip (gamma_t).
        crop_size: height and width of the training crop in pixels (112 gamma_s).
        sampling_stride: video frames from one clip frame to the next (gamma_tau).
        width_factor: gamma_w in the paper's notation, where M is 1. PySlowFast
            counts from a base half as wide: its `WIDTH_FACTOR: 2.0` is our 1.0.
            X3D-XL is 1.45 here and 2.9 there; "2.9" taken for a multiple of M's
            widths gives another, four times dearer network.
        depth_factor: gamma_d, times the 1, 2, 5, 3 blocks of the stages, rounded up.
        bottleneck_factor: gamma_b, inner channels over a block's output channels.
        width_divisor: widths are rounded to a multiple of this; 8 as published.
            1 gives the widths of an X3D-XL built by PySlowFast after its default changed.

    Source: X3D, arXiv:2004.04730, Tables 1 and 3.
    """

    num_frames: int
    crop_size: int
    sampling_stride: int
    width_factor: float = 1.0
    depth_factor: float = 2.2
    bottleneck_factor: float = 2.25
    width_divisor: int = 8

    @property
    def stem_channels(self) -> int:
        """Channels that the stem puts out."""
        return round_width(BASE_STEM_CHANNELS * self.width_factor, divisor=self.width_divisor)

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels that res2 to res5 put out."""
        return tuple(
            round_width(base * self.width_factor, divisor=self.width_divisor)
            for base in BASE_STAGE_CHANNELS
        )

    @property
    def inner_channels(self) -> tuple[int, ...]:
        """Channels inside the blocks of res2 to res5; the last is conv5's width too."""
        return tuple(int(self.bottleneck_factor * channels) for channels in self.stage_channels)

    @property
    def stage_depths(self) -> tuple[int, ...]:
        """Blocks of res2 to res5."""
        return tuple(math.ceil(self.depth_factor * depth) for depth in BASE_STAGE_DEPTHS)


X3D_SPECS: dict[str, X3DSpec] = {
    "x2d": X3DSpec(
        num_frames=1, crop_size=112, sampling_stride=1, depth_factor=1.0, bottleneck_factor=1.0
    ),
    "xs": X3DSpec(num_frames=4, crop_size=160, sampling_stride=12),
    "s": X3DSpec(num_frames=13, crop_size=160, sampling_stride=6),
    "m": X3DSpec(num_frames=16, crop_size=224, sampling_stride=5),
    "l": X3DSpec(num_frames=16, crop_size=312, sampling_stride=5, depth_factor=5.0),
    "xl": X3DSpec(
        num_frames=16, crop_size=312, sampling_stride=5, width_factor=1.45, depth_factor=5.0
    ),
}


class X3D(nn.Module):
    """The network from stem to res5: clips in, features of full temporal rate out.

    Args:
        spec: widths and depths; its clip size is only a recommendation here.
        in_channels: channels of a clip, 3 for RGB.
        feature_stride: clip pixels per feature cell. 32 as in the paper; 16 leaves
            res5 at res4's size and dilates its depthwise convolutions by 2 instead.
            The weights are the same for both.
        shortcut_norm_when_same_width: BN after the shortcut convolution of res2's
            first block. PySlowFast has it; False gives PyTorchVideo's layout.
        zero_init_residual: every block begins as its shortcut (the last BN's weight is
            0), as published; False begins at 1, which learns faster in a short training.
        drop_path: chance in [0, 1) that a clip skips a block of res5 while training;
            of res2, res3 and res4 it is 2/5, 3/5 and 4/5 of that. 0, as published for
            X3D, draws nothing.

    Raises:
        ValueError: `feature_stride` is neither 32 nor 16, or `drop_path` is no such chance.

    Source: X3D, arXiv:2004.04730, Table 1; stride 16 as in SlowFast, Sec. 5; the shares
    of `drop_path` as PySlowFast's DROPCONNECT_RATE.
    """

    def __init__(
        self,
        spec: X3DSpec,
        *,
        in_channels: int = 3,
        feature_stride: int = 32,
        shortcut_norm_when_same_width: bool = True,
        zero_init_residual: bool = True,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if feature_stride not in (16, 32):
            raise ValueError(f"feature_stride is {feature_stride}; X3D has 32 or 16.")
        if not 0 <= drop_path < 1:
            raise ValueError(f"drop_path is {drop_path}; it must be at least 0 and below 1.")
        self.spec = spec
        self.feature_stride = feature_stride
        self.out_channels = spec.stage_channels[-1]
        self.inner_channels = spec.inner_channels[-1]
        self.stem = Stem(in_channels, spec.stem_channels)
        self.stages = nn.ModuleDict()
        width = spec.stem_channels
        for stage, name in enumerate(STAGE_NAMES):
            dilated = name == "res5" and feature_stride == 16
            out_width = spec.stage_channels[stage]
            self.stages[name] = nn.Sequential(
                *(
                    Bottleneck(
                        width if block == 0 else out_width,
                        spec.inner_channels[stage],
                        out_width,
                        spatial_stride=2 if block == 0 and not dilated else 1,
                        spatial_dilation=2 if dilated else 1,
                        use_se=block % 2 == 0,
                        shortcut_norm_when_same_width=shortcut_norm_when_same_width,
                        drop_path=drop_path * (stage + 2) / (len(STAGE_NAMES) + 1),
                    )
                    for block in range(spec.stage_depths[stage])
                )
            )
            width = out_width
        initialize_weights(self, zero_init_residual=zero_init_residual)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return the features (B, C, T, ceil(H / stride), ceil(W / stride)), not below 0.

        Args:
            x_BCTHW: normalised RGB clips of any T, H and W; any memory layout.

        Raises:
            ValueError: not five dimensions, or another number of channels.
        """
        check_clips(x_BCTHW, in_channels=self.stem.conv_xy.in_channels)
        x = self.stem(x_BCTHW.contiguous(memory_format=torch.channels_last_3d))
        for stage in self.stages.values():
            x = stage(x)
        return x


class X3DClassifier(nn.Module):
    """X3D with the head for whole clips, as trained on Kinetics.

    Args:
        backbone: the network up to res5. Its spec gives the pooling window: the
            feature map of one training crop.
        num_classes: K.
        dropout: chance in [0, 1) of dropping a feature while training.

    Source: X3D, arXiv:2004.04730, Table 1; the head as in PySlowFast `X3DHead`.
    """

    def __init__(self, backbone: X3D, *, num_classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = ClassificationHead(backbone, num_classes=num_classes, dropout=dropout)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return logits (B, K) in training mode, probabilities (B, K) in evaluation mode."""
        return self.head(self.backbone(x_BCTHW))


class ClassificationHead(nn.Module):
    """conv5, average pool, lin5 and class projection, run at every position of the map.

    Args:
        backbone: where the widths and the pooling window come from.
        num_classes: K.
        dropout: chance in [0, 1) of dropping a feature while training.
    """

    def __init__(self, backbone: X3D, *, num_classes: int, dropout: float) -> None:
        super().__init__()
        cells = math.ceil(backbone.spec.crop_size / backbone.feature_stride)
        self.pool_size = (backbone.spec.num_frames, cells, cells)
        width = backbone.inner_channels
        self.conv5: PointwiseConv3d | None = PointwiseConv3d(backbone.out_channels, width)
        self.norm5: nn.BatchNorm3d | None = BatchNorm3d(width)
        self.lin5 = nn.Linear(width, LIN5_CHANNELS, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(LIN5_CHANNELS, num_classes)
        initialize_weights(self)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Return logits (B, K) in training mode, probabilities (B, K) in evaluation mode.

        A map larger than that of a training crop has several positions: their
        probabilities (in training mode their logits) are averaged. A smaller map
        is pooled whole.
        """
        x_BCTHW = features_BCTHW
        if self.conv5 is not None and self.norm5 is not None:  # None once fused
            x_BCTHW = F.relu(self.norm5(self.conv5(x_BCTHW)), inplace=True)
        sizes = zip(self.pool_size, x_BCTHW.shape[2:], strict=True)
        window = tuple(min(size, available) for size, available in sizes)
        pooled_BPC = F.avg_pool3d(x_BCTHW, window, stride=1).flatten(2).transpose(1, 2)
        logits_BPK = self.projection(self.dropout(F.relu(self.lin5(pooled_BPC), inplace=True)))
        return (logits_BPK if self.training else logits_BPK.softmax(dim=2)).mean(dim=1)


def check_clips(x_BCTHW: Tensor, *, in_channels: int) -> None:
    """Raise ValueError unless the clips are shaped (B, in_channels, T, H, W)."""
    if x_BCTHW.ndim != 5 or x_BCTHW.shape[1] != in_channels:
        raise ValueError(
            f"clips have shape {tuple(x_BCTHW.shape)}; it must be (B, {in_channels}, T, H, W)."
        )


def initialize_weights(module: nn.Module, *, zero_init_residual: bool = True) -> None:
    """Set fresh weights: He (fan-out) for convolutions, N(0, 0.01) for class layers.

    BatchNorm starts at weight 1, bias 0; with `zero_init_residual` the last one of each
    block at weight 0, so that every block begins as its shortcut. A linear layer without
    bias (lin5) is a 1x1x1 convolution in the field's code and starts as one.

    Source: PySlowFast `init_weights` with ZERO_INIT_FINAL_BN.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv3d) or (isinstance(layer, nn.Linear) and layer.bias is None):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
        if isinstance(layer, nn.Conv3d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
        if isinstance(layer, Bottleneck) and zero_init_residual:
            nn.init.zeros_(layer.norm_c.weight)
