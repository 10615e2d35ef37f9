"""How each public project names X3D's tensors: one table a project.

A tensor's name is a module's path and a parameter (`weight`, `running_mean`, ...).
Everybody has the same modules; a table gives their path for each of ours. All are for
the same function: where a project's network differs, `Layout` says in what.

Sources: the modules of PySlowFast (`video_model_builder.py`, `stem_helper.py`,
`resnet_helper.py`, `head_helper.py`), PyTorchVideo (`models/x3d.py`,
`models/accelerator/mobile_cpu/efficient_x3d.py`), MMAction2 (`backbones/x3d.py`,
`heads/x3d_head.py`), co3d (`models/x3d`, `models/cox3d`) and X3D-Multigrid (`x3d.py`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

_STATISTICS = frozenset({"running_mean", "running_var", "num_batches_tracked"})
_OUR_BLOCK = re.compile(r"backbone\.stages\.res([2-5])\.(\d+)\.(.+)")
LIN5 = "head.lin5"
PROJECTION = "head.projection"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One project's names, what its network has otherwise, and how its files wrap them."""

    name: str
    outside: Mapping[str, str]
    """Our path of a module of stem or head -> theirs."""
    block: str
    """Their path of a block, with `{stage}` and `{block}` for the numbers."""
    first_stage: int
    """Their number of the stage that is our res2; their blocks count from 0 as ours."""
    inside: Mapping[str, str]
    """Our path of a module within a block -> theirs."""
    wrap_key: str | None
    """Key of the state dict in a file that they write; None where the file is it."""
    statistics: str = ""
    """The module below a norm that holds its running statistics, where there is one."""
    nested_by_number: bool = False
    """Their names may have whole parts that are numbers; they mean nothing."""
    flat_lin5: bool = False
    """Whether lin5 is a matrix; everywhere else but here it is a 1x1x1 convolution."""
    same_width_shortcut_norm: bool = True
    """Whether res2's first shortcut convolution, which keeps the width, has a BN."""
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    """What is subtracted from RGB in [0, 1] ..."""
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    """... and what the difference is divided by."""

    def their_name(self, our_name: str) -> str | None:
        """Return what they call our tensor, or None where they have no such module."""
        module, _, parameter = our_name.rpartition(".")
        if not _has_place(module, parameter):
            return None
        if match := _OUR_BLOCK.fullmatch(module):
            stage, block, part = int(match[1]), int(match[2]), match[3]
            if part not in self.inside:
                return None
            prefix = self.block.format(stage=stage - 2 + self.first_stage, block=block)
            path = f"{prefix}.{self.inside[part]}"
        elif module in self.outside:
            path = self.outside[module]
        else:
            return None
        if self.statistics and parameter in _STATISTICS:
            path = f"{path}.{self.statistics}"
        return f"{path}.{parameter}"

    def our_name(self, their_name: str) -> str | None:
        """Return what we call their tensor, or None where it is no part of X3D."""
        module, _, parameter = their_name.rpartition(".")
        if self.nested_by_number:
            module = ".".join(part for part in module.split(".") if not part.isdigit())
        if self.statistics and parameter in _STATISTICS:
            module, _, below = module.rpartition(".")
            if below != self.statistics:
                return None
        if match := self._block_pattern.fullmatch(module):
            part = self._our_part.get(match["part"])
            stage = int(match["stage"]) - self.first_stage + 2
            if part is None or not 2 <= stage <= 5:
                return None
            ours: str | None = f"backbone.stages.res{stage}.{match['block']}.{part}"
        else:
            ours = self._our_module.get(module)
        if ours is None or not _has_place(ours, parameter):
            return None
        return f"{ours}.{parameter}"

    @property
    def mark(self) -> str:
        """Their name of the first convolution: it tells the layouts from one another."""
        name = self.their_name("backbone.stem.conv_xy.weight")
        assert name is not None
        return name

    @cached_property
    def _block_pattern(self) -> re.Pattern[str]:
        pattern = re.escape(self.block)
        pattern = pattern.replace(r"\{stage\}", r"(?P<stage>\d)")
        pattern = pattern.replace(r"\{block\}", r"(?P<block>0|[1-9]\d{0,2})")
        return re.compile(pattern + r"\.(?P<part>.+)")

    @cached_property
    def _our_part(self) -> dict[str, str]:
        return {theirs: ours for ours, theirs in self.inside.items()}

    @cached_property
    def _our_module(self) -> dict[str, str]:
        return {theirs: ours for ours, theirs in self.outside.items()}


def backbone_names(depths: tuple[int, ...]) -> list[str]:
    """Return our name of every tensor from stem to res5, for these numbers of blocks."""
    modules = [module for module in _OUR_OUTSIDE if module.startswith("backbone.")]
    modules += [
        f"backbone.stages.res{stage}.{block}.{part}"
        for stage, depth in enumerate(depths, start=2)
        for block in range(depth)
        for part in _OUR_INSIDE
    ]
    return [
        f"{module}.{parameter}"
        for module in modules
        for parameter in ("weight", "bias", *sorted(_STATISTICS))
        if _has_place(module, parameter)
    ]


def _has_place(our_module: str, parameter: str) -> bool:
    """Return whether X3D has that parameter there: what else a network has changes its output."""
    if match := _OUR_BLOCK.fullmatch(our_module):
        block, part = int(match[2]), match[3]
        if (part.startswith("se.") and block % 2) or (part.startswith("shortcut_") and block):
            return False
    leaf = our_module.rpartition(".")[2]
    if leaf.startswith("norm") or leaf.endswith("norm"):
        return parameter in _STATISTICS | {"weight", "bias"}
    return parameter == "weight" or (parameter == "bias" and leaf in ("fc1", "fc2", "projection"))


def _inside(
    a: str, b: str, c: str, fc1: str, fc2: str, shortcut: str, conv: str, norm: str
) -> dict[str, str]:
    """Return the table of a block whose convolutions and norms are named by two endings."""
    table = {}
    for ours, theirs in (("a", a), ("b", b), ("c", c)):
        table[f"conv_{ours}"] = theirs + conv
        table[f"norm_{ours}"] = theirs + norm
    table |= {"se.fc1": fc1, "se.fc2": fc2}
    return table | {"shortcut_conv": shortcut + conv, "shortcut_norm": shortcut + norm}


_OUR_OUTSIDE = {
    path: path
    for path in (
        "backbone.stem.conv_xy", "backbone.stem.conv_t", "backbone.stem.norm",
        "head.conv5", "head.norm5", LIN5, PROJECTION,
    )
}  # fmt: skip
_OUR_INSIDE = {
    part: part
    for part in (
        "conv_a", "norm_a", "conv_b", "norm_b", "se.fc1", "se.fc2", "conv_c", "norm_c",
        "shortcut_conv", "shortcut_norm",
    )
}  # fmt: skip


def _outside(*theirs: str) -> dict[str, str]:
    """Return the table of the modules outside the blocks, in the order of ours."""
    return dict(zip(_OUR_OUTSIDE, theirs, strict=True))


_SLOWFAST_OUTSIDE = _outside(
    "s1.pathway0_stem.conv_xy", "s1.pathway0_stem.conv", "s1.pathway0_stem.bn",
    "head.conv_5", "head.conv_5_bn", "head.lin_5", "head.projection",
)  # fmt: skip
_SLOWFAST_INSIDE = _inside(
    "branch2.a", "branch2.b", "branch2.c", "branch2.se.fc1", "branch2.se.fc2", "branch1", "", "_bn"
)
_MMACTION_OUTSIDE = _outside(
    "backbone.conv1_s.conv", "backbone.conv1_t.conv", "backbone.conv1_t.bn",
    "backbone.conv5.conv", "backbone.conv5.bn", "cls_head.fc1", "cls_head.fc2",
)  # fmt: skip
_MMACTION_INSIDE = _inside(
    "conv1", "conv2", "conv3", "se_module.fc1", "se_module.fc2", "downsample", ".conv", ".bn"
)
_EFFICIENT_INSIDE = _inside(
    "layers.conv_0.kernel", "layers.conv_1.kernel", "layers.conv_2.kernel",
    "layers.se.se.block.0", "layers.se.se.block.2", "_res_proj.kernel", ".conv", ".bn",
)  # fmt: skip

_ALL = (
    Layout(
        name="x3d_det",
        outside=_OUR_OUTSIDE,
        block="backbone.stages.res{stage}.{block}",
        first_stage=2,
        inside=_OUR_INSIDE,
        wrap_key=None,
        flat_lin5=True,
    ),
    Layout(
        name="pyslowfast",
        outside=_SLOWFAST_OUTSIDE,
        block="s{stage}.pathway0_res{block}",
        first_stage=2,
        inside=_SLOWFAST_INSIDE,
        wrap_key="model_state",
    ),
    Layout(
        name="pytorchvideo",
        outside=_outside(
            "blocks.0.conv.conv_t",  # the two are swapped there: this is the spatial one
            "blocks.0.conv.conv_xy",
            "blocks.0.norm",
            "blocks.5.pool.pre_conv",
            "blocks.5.pool.pre_norm",
            "blocks.5.pool.post_conv",
            "blocks.5.proj",
        ),
        block="blocks.{stage}.res_blocks.{block}",
        first_stage=1,
        inside={
            "conv_a": "branch2.conv_a",
            "norm_a": "branch2.norm_a",
            "conv_b": "branch2.conv_b",
            "norm_b": "branch2.norm_b.0",
            "se.fc1": "branch2.norm_b.1.block.0",
            "se.fc2": "branch2.norm_b.1.block.2",
            "conv_c": "branch2.conv_c",
            "norm_c": "branch2.norm_c",
            "shortcut_conv": "branch1_conv",
            "shortcut_norm": "branch1_norm",
        },
        wrap_key="model_state",
        same_width_shortcut_norm=False,
    ),
    Layout(
        name="mmaction2",
        outside=_MMACTION_OUTSIDE,
        block="backbone.layer{stage}.{block}",
        first_stage=1,
        inside=_MMACTION_INSIDE,
        wrap_key="state_dict",
        flat_lin5=True,
        # their configs count pixels from 0 to 255
        mean=(114.75 / 255,) * 3,
        std=(57.38 / 255,) * 3,
    ),
    Layout(
        name="co3d",  # PySlowFast's names, and its continual modules nested by number
        outside=_SLOWFAST_OUTSIDE,
        block="s{stage}.pathway0_res{block}",
        first_stage=2,
        inside=_SLOWFAST_INSIDE,
        wrap_key="model_state",
        nested_by_number=True,
    ),
    Layout(
        name="x3d_multigrid",
        outside=_outside("conv1_s", "conv1_t", "bn1", "conv5", "bn5", "fc1", "fc2"),
        block="layer{stage}.{block}",
        first_stage=1,
        inside={
            "conv_a": "conv1",
            "norm_a": "bn1",
            "conv_b": "conv2",
            "norm_b": "bn2",
            "se.fc1": "fc1",
            "se.fc2": "fc2",
            "conv_c": "conv3",
            "norm_c": "bn3",
            "shortcut_conv": "downsample.0",
            "shortcut_norm": "downsample.1",
        },
        wrap_key="model_state_dict",
        statistics="bn",
        # KINETICS_MEAN and KINETICS_STD of its training script
        mean=(110.63666788 / 255, 103.16065604 / 255, 96.29023126 / 255),
        std=(38.7568578 / 255, 37.88248729 / 255, 40.02898126 / 255),
    ),
    Layout(
        name="efficient_x3d",
        outside=_outside(
            "s1.pathway0_stem_conv_xy.kernel.conv",
            "s1.pathway0_stem_conv.kernel.conv",
            "s1.pathway0_stem_conv.kernel.bn",
            "head.conv_5.kernel.conv",
            "head.conv_5.kernel.bn",
            "head.lin_5.kernel.conv",
            "projection.model",
        ),
        block="s{stage}.pathway0_res{block}",
        first_stage=2,
        inside=_EFFICIENT_INSIDE,
        wrap_key=None,
    ),
)

LAYOUT_TABLES: dict[str, Layout] = {layout.name: layout for layout in _ALL}
"""Name -> layout; ours first."""

LAYOUTS: tuple[str, ...] = tuple(LAYOUT_TABLES)
