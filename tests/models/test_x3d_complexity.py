"""The published counts of multiply-adds and parameters, to the last digit.

Source of the numbers: the X3D paper's tables and PySlowFast's model zoo print them to
two or three digits; the integers come from the formula below, which shares no code with
`complexity.py`, and agree with every printed digit.
"""

import dataclasses
import math

import pytest
import torch
from torch import nn

from x3d_det.models import ROI_HEADS, X3D, X3D_SPECS, X3DClassifier, build_detector
from x3d_det.models.batch_norm import BatchNorm3d
from x3d_det.models.complexity import (
    backbone_multiply_adds,
    classifier_complexity,
    count_multiply_adds,
    count_parameters,
)


@pytest.fixture(autouse=True)
def _no_batch_norm(monkeypatch):
    """It is not counted and keeps the shape, but takes most of the time on the meta device."""
    monkeypatch.setattr(BatchNorm3d, "forward", lambda self, input: input)


def oracle(spec, *, height, width, num_classes=400, feature_stride=32, with_head=True):
    """Multiply-adds and parameters (with, without BatchNorm) by the paper's Table 1."""

    def nearest(channels, divisor):
        rounded = max(divisor, math.floor((channels + divisor / 2) / divisor) * divisor)
        return rounded + (divisor if rounded < 0.9 * channels else 0)

    frames = spec.num_frames
    rows, columns = math.ceil(height / 2), math.ceil(width / 2)
    stem = nearest(24 * spec.width_factor, spec.width_divisor)
    macs = frames * rows * columns * stem * (27 + 5)
    weights, norms = stem * (27 + 5), 2 * stem
    before = stem
    for base, depth in ((24, 1), (48, 2), (96, 5), (192, 3)):
        out = nearest(base * spec.width_factor, spec.width_divisor)
        inner = math.floor(out * spec.bottleneck_factor)
        hidden = nearest(inner / 16, 8)
        for block in range(math.ceil(depth * spec.depth_factor)):
            macs += frames * rows * columns * before * inner
            if block == 0 and not (base == 192 and feature_stride == 16):
                rows, columns = math.ceil(rows / 2), math.ceil(columns / 2)
            cells = frames * rows * columns
            macs += cells * inner * (27 + out)
            weights += inner * (before + 27 + out)
            norms += 2 * (inner + inner + out)
            if block == 0:
                macs += cells * before * out
                weights += before * out
                norms += 2 * out
            if block % 2 == 0:
                macs += 2 * inner * hidden
                weights += 2 * inner * hidden + inner + hidden
            before = out
    if with_head:
        macs += frames * rows * columns * before * inner + inner * 2048 + 2048 * num_classes
        weights += before * inner + inner * 2048 + 2048 * num_classes + num_classes
        norms += 2 * inner
    return macs, weights + norms, weights


@pytest.mark.parametrize(
    ("name", "multiply_adds", "printed_gmacs", "parameters", "without_bn", "pytorchvideo"),
    [
        ("x2d", 20_662_304, 0.02066, 1_633_560, 1_625_352, 1_633_512),
        ("xs", 605_256_512, 0.605, 3_794_322, 3_762_858, 3_794_274),
        ("s", 1_962_892_112, 1.963, 3_794_322, 3_762_858, 3_794_274),
        ("m", 4_732_468_736, 4.732, 3_794_322, 3_762_858, 3_794_274),
        ("l", 18_367_710_176, 18.368, 6_153_432, 6_087_120, 6_153_384),
        ("xl", 35_837_627_616, 35.838, 11_095_904, 11_000_260, 11_095_840),
    ],
)
def test_classifier(name, multiply_adds, printed_gmacs, parameters, without_bn, pytorchvideo):
    spec = X3D_SPECS[name]
    found = classifier_complexity(spec)
    assert found.multiply_adds == multiply_adds
    assert found.parameters == parameters
    assert found.parameters_without_batch_norm == without_bn
    assert (multiply_adds, parameters, without_bn) == oracle(
        spec, height=spec.crop_size, width=spec.crop_size
    )
    digits = len(str(printed_gmacs).split(".")[1])
    assert round(multiply_adds / 1e9, digits) == printed_gmacs
    with torch.device("meta"):
        theirs = X3DClassifier(X3D(spec, shortcut_norm_when_same_width=False), num_classes=400)
    assert count_parameters(theirs) == pytorchvideo


@pytest.mark.parametrize(
    ("name", "size_px", "multiply_adds", "printed_gmacs"),
    [
        ("xs", 182, 838_807_664, 0.84),
        ("s", 182, 2_721_933_356, 2.72),
        ("m", 256, 6_180_613_376, 6.18),
        ("l", 356, 24_764_017_280, 24.76),
        ("xl", 356, 48_406_849_600, 48.41),
    ],
)
def test_crops_of_the_30_view_test(name, size_px, multiply_adds, printed_gmacs):
    found = classifier_complexity(X3D_SPECS[name], size_px=size_px).multiply_adds
    assert found == multiply_adds
    assert found == oracle(X3D_SPECS[name], height=size_px, width=size_px)[0]
    assert round(found / 1e9, 2) == printed_gmacs


def test_width_factor_trap_of_xl():
    """PySlowFast's WIDTH_FACTOR is twice ours: 2.9 is our 1.45, and 4.0, not 2.0, doubles M."""
    doubled = classifier_complexity(dataclasses.replace(X3D_SPECS["xl"], width_factor=2.0))
    assert doubled.multiply_adds == 67_603_753_280
    assert doubled.parameters == 19_406_024
    divisor_one = classifier_complexity(dataclasses.replace(X3D_SPECS["xl"], width_divisor=1))
    assert divisor_one.multiply_adds == 36_650_215_072
    assert divisor_one.parameters == 11_087_571


@pytest.mark.parametrize(
    ("head", "name", "parameters"),
    [
        ("fc", "m", 2_021_618),
        ("fc", "l", 4_380_728),
        ("fc", "xl", 8_830_884),
        ("conv5_fc", "m", 2_124_626),
        ("conv5_fc", "l", 4_483_736),
        ("conv5_fc", "xl", 9_036_544),
        ("conv5_lin5_fc", "m", 3_138_642),
        ("conv5_lin5_fc", "l", 5_497_752),
        ("conv5_lin5_fc", "xl", 10_440_224),
    ],
)
def test_detector_parameters(head, name, parameters):
    assert head in ROI_HEADS
    with torch.device("meta"):
        detector = build_detector(X3D_SPECS[name], num_actions=80, head=head)
    assert count_parameters(detector) == parameters


@pytest.mark.parametrize(
    ("name", "height_px", "width_px", "feature_stride", "multiply_adds", "printed_gmacs"),
    [
        ("m", 224, 224, 32, 4_665_736_704, 4.67),
        ("l", 312, 312, 32, 18_233_295_840, 18.23),
        ("xl", 312, 312, 32, 35_553_278_176, 35.55),
        ("m", 224, 224, 16, 7_437_220_608, 7.44),
        ("l", 312, 312, 16, 30_707_382_240, 30.71),
        ("xl", 312, 312, 16, 61_515_662_176, 61.52),
        ("m", 256, 341, 32, 8_292_052_224, 8.29),
        ("xl", 256, 341, 32, 31_574_058_144, 31.57),
        ("m", 256, 455, 32, 11_037_738_240, 11.04),
        ("xl", 256, 455, 32, 42_055_060_128, 42.06),
        ("m", 356, 633, 32, 21_786_520_992, 21.79),
        ("xl", 356, 633, 32, 83_225_230_112, 83.23),
    ],
)
def test_backbone_on_whole_clips(
    name, height_px, width_px, feature_stride, multiply_adds, printed_gmacs
):
    spec = X3D_SPECS[name]
    found = backbone_multiply_adds(
        spec, height_px=height_px, width_px=width_px, feature_stride=feature_stride
    )
    assert found == multiply_adds
    expected = oracle(
        spec, height=height_px, width=width_px, feature_stride=feature_stride, with_head=False
    )
    assert found == expected[0]
    assert round(found / 1e9, 2) == printed_gmacs


def test_counts_by_hand_and_leaves_no_hook_behind():
    model = nn.Sequential(nn.Conv3d(4, 6, 3, padding=1, groups=2), nn.BatchNorm3d(6), nn.ReLU())
    clip_BCTHW = torch.zeros(1, 4, 2, 5, 5)
    # 6 * 2 * 5 * 5 outputs, each of 4 / 2 channels * 27 taps
    assert count_multiply_adds(model, clip_BCTHW) == 300 * 54
    assert count_multiply_adds(nn.Linear(3, 5), torch.zeros(7, 3)) == 7 * 3 * 5
    assert count_parameters(model) == 6 * 54 + 6 + 12
    assert count_parameters(model, with_batch_norm=False) == 6 * 54 + 6
    assert not any(layer._forward_hooks for layer in model.modules())
