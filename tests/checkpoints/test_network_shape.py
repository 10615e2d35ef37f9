"""Widths and depths of an X3D as a shape: the family's members and the factors behind it."""

import dataclasses

import pytest

from x3d_det.checkpoints import NetworkShape
from x3d_det.models import X3D_SPECS, X3DSpec


def test_shapes_name_the_members_of_the_family():
    shape = NetworkShape.of_spec(X3D_SPECS["s"])
    assert shape.members == ("xs", "s", "m")
    assert shape.spec == X3D_SPECS["m"]
    assert shape.text() == (
        "X3D-XS, S, M of widths 24, 24-48-96-192 (inside the blocks 54-108-216-432) and "
        "3-5-11-7 blocks"
    )
    assert NetworkShape.of_spec(X3D_SPECS["xl"]).members == ("xl",)


@pytest.mark.parametrize(
    "factors",
    [
        {"width_factor": 1.45, "depth_factor": 5.0, "width_divisor": 1},  # X3D-XL's other widths
        {"width_factor": 1 / 3, "depth_factor": 1.0},
        {"width_factor": 2.0, "depth_factor": 3.0, "bottleneck_factor": 1.5},
        {"width_factor": 1.1, "depth_factor": 1.7, "bottleneck_factor": 1.9, "width_divisor": 1},
    ],
    ids=["xl-other", "small", "wide", "odd"],
)
def test_factors_are_found_from_a_shape(factors):
    spec = X3DSpec(num_frames=16, crop_size=224, sampling_stride=5, **factors)
    shape = NetworkShape.of_spec(spec)
    assert shape.members == ()
    assert NetworkShape.of_spec(shape.spec) == shape
    assert NetworkShape.of_spec(dataclasses.replace(spec, width_factor=1.0)) != shape


def test_a_shape_without_factors_has_no_spec():
    assert NetworkShape(24, (24, 50, 96, 192), (54, 108, 216, 432), (3, 5, 11, 7)).spec is None
