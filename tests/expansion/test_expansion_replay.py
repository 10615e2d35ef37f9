"""The paper's ladder, from X2D to XL, by the rules of the search alone."""

import dataclasses
import itertools

import pytest

from x3d_det.errors import ConfigError
from x3d_det.expansion import (
    PAPER_BUDGETS_G,
    PAPER_ORDER,
    X2D,
    Candidate,
    Factors,
    Limits,
    Record,
    axes,
    counted_cost,
    grown,
    network_cost,
    replay,
    search_markdown,
    write_search_table,
)
from x3d_det.models import X3D_SPECS

# x3d_facts, section 2: frames, stride, crop, bottleneck, depth, width after each step, GMACs.
# Of the strides the paper prints those of XS (12) and M (5) alone.
LADDER = [
    ("start", 1, 1, 112, 1, 1, 1, 0.0207),
    ("bottleneck", 1, 1, 112, 2.25, 1, 1, 0.0410),
    ("fast", 2, 15, 112, 2.25, 1, 1, 0.0802),
    ("spatial", 2, 15, 160, 2.25, 1, 1, 0.153),
    ("depth", 2, 15, 160, 2.25, 2.2, 1, 0.303),
    ("temporal", 4, 12, 160, 2.25, 2.2, 1, 0.605),
    ("fast", 8, 6, 160, 2.25, 2.2, 1, 1.21),
    ("temporal", 16, 5, 160, 2.25, 2.2, 1, 2.415),
    ("spatial", 16, 5, 224, 2.25, 2.2, 1, 4.73),
    ("spatial", 16, 5, 312, 2.25, 2.2, 1, 9.45),
    ("depth", 16, 5, 312, 2.25, 5, 1, 18.37),
    ("width", 16, 5, 312, 2.25, 5, 1.45, 35.84),
]


@pytest.fixture(scope="module")
def record():
    """One record for all members, as their searches share their steps."""
    return Record()


def test_every_step_of_the_ladder(record):
    found = replay("xl", record=record)
    assert [one.candidate.axis for one in found.path] == ["start", *PAPER_ORDER]
    for scored, row in zip(found.path, LADDER, strict=True):
        axis, frames, stride, crop, bottleneck, depth, width, gmacs = row
        assert scored.candidate.axis == axis
        assert scored.candidate.factors == Factors(
            num_frames=frames,
            sampling_stride=stride,
            crop_px=crop,
            depth=depth,
            width=width,
            bottleneck=bottleneck,
        )
        assert scored.candidate.cost / 1e9 == pytest.approx(gmacs, rel=5e-3)
    for before, after in itertools.pairwise(found.path):
        assert 1.9 < after.candidate.cost / before.candidate.cost < 2.01


@pytest.mark.parametrize(
    ("member", "num_steps", "is_contracted", "multiply_adds", "parameters"),
    [
        ("xs", 5, False, 605_256_512, 3_794_322),
        ("s", 7, True, 1_962_892_112, 3_794_322),
        ("m", 8, False, 4_732_468_736, 3_794_322),
        ("l", 10, False, 18_367_710_176, 6_153_432),
        ("xl", 11, False, 35_837_627_616, 11_095_904),
    ],
)
def test_each_member_at_its_budget(
    record, member, num_steps, is_contracted, multiply_adds, parameters
):
    final = replay(member, record=record).final.candidate
    assert final.factors.spec() == X3D_SPECS[member]
    assert (final.step, final.is_contracted) == (num_steps, is_contracted)
    counted = network_cost(final.factors)
    assert (counted.multiply_adds, counted.parameters) == (multiply_adds, parameters)
    assert final.cost == multiply_adds
    assert final.cost <= PAPER_BUDGETS_G[member] * 1.01e9


def test_the_chain_goes_on_from_the_model_before_contraction(record):
    small, medium = replay("s", record=record), replay("m", record=record)
    before = medium.path[7].candidate
    assert (before.factors.num_frames, small.final.candidate.factors.num_frames) == (16, 13)
    assert small.path[:7] == medium.path[:7]


def test_a_member_without_a_budget():
    with pytest.raises(ConfigError, match=r"'xxl' has no published budget; .*; did you mean xl\?$"):
        replay("xxl")


def test_x2d_is_the_start():
    assert X2D.spec() == X3D_SPECS["x2d"]
    assert counted_cost()(X2D) == 20_662_304


@pytest.mark.parametrize(
    ("row", "printed", "on_fine_grid"),
    [(1, 2.25, 2.28), (11, 1.45, 1.46)],
)
def test_how_far_a_finer_grid_leads_from_the_printed_factor(
    monkeypatch, row, printed, on_fine_grid
):
    # What `replay` says of itself: twentieths give the paper's values, hundredths do not.
    axis, frames, stride, crop, bottleneck, depth, width, _ = LADDER[row - 1]
    before = Factors(
        num_frames=frames,
        sampling_stride=stride,
        crop_px=crop,
        depth=depth,
        width=width,
        bottleneck=bottleneck,
    )
    axis, cost = LADDER[row][0], counted_cost()
    parent = Candidate(step=0, axis="start", factors=before, cost=cost(before))
    found = {}
    for steps in (20, 100):
        monkeypatch.setattr(axes, "FACTOR_STEPS_PER_UNIT", steps)
        axes.levels.cache_clear()
        one = grown(parent, axis, target_cost=2 * parent.cost, cost=cost, limits=Limits())
        axes.levels.cache_clear()
        found[steps] = getattr(one.factors, axis), one.cost / parent.cost
    assert (found[20][0], found[100][0]) == (printed, on_fine_grid)
    told = {2.25: (1.984, 1.999), 1.45: (1.951, 2.045)}[printed]
    assert (found[20][1], found[100][1]) == pytest.approx(told, abs=5e-4)


def test_the_table_of_a_search(record, tmp_path):
    found = replay("s", record=record)
    write_search_table(tmp_path / "s.md", found, cost=counted_cost(), title="The paper's search")
    text = (tmp_path / "s.md").read_text()
    assert text == search_markdown(found, cost=counted_cost(), title="The paper's search")
    lines = text.splitlines()
    assert lines[0] == "# The paper's search"
    assert lines[2].startswith("Path: start -> X-Bottleneck -> X-Fast -> ")
    rows = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert len(rows) == 2 + 1 + 7 * 6 + 1  # head, start, 7 steps of six axes, the contraction
    assert rows[-1] == (
        "| 7 | X-Temporal | 13 x 6 | 160 | 2.2 | 1 | 2.25 | 1.963 G | 1.624 | 7.0000 | "
        "contracted, **chosen** |"
    )
    assert lines[-1] == "X-Temporal of the last step was contracted to the budget."


def test_a_larger_budget_scores_only_what_is_new():
    record = Record()
    small = replay("xs", record=record)
    known = set(record.outcomes)
    replay("s", record=record)
    asked = [one for one in record.outcomes if one not in known]
    assert len(known) == 1 + 5 * 6
    assert len(asked) == 2 * 6 + 1
    assert dataclasses.asdict(small.final.candidate)["step"] == 5
