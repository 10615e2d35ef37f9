"""X3D's factors, rounding, shapes and starting weights, and the Kinetics classifier."""

import dataclasses

import pytest
import torch
from torch import nn

from x3d_det.models import X3D, X3D_SPECS, X3DClassifier, X3DSpec
from x3d_det.models.layers import Bottleneck, PointwiseConv3d, SqueezeExcitation, Stem, round_width

TINY = X3DSpec(num_frames=4, crop_size=64, sampling_stride=2, depth_factor=1.0)


def test_round_width_by_hand():
    assert round_width(34.8) == 32  # 38.8 // 8 = 4; 32 is not below 0.9 * 34.8 = 31.3
    assert round_width(69.6) == 72
    assert round_width(139.2) == 136
    assert round_width(278.4) == 280
    assert round_width(54 / 16) == 8  # 3.4 would round to 0; at least one divisor
    assert round_width(11.0) == 16  # rounds to 8, which is below 9.9, hence one up
    assert round_width(34.8, divisor=1) == 35


@pytest.mark.parametrize(
    ("name", "stem", "widths", "inner", "depths"),
    [
        ("x2d", 24, (24, 48, 96, 192), (24, 48, 96, 192), (1, 2, 5, 3)),
        ("xs", 24, (24, 48, 96, 192), (54, 108, 216, 432), (3, 5, 11, 7)),
        ("s", 24, (24, 48, 96, 192), (54, 108, 216, 432), (3, 5, 11, 7)),
        ("m", 24, (24, 48, 96, 192), (54, 108, 216, 432), (3, 5, 11, 7)),
        ("l", 24, (24, 48, 96, 192), (54, 108, 216, 432), (5, 10, 25, 15)),
        ("xl", 32, (32, 72, 136, 280), (72, 162, 306, 630), (5, 10, 25, 15)),
    ],
)
def test_spec_gives_the_published_widths_and_depths(name, stem, widths, inner, depths):
    spec = X3D_SPECS[name]
    assert spec.stem_channels == stem
    assert spec.stage_channels == widths
    assert spec.inner_channels == inner
    assert spec.stage_depths == depths


def test_specs_have_the_published_clips():
    clips = {
        name: (spec.num_frames, spec.sampling_stride, spec.crop_size)
        for name, spec in X3D_SPECS.items()
    }
    assert clips == {
        "x2d": (1, 1, 112),
        "xs": (4, 12, 160),
        "s": (13, 6, 160),
        "m": (16, 5, 224),
        "l": (16, 5, 312),
        "xl": (16, 5, 312),
    }


def test_divisor_one_gives_the_widths_of_later_pyslowfast():
    spec = dataclasses.replace(X3D_SPECS["xl"], width_divisor=1)
    assert (spec.stem_channels, *spec.stage_channels) == (35, 35, 70, 139, 278)


@pytest.mark.parametrize(
    ("feature_stride", "size", "cells"),
    [
        (32, (64, 96), (2, 3)),
        (32, (65, 33), (3, 2)),
        (16, (64, 96), (4, 6)),
        (16, (33, 17), (3, 2)),
    ],
)
def test_features_have_all_frames_and_the_stride(feature_stride, size, cells):
    backbone = X3D(TINY, feature_stride=feature_stride).eval()
    with torch.no_grad():
        features_BCTHW = backbone(torch.randn(2, 3, 3, *size))
    assert features_BCTHW.shape == (2, 192, 3, *cells)
    assert backbone.out_channels == 192
    assert backbone.inner_channels == 432
    assert features_BCTHW.min() >= 0


def test_one_frame_and_one_clip():
    with torch.no_grad():
        assert X3D(TINY).eval()(torch.randn(1, 3, 1, 32, 32)).shape == (1, 192, 1, 1, 1)


def test_every_stride_has_the_same_weights():
    shapes = [
        {
            name: tensor.shape
            for name, tensor in X3D(TINY, feature_stride=stride).state_dict().items()
        }
        for stride in (16, 32)
    ]
    assert shapes[0] == shapes[1]


def test_stride_16_keeps_res4s_size_and_dilates_res5():
    res5 = X3D(TINY, feature_stride=16).stages["res5"]
    assert [block.conv_b.dilation for block in res5] == [(1, 2, 2)] * 3
    assert [block.conv_b.stride for block in res5] == [(1, 1, 1)] * 3
    assert res5[0].shortcut_conv.stride == (1, 1, 1)


def test_state_dict_names():
    names = set(X3D(TINY).state_dict())
    assert {
        "stem.conv_xy.weight",
        "stem.conv_t.weight",
        "stem.norm.running_var",
        "stages.res2.0.shortcut_conv.weight",
        "stages.res2.0.shortcut_norm.weight",
        "stages.res4.4.conv_a.weight",
        "stages.res4.4.norm_a.bias",
        "stages.res4.4.conv_b.weight",
        "stages.res4.4.se.fc1.weight",
        "stages.res4.4.se.fc2.bias",
        "stages.res5.2.conv_c.weight",
        "stages.res5.2.norm_c.running_mean",
    } <= names


def test_squeeze_and_excitation_stands_in_even_blocks():
    stage = X3D(X3D_SPECS["xs"]).stages["res3"]
    assert [block.se is not None for block in stage] == [True, False, True, False, True]


def test_shortcut_norm_can_be_left_out_where_only_the_size_changes():
    stages = X3D(TINY, shortcut_norm_when_same_width=False).stages
    assert stages["res2"][0].shortcut_conv is not None
    assert stages["res2"][0].shortcut_norm is None
    assert stages["res3"][0].shortcut_norm is not None


def test_a_fresh_block_is_its_shortcut():
    block = Bottleneck(8, 18, 8, use_se=True)
    backbone = X3D(TINY)
    for name, layer in backbone.named_modules():
        if isinstance(layer, Bottleneck):
            assert not layer.norm_c.weight.any(), name
            assert bool((layer.norm_a.weight == 1).all()), name
    nn.init.zeros_(block.norm_c.weight)
    x_BCTHW = torch.rand(2, 8, 3, 5, 5)
    torch.testing.assert_close(block(x_BCTHW), x_BCTHW)


def test_blocks_need_not_begin_as_their_shortcut():
    block = X3D(TINY, zero_init_residual=False).stages["res4"][1]
    assert bool((block.norm_c.weight == 1).all())


def test_starting_weights_have_the_fan_out_spread():
    torch.manual_seed(0)
    model = X3DClassifier(X3D(X3D_SPECS["xs"]), num_classes=400)
    block = model.backbone.stages["res5"][1]
    # sqrt(2 / (output channels * taps))
    assert block.conv_a.weight.std().item() == pytest.approx((2 / 432) ** 0.5, rel=0.02)
    assert block.conv_b.weight.std().item() == pytest.approx((2 / (432 * 27)) ** 0.5, rel=0.02)
    assert model.head.lin5.weight.std().item() == pytest.approx((2 / 2048) ** 0.5, rel=0.02)
    assert model.head.projection.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not model.head.projection.bias.any()
    assert not model.backbone.stages["res5"][0].se.fc1.bias.any()


def test_squeeze_and_excitation_by_hand():
    se = SqueezeExcitation(2)  # hidden 8
    nn.init.constant_(se.fc1.weight, 1.0)
    nn.init.zeros_(se.fc1.bias)
    nn.init.constant_(se.fc2.weight, 0.125)
    nn.init.constant_(se.fc2.bias, -4.0)
    x_BCTHW = torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 3.0)])[None]
    # means 1 and 3; hidden all 4; gate sigmoid(8 * 0.125 * 4 - 4) = 0.5
    torch.testing.assert_close(se(x_BCTHW), x_BCTHW / 2)


def test_stem_halves_the_space_and_keeps_time():
    stem = Stem(3, 24)
    assert stem(torch.randn(2, 3, 4, 9, 10)).shape == (2, 24, 4, 5, 5)
    assert stem.conv_t.weight.shape == (24, 1, 5, 1, 1)


@pytest.mark.parametrize("spatial_stride", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_pointwise_convolution_equals_conv3d(spatial_stride, bias):
    torch.manual_seed(0)
    fast = PointwiseConv3d(5, 7, spatial_stride=spatial_stride, bias=bias)
    plain = nn.Conv3d(5, 7, 1, stride=(1, spatial_stride, spatial_stride), bias=bias)
    plain.load_state_dict(fast.state_dict())
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        x_BCTHW = torch.randn(2, 5, 3, 5, 6).contiguous(memory_format=layout)
        outputs = []
        for layer in (fast, plain):
            layer.zero_grad()
            leaf = x_BCTHW.clone().requires_grad_()
            y = layer(leaf)
            (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
            outputs.append([y, leaf.grad, *(p.grad for p in layer.parameters())])
        for ours, theirs in zip(*outputs, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_activations_stay_channels_last():
    """A layer that put out contiguous memory would make every layer after it slow."""
    seen = []

    def note(layer, _, output):
        if output.ndim == 5 and output[0, 0].numel() > 1:
            seen.append((layer, output.is_contiguous(memory_format=torch.channels_last_3d)))

    backbone = X3D(TINY)
    for layer in backbone.modules():
        layer.register_forward_hook(note)
    for num_clips in (1, 2):
        backbone(torch.randn(num_clips, 3, 4, 64, 64))
    assert len(seen) > 50
    assert [layer for layer, channels_last in seen if not channels_last] == []


def test_classifier_returns_logits_in_training_and_probabilities_in_evaluation():
    model = X3DClassifier(X3D(TINY), num_classes=5, dropout=0.0)
    clips_BCTHW = torch.randn(2, 3, 4, 64, 64)
    assert model(clips_BCTHW).shape == (2, 5)
    model.eval()
    probabilities_BK = model(clips_BCTHW)
    torch.testing.assert_close(probabilities_BK.sum(dim=1), torch.ones(2))
    model.head.train()
    torch.testing.assert_close(probabilities_BK, _conv5_in_eval(model, clips_BCTHW).softmax(dim=1))


def _conv5_in_eval(model, clips_BCTHW):
    model.head.norm5.eval()
    return model(clips_BCTHW)


def test_classifier_averages_probabilities_over_positions():
    torch.manual_seed(0)
    head = X3DClassifier(X3D(TINY), num_classes=5).head.eval()
    head.projection.weight.data.mul_(100)  # fresh weights hardly tell positions apart
    features_BCTHW = torch.rand(1, 192, 4, 3, 2)  # window 4 x 2 x 2: two positions
    one_by_one = [head(features_BCTHW[:, :, :, top : top + 2]) for top in (0, 1)]
    assert not torch.allclose(*one_by_one, rtol=1e-2)
    torch.testing.assert_close(head(features_BCTHW), sum(one_by_one) / 2)


def test_classifier_pools_a_smaller_map_whole():
    head = X3DClassifier(X3D(TINY), num_classes=5).head.eval()
    assert head(torch.rand(2, 192, 2, 1, 1)).shape == (2, 5)


def test_errors_name_what_was_found():
    with pytest.raises(ValueError, match=r"feature_stride is 8; X3D has 32 or 16\."):
        X3D(TINY, feature_stride=8)
    backbone = X3D(TINY)
    with pytest.raises(
        ValueError, match=r"clips have shape \(3, 4, 64, 64\); it must be \(B, 3, T"
    ):
        backbone(torch.zeros(3, 4, 64, 64))
    with pytest.raises(ValueError, match=r"clips have shape \(1, 1, 4, 64, 64\)"):
        backbone(torch.zeros(1, 1, 4, 64, 64))
