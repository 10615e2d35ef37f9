"""Counted costs against the modules themselves; measured ones."""

import dataclasses
import itertools

import pytest
import torch

from x3d_det.errors import ConfigError
from x3d_det.expansion import (
    AXES,
    X2D,
    Factors,
    Limits,
    counted_cost,
    levels,
    measured_cost,
    network_cost,
)
from x3d_det.expansion.cost import clip_size
from x3d_det.models import X3D, X3D_SPECS, X3DClassifier
from x3d_det.models.complexity import count_activations, count_multiply_adds, count_parameters

XS = Factors.of_spec(X3D_SPECS["xs"])


def on_modules(factors, *, num_classes, height, width):
    """The three counts by running the network on the meta device."""
    with torch.device("meta"):
        model = X3DClassifier(X3D(factors.spec()), num_classes=num_classes).eval()
        cells = (-(-height // 32), -(-width // 32))
        model.head.pool_size = (factors.num_frames, *cells)
        clip = torch.empty(1, 3, factors.num_frames, height, width)
    return (
        count_multiply_adds(model, clip),
        count_parameters(model),
        count_activations(model, clip),
    )


@pytest.mark.parametrize(
    ("changes", "num_classes", "aspect_ratio"),
    [
        ({}, 400, 1.0),
        ({"crop_px": 182, "num_frames": 3}, 17, 16 / 9),
        ({"width": 1.45, "depth": 1.4, "crop_px": 75, "bottleneck": 2.6}, 80, 0.75),
        ({"width": 0.3, "depth": 1.0, "bottleneck": 0.7, "num_frames": 1}, 5, 2.39),
        ({"crop_px": 16, "num_frames": 1}, 8, 1.0),  # the least: one cell in the last two stages
    ],
)
def test_counts_are_those_of_the_modules(changes, num_classes, aspect_ratio):
    factors = dataclasses.replace(XS, **changes)
    height, width = clip_size(factors.crop_px, aspect_ratio)
    counted = network_cost(factors, num_classes=num_classes, aspect_ratio=aspect_ratio)
    assert dataclasses.astuple(counted) == on_modules(
        factors, num_classes=num_classes, height=height, width=width
    )


@pytest.mark.parametrize(
    ("member", "multiply_adds", "parameters"),
    [
        ("x2d", 20_662_304, 1_633_560),
        ("xs", 605_256_512, 3_794_322),
        ("s", 1_962_892_112, 3_794_322),
        ("m", 4_732_468_736, 3_794_322),
        ("l", 18_367_710_176, 6_153_432),
        ("xl", 35_837_627_616, 11_095_904),
    ],
)
def test_published_counts(member, multiply_adds, parameters):
    counted = network_cost(Factors.of_spec(X3D_SPECS[member]))
    assert (counted.multiply_adds, counted.parameters) == (multiply_adds, parameters)


@pytest.mark.parametrize("axis", AXES)
def test_no_count_falls_along_an_axis(axis):
    # What finding the nearest value by halving rests on.
    limits = Limits(largest_crop_px=480, largest_depth=6, largest_width=4, largest_bottleneck=6)
    for start in (X2D, XS):
        counts = [network_cost(one) for one in (start, *levels(start, axis, limits))]
        for before, after in itertools.pairwise(counts):
            assert before.multiply_adds < after.multiply_adds
            assert before.activations < after.activations
            assert before.parameters <= after.parameters


def test_activations_worked_by_hand():
    # One 1x1x1 convolution from 3 to 2 channels on 4 x 5 x 6, a class layer of 7: 2 * 120 + 7.
    model = torch.nn.Sequential(
        torch.nn.Conv3d(3, 2, 1), torch.nn.Flatten(), torch.nn.Linear(240, 7), torch.nn.ReLU()
    )
    assert count_activations(model, torch.zeros(1, 3, 4, 5, 6)) == 247


def test_each_count_by_its_name():
    whole = network_cost(X2D, num_classes=10)
    for name in ("multiply_adds", "parameters", "activations"):
        assert counted_cost(name, num_classes=10)(X2D) == getattr(whole, name)
    with pytest.raises(
        ConfigError, match=r"'paramters' is not counted; .*; did you mean parameters\?$"
    ):
        counted_cost("paramters")


def test_the_short_side_is_the_crop():
    assert clip_size(224, 16 / 9) == (224, 398)
    assert clip_size(224, 9 / 16) == (398, 224)
    with pytest.raises(ConfigError, match="aspect_ratio is 0"):
        counted_cost(aspect_ratio=0)


def test_latency_is_measured_once_for_each():
    asked = []

    def measure(spec, num_frames, height, width):
        asked.append((spec, num_frames, height, width))
        return 0.25

    cost = measured_cost(measure, device="cpu", aspect_ratio=1.5)
    assert [cost(XS), cost(XS)] == [0.25, 0.25]
    assert asked == [(X3D_SPECS["xs"], 4, 160, 240)]
    assert cost.settings == {
        "name": "latency",
        "num_classes": 400,
        "aspect_ratio": 1.5,
        "device": "cpu",
    }
    assert cost.counts(XS) == network_cost(XS, aspect_ratio=1.5)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_measurement_that_is_none(value):
    cost = measured_cost(lambda *_: value, device="cpu")
    with pytest.raises(ConfigError, match=f"came out as {value}; a cost must be a number above"):
        cost(XS)
