"""engine/journal.py: lines that can be cut back and gone on with."""

import pytest

from x3d_det.engine.journal import Curves, Journal, read_journal
from x3d_det.errors import X3DDetError


def test_lines_are_json_and_not_finite_numbers_null(tmp_path):
    journal = Journal(tmp_path / "j.jsonl", key="step")
    journal.append({"step": 1, "loss": float("nan"), "inner": {"x": float("inf"), "y": 2.5}})
    journal.close()
    assert read_journal(tmp_path / "j.jsonl") == [
        {"step": 1, "loss": None, "inner": {"x": None, "y": 2.5}}
    ]


def test_cut_drops_later_and_half_lines_and_goes_on(tmp_path):
    path = tmp_path / "j.jsonl"
    journal = Journal(path, key="step")
    for step in range(1, 6):
        journal.append({"step": step})
    journal.close()
    with open(path, "ab") as file:
        file.write(b'{"step": 6, "lo')
    assert [entry["step"] for entry in read_journal(path)] == [1, 2, 3, 4, 5]
    journal = Journal(path, key="step")
    assert journal.cut_after(9) == 5
    assert journal.cut_after(3) == 3
    journal.append({"step": 4, "again": True})
    journal.close()
    assert [entry["step"] for entry in read_journal(path)] == [1, 2, 3, 4]
    assert read_journal(path)[-1]["again"]


def test_cut_stops_at_a_damaged_line(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"step": 1}\nrubbish\n{"step": 3}\n')
    journal = Journal(path, key="step")
    assert journal.cut_after(3) == 1
    journal.close()
    assert path.read_bytes() == b'{"step": 1}\n'


def test_cut_of_an_empty_journal(tmp_path):
    journal = Journal(tmp_path / "j.jsonl", key="step")
    assert journal.cut_after(0) == 0
    journal.close()


def test_a_full_disk_names_the_file(tmp_path):
    journal = Journal("/dev/full", key="step")
    with pytest.raises(X3DDetError, match="cannot write /dev/full: No space left on device"):
        journal.append({"step": 1})
    journal.close()


def test_curves_are_written_and_later_ones_hidden(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first, last in ((0, 4), (2, 4)):  # stopped after 4, resumed after 2
        curves = Curves(tmp_path, first_step=first)
        for step in range(first + 1, last + 1):
            curves.add(step, {"loss": 10.0 * first + step})
        curves.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 1), (2, 2), (3, 23), (4, 24)]
