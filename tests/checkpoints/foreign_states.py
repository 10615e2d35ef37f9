"""State dicts of other projects as their code names them, and X3D computed from one.

Written down from each project's modules, not from `x3d_det.checkpoints`: PySlowFast
`models/{stem,resnet,head}_helper.py`, MMAction2 `backbones/x3d.py` and `heads/x3d_head.py`
(ConvModule: `.conv`, `.bn`), co3d `models/cox3d/modules/x3d.py` with the numbers of its
nested Sequentials, X3D-Multigrid `x3d.py`, EfficientX3d `efficient_x3d.py`.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True, kw_only=True)
class Names:
    stem: tuple[str, str, str]  # spatial convolution, temporal one, norm
    block: str
    first_stage: int
    a: tuple[str, str]
    b: tuple[str, str]
    c: tuple[str, str]
    se: tuple[str, str]
    shortcut: tuple[str, str]
    head: tuple[str, str, str, str]  # conv5, its norm, lin5, class layer
    flat_lin5: bool = False
    shortcut_norm_in_res2: bool = True
    splits: int = 0


NAMES = {
    "pyslowfast": Names(
        stem=("s1.pathway0_stem.conv_xy", "s1.pathway0_stem.conv", "s1.pathway0_stem.bn"),
        block="s{k}.pathway0_res{i}",
        first_stage=2,
        a=("branch2.a", "branch2.a_bn"),
        b=("branch2.b", "branch2.b_bn"),
        c=("branch2.c", "branch2.c_bn"),
        se=("branch2.se.fc1", "branch2.se.fc2"),
        shortcut=("branch1", "branch1_bn"),
        head=("head.conv_5", "head.conv_5_bn", "head.lin_5", "head.projection"),
    ),
    "pytorchvideo": Names(
        stem=("blocks.0.conv.conv_t", "blocks.0.conv.conv_xy", "blocks.0.norm"),
        block="blocks.{k}.res_blocks.{i}",
        first_stage=1,
        a=("branch2.conv_a", "branch2.norm_a"),
        b=("branch2.conv_b", "branch2.norm_b.0"),
        c=("branch2.conv_c", "branch2.norm_c"),
        se=("branch2.norm_b.1.block.0", "branch2.norm_b.1.block.2"),
        shortcut=("branch1_conv", "branch1_norm"),
        head=(
            "blocks.5.pool.pre_conv",
            "blocks.5.pool.pre_norm",
            "blocks.5.pool.post_conv",
            "blocks.5.proj",
        ),
        shortcut_norm_in_res2=False,
    ),
    "mmaction2": Names(
        stem=("backbone.conv1_s.conv", "backbone.conv1_t.conv", "backbone.conv1_t.bn"),
        block="backbone.layer{k}.{i}",
        first_stage=1,
        a=("conv1.conv", "conv1.bn"),
        b=("conv2.conv", "conv2.bn"),
        c=("conv3.conv", "conv3.bn"),
        se=("se_module.fc1", "se_module.fc2"),
        shortcut=("downsample.conv", "downsample.bn"),
        head=("backbone.conv5.conv", "backbone.conv5.bn", "cls_head.fc1", "cls_head.fc2"),
        flat_lin5=True,
    ),
    "co3d": Names(
        stem=("s1.pathway0_stem.conv_xy", "s1.pathway0_stem.conv", "s1.pathway0_stem.bn"),
        block="s{k}.pathway0_res{i}.0",
        first_stage=2,
        a=("1.branch2.a", "1.branch2.a_bn"),
        b=("1.branch2.b", "1.branch2.b_bn"),
        c=("1.branch2.c", "1.branch2.c_bn"),
        se=("1.branch2.se.1.fc1", "1.branch2.se.1.fc2"),
        shortcut=("0.branch1", "0.branch1_bn"),
        head=("head.conv_5", "head.conv_5_bn", "head.lin_5", "head.projection"),
    ),
    "x3d_multigrid": Names(
        stem=("conv1_s", "conv1_t", "bn1"),
        block="layer{k}.{i}",
        first_stage=1,
        a=("conv1", "bn1"),
        b=("conv2", "bn2"),
        c=("conv3", "bn3"),
        se=("fc1", "fc2"),
        shortcut=("downsample.0", "downsample.1"),
        head=("conv5", "bn5", "fc1", "fc2"),
        splits=2,
    ),
    "efficient_x3d": Names(
        stem=(
            "s1.pathway0_stem_conv_xy.kernel.conv",
            "s1.pathway0_stem_conv.kernel.conv",
            "s1.pathway0_stem_conv.kernel.bn",
        ),
        block="s{k}.pathway0_res{i}",
        first_stage=2,
        a=("layers.conv_0.kernel.conv", "layers.conv_0.kernel.bn"),
        b=("layers.conv_1.kernel.conv", "layers.conv_1.kernel.bn"),
        c=("layers.conv_2.kernel.conv", "layers.conv_2.kernel.bn"),
        se=("layers.se.se.block.0", "layers.se.se.block.2"),
        shortcut=("_res_proj.kernel.conv", "_res_proj.kernel.bn"),
        head=(
            "head.conv_5.kernel.conv",
            "head.conv_5.kernel.bn",
            "head.lin_5.kernel.conv",
            "projection.model",
        ),
    ),
}

# A quarter of the depths and a third of the widths of X3D-M: 8, 16, 32, 64 channels.
WIDTHS = (8, 16, 32, 64)
INNER = (18, 36, 72, 144)
SQUEEZED = (8, 8, 8, 16)
DEPTHS = (1, 2, 5, 3)
CLASSES = 7


def foreign_state(layout, *, seed=0):
    """A small X3D's state dict in a layout, of random weights and statistics."""
    names = NAMES[layout]
    generator = torch.Generator().manual_seed(seed)
    state = {}

    def conv(name, out_width, in_width, *size, bias=False, gain=1.0):
        weight = torch.randn(out_width, in_width, *size, generator=generator)
        state[f"{name}.weight"] = gain * weight / weight[0].numel() ** 0.5
        if bias:
            state[f"{name}.bias"] = 0.1 * torch.randn(out_width, generator=generator)

    def norm(name, width):
        def uniform(low, high, width=width):
            return torch.empty(width).uniform_(low, high, generator=generator)

        state[f"{name}.weight"] = uniform(0.5, 1.5)
        state[f"{name}.bias"] = uniform(-0.3, 0.3)
        below = f"{name}.bn" if names.splits else name
        state[f"{below}.running_mean"] = uniform(-0.3, 0.3)
        state[f"{below}.running_var"] = uniform(0.5, 1.5)
        state[f"{below}.num_batches_tracked"] = torch.tensor(123)
        if names.splits:
            wide = names.splits * width
            state[f"{name}.split_bn.running_mean"] = uniform(5, 6, wide)
            state[f"{name}.split_bn.running_var"] = uniform(5, 6, wide)
            state[f"{name}.split_bn.num_batches_tracked"] = torch.tensor(4)

    conv(names.stem[0], WIDTHS[0], 3, 1, 3, 3)
    conv(names.stem[1], WIDTHS[0], 1, 5, 1, 1)
    norm(names.stem[2], WIDTHS[0])
    before = WIDTHS[0]
    for stage, (width, inner, depth) in enumerate(zip(WIDTHS, INNER, DEPTHS, strict=True)):
        for i in range(depth):
            block = names.block.format(k=stage + names.first_stage, i=i)
            conv(f"{block}.{names.a[0]}", inner, before, 1, 1, 1)
            norm(f"{block}.{names.a[1]}", inner)
            conv(f"{block}.{names.b[0]}", inner, 1, 3, 3, 3)
            norm(f"{block}.{names.b[1]}", inner)
            if i % 2 == 0:
                conv(f"{block}.{names.se[0]}", SQUEEZED[stage], inner, 1, 1, 1, bias=True)
                conv(f"{block}.{names.se[1]}", inner, SQUEEZED[stage], 1, 1, 1, bias=True)
            conv(f"{block}.{names.c[0]}", width, inner, 1, 1, 1)
            norm(f"{block}.{names.c[1]}", width)
            if i == 0:
                conv(f"{block}.{names.shortcut[0]}", width, before, 1, 1, 1)
                if stage or names.shortcut_norm_in_res2:
                    norm(f"{block}.{names.shortcut[1]}", width)
            before = width
    conv(names.head[0], INNER[3], WIDTHS[3], 1, 1, 1)
    norm(names.head[1], INNER[3])
    conv(names.head[2], 2048, INNER[3], *(() if names.flat_lin5 else (1, 1, 1)))
    conv(names.head[3], CLASSES, 2048, bias=True, gain=10.0)
    return state


def foreign_logits(layout, state, x_BCTHW):
    """X3D's logits (B, K) in evaluation mode, in plain functions, pooled over the whole map."""
    names = NAMES[layout]

    def conv(x, name, **options):
        return F.conv3d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), **options)

    def norm(x, name):
        below = f"{name}.bn" if names.splits else name
        mean, variance = state[f"{below}.running_mean"], state[f"{below}.running_var"]
        scale = state[f"{name}.weight"] / (variance + 1e-5).sqrt()
        shape = (1, -1, 1, 1, 1)
        return (x - mean.view(shape)) * scale.view(shape) + state[f"{name}.bias"].view(shape)

    x = conv(x_BCTHW, names.stem[0], stride=(1, 2, 2), padding=(0, 1, 1))
    x = conv(x, names.stem[1], padding=(2, 0, 0), groups=WIDTHS[0])
    x = norm(x, names.stem[2]).relu()
    for stage, (inner, depth) in enumerate(zip(INNER, DEPTHS, strict=True)):
        for i in range(depth):
            block = names.block.format(k=stage + names.first_stage, i=i)
            stride = (1, 2, 2) if i == 0 else 1
            y = norm(conv(x, f"{block}.{names.a[0]}"), f"{block}.{names.a[1]}").relu()
            y = conv(y, f"{block}.{names.b[0]}", stride=stride, padding=1, groups=inner)
            y = norm(y, f"{block}.{names.b[1]}")
            if i % 2 == 0:
                gate = conv(y.mean((2, 3, 4), keepdim=True), f"{block}.{names.se[0]}").relu()
                y = y * conv(gate, f"{block}.{names.se[1]}").sigmoid()
            y = norm(conv(y * y.sigmoid(), f"{block}.{names.c[0]}"), f"{block}.{names.c[1]}")
            if i == 0:
                x = conv(x, f"{block}.{names.shortcut[0]}", stride=stride)
                if stage or names.shortcut_norm_in_res2:
                    x = norm(x, f"{block}.{names.shortcut[1]}")
            x = (x + y).relu()
    x = norm(conv(x, names.head[0]), names.head[1]).relu().mean((2, 3, 4))
    x = F.linear(x, state[f"{names.head[2]}.weight"].flatten(1)).relu()
    return F.linear(x, state[f"{names.head[3]}.weight"], state[f"{names.head[3]}.bias"])
