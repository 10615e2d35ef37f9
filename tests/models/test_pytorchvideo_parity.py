"""Our X3D against PyTorchVideo's, weight for weight.

Recipe: `pytorchvideo.models.x3d.create_x3d` (pytorchvideo 0.1.5, from PyPI), fresh
weights, BatchNorm weights and statistics drawn at random, the state dict renamed into
ours below. Tolerance: 1e-5 of the output's scale, float32 sums in another order.
"""

import dataclasses
import re

import pytest
import torch
from torch import nn

from x3d_det.models import X3D, X3D_SPECS, X3DClassifier

x3d = pytest.importorskip("pytorchvideo.models.x3d", reason="pytorchvideo is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:'saved_variables' is deprecated")

RULES = [  # in order; a name takes the first that fits
    (r"^blocks\.0\.conv\.conv_t\.", "backbone.stem.conv_xy."),  # the two are swapped there
    (r"^blocks\.0\.conv\.conv_xy\.", "backbone.stem.conv_t."),
    (r"^blocks\.0\.norm\.", "backbone.stem.norm."),
    (r"^blocks\.5\.pool\.pre_conv\.", "head.conv5."),
    (r"^blocks\.5\.pool\.pre_norm\.", "head.norm5."),
    (r"^blocks\.5\.pool\.post_conv\.", "head.lin5."),
    (r"^blocks\.5\.proj\.", "head.projection."),
]
BLOCK = re.compile(r"^blocks\.(\d)\.res_blocks\.(\d+)\.(.*)$")
INSIDE = [
    (r"^branch2\.norm_b\.0\.", "norm_b."),
    (r"^branch2\.norm_b\.1\.block\.0\.", "se.fc1."),
    (r"^branch2\.norm_b\.1\.block\.2\.", "se.fc2."),
    (r"^branch2\.", ""),
    (r"^branch1_conv\.", "shortcut_conv."),
    (r"^branch1_norm\.", "shortcut_norm."),
]


def renamed(name):
    inside = BLOCK.match(name)
    prefix, rest, rules = "", name, RULES
    if inside:
        prefix = f"backbone.stages.res{int(inside[1]) + 1}.{inside[2]}."
        rest, rules = inside[3], INSIDE
    for pattern, replacement in rules:
        if re.match(pattern, rest):
            return prefix + re.sub(pattern, replacement, rest)
    raise AssertionError(f"no rule for {name}")


def pair(name, *, activation=None, dropout=0.5, **clip):
    """PyTorchVideo's model and ours, of one weight."""
    torch.manual_seed(0)
    spec = dataclasses.replace(X3D_SPECS[name], **clip)
    theirs = x3d.create_x3d(
        input_clip_length=spec.num_frames,
        input_crop_size=spec.crop_size,
        depth_factor=spec.depth_factor,
        head_activation=activation,
        model_num_class=50,
        dropout_rate=dropout,
    )
    for name_of_layer, layer in theirs.named_modules():
        if isinstance(layer, nn.BatchNorm3d):
            # a block adds less than its shortcut carries, or L's 55 would be chaotic
            layer.weight.data.uniform_(
                *((0.1, 0.5) if name_of_layer.endswith("norm_c") else (0.5, 1.5))
            )
            layer.bias.data.normal_(std=0.2)
            layer.running_mean.normal_(std=0.2)
            layer.running_var.uniform_(0.5, 1.5)
    theirs.blocks[5].proj.weight.data.mul_(10)
    ours = X3DClassifier(
        X3D(spec, shortcut_norm_when_same_width=False), num_classes=50, dropout=dropout
    )
    load(ours, theirs.state_dict())
    return theirs, ours


def load(ours, their_state):
    state = {renamed(name): tensor for name, tensor in their_state.items()}
    state["head.lin5.weight"] = state["head.lin5.weight"].flatten(1)
    ours.load_state_dict(state)


def assert_close_to_scale(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("name", ["xs", "s", "m", "l"])
@pytest.mark.parametrize("shape", [(2, 3, 4, 64, 64), (1, 3, 5, 97, 64)], ids=["crop", "larger"])
def test_evaluation_mode(name, shape):
    """The larger clip has several positions of the pooling window."""
    theirs, ours = pair(name, activation=nn.Softmax, num_frames=4, crop_size=64)
    clips_BCTHW = torch.randn(shape)
    with torch.no_grad():
        assert_close_to_scale(ours.eval()(clips_BCTHW), theirs.eval()(clips_BCTHW))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("xs", (4, 3, 4, 128, 128)),
        ("s", (2, 3, 13, 96, 96)),
        ("m", (2, 3, 16, 96, 96)),
        ("l", (2, 3, 8, 96, 96)),
    ],
)
def test_training_mode_and_the_statistics_it_leaves(name, shape):
    """Clips large enough for BatchNorm to be well-conditioned in res5."""
    theirs, ours = pair(name, dropout=0.0, num_frames=shape[2], crop_size=shape[3])
    clips_BCTHW = torch.randn(shape)
    with torch.no_grad():
        assert_close_to_scale(ours(clips_BCTHW), theirs(clips_BCTHW))
    expected = {renamed(key): value for key, value in theirs.state_dict().items()}
    statistics = [key for key in expected if key.endswith(("running_mean", "running_var"))]
    assert len(statistics) > 100
    for key in statistics:
        assert_close_to_scale(ours.state_dict()[key], expected[key])


@pytest.mark.parametrize(
    "name",
    ["xs", *(pytest.param(name, marks=pytest.mark.slow) for name in ("s", "m", "l"))],
)
def test_evaluation_mode_at_the_published_size(name):
    theirs, ours = pair(name, activation=nn.Softmax)
    spec = X3D_SPECS[name]
    clips_BCTHW = torch.randn(1, 3, spec.num_frames, spec.crop_size, spec.crop_size)
    with torch.no_grad():
        assert_close_to_scale(ours.eval()(clips_BCTHW), theirs.eval()(clips_BCTHW))


@pytest.mark.parametrize("shape", [(4, 3, 4, 64, 64), (2, 3, 8, 64, 64)], ids=["short", "long"])
def test_gradients_of_xs_in_training_mode(shape, monkeypatch):
    """The fast forms, made to run in float64, against PyTorchVideo's gradients.

    In float32 a gradient is a matter of luck: of some million ReLUs a few have an input
    within rounding of 0, and each that falls to the other side moves the gradients by
    a per cent, PyTorchVideo's own against its float64 run as much as ours.
    """
    for module in ("layers", "depthwise", "batch_norm"):
        monkeypatch.setattr(f"x3d_det.models.{module}.has_fast_form", lambda _: True)
    theirs, ours = pair("xs", dropout=0.0, num_frames=shape[2], crop_size=64)
    clips_BCTHW = torch.randn(shape, dtype=torch.double)
    labels_B = torch.arange(shape[0])
    for model in (theirs.double(), ours.double()):
        nn.functional.cross_entropy(model(clips_BCTHW), labels_B).backward()
    expected = {renamed(key): p.grad for key, p in theirs.named_parameters()}
    gradients = {key: p.grad for key, p in ours.named_parameters()}
    assert gradients.keys() == expected.keys()
    for key, gradient in gradients.items():
        assert_close_to_scale(gradient, expected[key].view_as(gradient), tolerance=1e-8)
