"""The values an axis offers, and the one it takes: worked by hand."""

import dataclasses
import math

import pytest

from x3d_det.errors import ConfigError
from x3d_det.expansion import X2D, Candidate, Cost, Factors, Limits, Stuck, contracted, grown
from x3d_det.expansion.axes import AXES, check_axes, contraction_levels, levels, nearest_stride
from x3d_det.models import X3D_SPECS

M = Factors.of_spec(X3D_SPECS["m"])


def volume(factors):
    """A cost that every factor multiplies."""
    return (
        factors.num_frames
        * factors.crop_px**2
        * factors.depth
        * factors.width**2
        * factors.bottleneck
    )


VOLUME = Cost("volume", unit="units", of=volume)


def candidate(factors, cost=VOLUME):
    return Candidate(step=0, axis="start", factors=factors, cost=cost(factors))


def clips(found):
    return [(one.num_frames, one.sampling_stride) for one in found]


def test_factors_and_specs_are_the_same_in_both_directions():
    for spec in X3D_SPECS.values():
        assert Factors.of_spec(spec).spec() == spec
    assert Factors.of_spec(X3D_SPECS["x2d"]) == X2D
    with pytest.raises(ConfigError, match="width_divisor is 1; the search rounds widths to 8"):
        Factors.of_spec(dataclasses.replace(X3D_SPECS["xl"], width_divisor=1))


def test_config_values_name_settings_that_exist():
    from x3d_det.config.kinetics import KineticsClipConfig, KineticsModelConfig
    from x3d_det.config.schema import ClipConfig, ModelConfig

    values = M.config_values()
    assert values["clip"] == {"num_frames": 16, "sampling_stride": 5, "train_crop": 224}
    assert values["model"]["bottleneck_factor"] == 2.25
    for section, schemas in {
        "model": (ModelConfig, KineticsModelConfig),
        "clip": (ClipConfig, KineticsClipConfig),
    }.items():
        for schema in schemas:
            assert set(values[section]) <= set(schema.model_fields)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"num_frames": 0}, "num_frames is 0; it must be whole and at least 1"),
        ({"crop_px": 15}, "crop_px is 15; it must be whole and at least 16"),
        ({"sampling_stride": 1.5}, "sampling_stride is 1.5; it must be whole"),
        ({"width": 0.0}, "width is 0.0; it must be a number above 0"),
        ({"depth": math.nan}, "depth is nan"),
    ],
)
def test_factors_out_of_range(changes, text):
    with pytest.raises(ConfigError, match=text):
        dataclasses.replace(M, **changes)


def test_a_stride_half_way_goes_to_the_higher_frame_rate():
    assert [nearest_stride(x) for x in (0.2, 1.5, 1.51, 2.0, 2.5, 4.76)] == [1, 1, 2, 2, 2, 5]


def test_fast_holds_the_duration():
    four = dataclasses.replace(M, num_frames=4, sampling_stride=6)  # 24 frames long
    found = clips(levels(four, "fast", Limits()))
    # 24/5 = 4.8 -> 5: 25 frames; 24/7 = 3.4 -> 3: 21, an eighth shorter, and so are 9 x 3, 10 x 2
    assert found == [(5, 5), (6, 4), (8, 3), (11, 2), (12, 2), (13, 2), (22, 1), (23, 1), (24, 1)]


def test_fast_from_one_frame_spreads_over_its_nominal_duration():
    assert clips(levels(X2D, "fast", Limits()))[:2] == [(2, 15), (3, 10)]
    limits = Limits(one_frame_seconds=0.4)  # 12 frames
    assert clips(levels(X2D, "fast", limits))[:2] == [(2, 6), (3, 4)]


def test_fast_leaves_out_what_would_change_the_duration():
    # 16 x 2: T = 17 to 21 round to a stride of 2, the present one; 22 to 28 x 1 are too short
    found = clips(levels(dataclasses.replace(M, sampling_stride=2), "fast", Limits()))
    assert found == [(29, 1), (30, 1), (31, 1), (32, 1)]


def test_temporal_raises_duration_and_frame_rate():
    eight = dataclasses.replace(M, num_frames=8, sampling_stride=6)
    found = dict(clips(levels(eight, "temporal", Limits())))
    # stride 6 / (T / 8)^(1/3): 16 -> 4.76, 27 -> 4.0, 64 -> 3
    assert (found[16], found[27], found[64]) == (5, 4, 3)
    for frames, stride in found.items():
        assert 48 < frames * stride <= 300  # longer than before, within 10 s of 30 fps


def test_temporal_stops_at_the_longest_clip():
    found = clips(levels(M, "temporal", Limits(longest_seconds=4.0)))
    assert max(frames * stride for frames, stride in found) <= 120
    stuck = grown(
        candidate(M),
        "temporal",
        target_cost=2 * volume(M),
        cost=VOLUME,
        limits=Limits(longest_seconds=2.7),
    )
    assert stuck == Stuck(
        axis="temporal",
        reason="a clip of more than 16 frames, 5 apart, would be longer than "
        "limits.longest_seconds = 2.7",
    )


def test_spatial_goes_to_multiples_of_8_also_from_an_odd_crop():
    odd = dataclasses.replace(M, crop_px=225)
    found = [one.crop_px for one in levels(odd, "spatial", Limits(largest_crop_px=250))]
    assert found == [232, 240, 248]


def test_depth_goes_to_where_the_blocks_change():
    shallow = dataclasses.replace(M, depth=1.0)
    found = [one.depth for one in levels(shallow, "depth", Limits(largest_depth=2.2))]
    # of 1, 2, 5, 3 blocks: fifths, halves, thirds
    assert found == pytest.approx([1.2, 4 / 3, 1.4, 1.5, 1.6, 5 / 3, 1.8, 2, 2.2])
    blocks = [one.spec().stage_depths for one in levels(shallow, "depth", Limits())]
    assert (3, 5, 11, 7) in blocks
    assert len(set(blocks)) == len(blocks)
    # nothing between two neighbours is left out: one block of one stage more, or the tie of some
    for one in levels(shallow, "depth", Limits()):
        a_little_less = dataclasses.replace(one, depth=one.depth - 1e-6).spec().stage_depths
        a_little_more = dataclasses.replace(one, depth=one.depth + 1e-6).spec().stage_depths
        assert a_little_less == one.spec().stage_depths != a_little_more


def test_width_and_bottleneck_skip_what_changes_no_layer():
    widths = levels(M, "width", Limits(largest_width=1.6))
    # 1.05: 96 -> 100.8 -> 104 and 192 -> 201.6 -> 200
    assert widths[0].width == 1.05
    assert widths[0].spec().stage_channels == (24, 48, 104, 200)
    assert 1.45 in [one.width for one in widths]
    sizes = [one.layer_sizes for one in widths]
    assert len(set(sizes)) == len(sizes)
    assert levels(M, "bottleneck", Limits())[0].bottleneck == 2.3


def test_of_two_values_the_nearer_in_ratio_is_taken():
    # crops 160, 168, ... double the area at 226.3: 224 (1.96) is nearer than 232 (2.10)
    start = candidate(dataclasses.replace(M, crop_px=160))
    found = grown(start, "spatial", target_cost=2 * start.cost, cost=VOLUME, limits=Limits())
    assert found.factors.crop_px == 224
    assert found.cost == volume(found.factors)
    assert (found.step, found.parent, found.name) == (1, start.factors, "step01_spatial")


def test_a_step_too_coarse_or_too_small_is_stuck():
    one = candidate(X2D)
    found = grown(one, "fast", target_cost=1.2 * one.cost, cost=VOLUME, limits=Limits())
    assert found.reason == (
        "the nearest possible change (2 x 15, 112 px, depth 1, width 1, bottleneck 1) costs 2.00 "
        "times the present model, too far from 1.20 times"
    )
    limits = Limits(largest_crop_px=120)  # (120 / 112)^2 = 1.15
    found = grown(one, "spatial", target_cost=2 * one.cost, cost=VOLUME, limits=limits)
    assert "costs 1.15 times the present model, too far from 2.00 times" in found.reason


@pytest.mark.parametrize(
    ("axis", "changes", "limits", "reason"),
    [
        ("fast", {"sampling_stride": 1}, {}, "a stride of 1 cannot be made smaller"),
        (
            "spatial",
            {"crop_px": 312},
            {"largest_crop_px": 312},
            "nothing above 312 is within limits.largest_crop_px = 312",
        ),
        (
            "depth",
            {"depth": 5.0},
            {"largest_depth": 5.1},
            "nothing above 5 is within limits.largest_depth = 5.1",
        ),
    ],
)
def test_the_limit_is_the_reason(axis, changes, limits, reason):
    one = candidate(dataclasses.replace(M, **changes))
    found = grown(one, axis, target_cost=2 * one.cost, cost=VOLUME, limits=Limits(**limits))
    assert found == Stuck(axis=axis, reason=reason)


def test_an_axis_that_does_not_raise_the_cost_is_stuck():
    widths = Cost("parameters", unit="parameters", of=lambda factors: factors.width)
    one = candidate(M, widths)
    found = grown(one, "spatial", target_cost=2.0, cost=widths, limits=Limits())
    assert found == Stuck(axis="spatial", reason="growing it does not raise the parameters")


def test_contraction_of_temporal_gives_back_the_frame_rate_first():
    before = dataclasses.replace(M, num_frames=8, sampling_stride=6)
    found = clips(contraction_levels(before, M, "temporal", Limits()))
    # 80 frames long: 80 / 15 = 5.3, 80 / 14 = 5.7, 80 / 13 = 6.2; below that the stride stays 6
    assert found == [(9, 6), (10, 6), (11, 6), (12, 6), (13, 6), (14, 6), (15, 5)]


@pytest.mark.parametrize("axis", AXES)
def test_contraction_is_the_largest_within_the_budget(axis):
    start = candidate(dataclasses.replace(M, sampling_stride=10, num_frames=12))
    step = grown(start, axis, target_cost=2 * start.cost, cost=VOLUME, limits=Limits())
    between = contraction_levels(start.factors, step.factors, axis, Limits())
    assert between
    for budget in (1.2 * start.cost, 1.5 * start.cost, step.cost - 1):
        found = contracted(start, step, budget=budget, cost=VOLUME, limits=Limits())
        costs = [volume(one) for one in between if volume(one) <= budget]
        assert found.cost == max(costs) > start.cost
        assert found.is_contracted
        assert found.axis == axis
    found = contracted(start, step, budget=start.cost, cost=VOLUME, limits=Limits())
    assert isinstance(found, Stuck)


@pytest.mark.parametrize(
    ("axes", "text"),
    [
        ([], "axes is empty; name at least one of fast, temporal"),
        (["fast", "spatail"], r"'spatail' is no axis; there are fast, .*; did you mean spatial\?$"),
        (["fast", "fast"], "axes names one twice: fast, fast"),
    ],
)
def test_axes_that_are_none(axes, text):
    with pytest.raises(ConfigError, match=text):
        check_axes(axes)


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"fps": 0.0}, "limits.fps is 0.0; it must be a number above 0"),
        ({"longest_seconds": 0.5}, "limits.one_frame_seconds is 1, more than .* = 0.5"),
    ],
)
def test_limits_out_of_range(limits, text):
    with pytest.raises(ConfigError, match=text):
        Limits(**limits)
