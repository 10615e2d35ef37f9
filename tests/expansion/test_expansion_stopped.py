"""Candidates that were stopped early: on record, in the table, and never chosen."""

from x3d_det.expansion import (
    X2D,
    Record,
    Scored,
    Stopped,
    counted_cost,
    expand,
    search_markdown,
)


def _score(candidates):
    """Stop X-Fast at a score above all others; X-Spatial is the best of the rest."""
    for candidate in candidates:
        if candidate.axis == "fast":
            yield Stopped(
                candidate=candidate,
                score=0.9,
                reason="after epoch 1 of 4",
                seconds=3.0,
                details={"epochs": 1},
            )
        else:
            score = 0.5 if candidate.axis == "spatial" else 0.1 * candidate.step
            yield Scored(candidate=candidate, score=score)


def _refuse(candidates):
    raise AssertionError(f"asked again for {candidates}")


def _search(score, record):
    return expand(X2D, score=score, cost=counted_cost(), budget=4.5e7, record=record)


def test_a_stopped_candidate_is_never_chosen_and_stays_on_record(tmp_path):
    found = _search(_score, Record(tmp_path / "record.jsonl"))
    assert [one.candidate.axis for one in found.path] == ["start", "spatial"]
    again = _search(_refuse, Record(tmp_path / "record.jsonl"))
    assert again == found
    stopped = [one for one in again.steps[1].outcomes if isinstance(one, Stopped)]
    assert [(one.score, one.seconds, one.details) for one in stopped] == [(0.9, 3.0, {"epochs": 1})]
    text = search_markdown(found, cost=counted_cost(), title="t")
    assert "| 0.9000 | stopped after epoch 1 of 4 |" in text
