import json
import math

import matplotlib
import numpy as np
import pytest
from PIL import Image

from x3d_det.errors import DataError
from x3d_det.visualization import plot_curves
from x3d_det.visualization.curves import running_mean


def write_run(folder, num_steps, *, epochs=(), skipped=()):
    lines = [
        {
            "step": step,
            "epoch": 1,
            "loss": None if step in skipped else 1 / step,
            "learning_rate": 0.1 / step,
            "skipped": "loss is nan" if step in skipped else None,
        }
        for step in range(1, num_steps + 1)
    ]
    for name, entries in (("journal.jsonl", lines), ("epochs.jsonl", epochs)):
        if entries:
            text = "".join(json.dumps(entry) + "\n" for entry in entries)
            (folder / name).write_text(text)
    return folder / "journal.jsonl"


def size_and_ink(path):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return pixels.shape[:2], (pixels < 250).any(axis=2).mean()


def test_running_mean_worked_by_hand():
    nan = math.nan
    assert running_mean([2, 4, 6, 8], 2).tolist() == [2, 3, 5, 7]
    # What is not finite is left out of the mean, not counted as 0.
    np.testing.assert_array_equal(running_mean([nan, 4, nan, 8], 2), [nan, 4, 4, 8])
    assert running_mean([1, 2, 6], 10).tolist() == [1, 1.5, 3]
    assert running_mean([], 3).tolist() == []


def test_panels_follow_what_the_journals_have(tmp_path):
    journal = write_run(tmp_path, 50)
    (height, width), ink = size_and_ink(plot_curves(journal, tmp_path / "two.png"))
    assert width == 990
    assert 0.005 < ink < 0.3

    epochs = [{"epoch": e, "step": 10 * e, "metrics": {"mAP": e / 10}} for e in range(1, 6)]
    write_run(tmp_path, 50, epochs=epochs)
    (with_metrics, _), _ = size_and_ink(plot_curves(journal, tmp_path / "three.png"))
    assert with_metrics == pytest.approx(height * 3 / 2, abs=2)

    # A metric that is no share has an axis of its own.
    epochs[0]["metrics"]["num_boxes"] = 300
    write_run(tmp_path, 50, epochs=epochs)
    (with_two, _), _ = size_and_ink(plot_curves(journal, tmp_path / "four.png"))
    assert with_two == pytest.approx(height * 2, abs=2)


def test_one_step_skipped_steps_and_evaluations_without_metrics(tmp_path):
    epochs = [{"epoch": 1, "step": 1, "metrics": {}}]
    assert plot_curves(write_run(tmp_path, 1, epochs=epochs), tmp_path / "a.png").is_file()
    assert plot_curves(write_run(tmp_path, 3, skipped=(1, 2, 3)), tmp_path / "b.png").is_file()
    first, second = (size_and_ink(tmp_path / name)[0] for name in ("a.png", "b.png"))
    assert first == second  # two panels each


def test_half_written_last_line_is_left_out(tmp_path):
    journal = write_run(tmp_path, 5)
    plot_curves(journal, tmp_path / "whole.png")
    with journal.open("a") as file:
        file.write('{"step": 6, "lo')
    plot_curves(journal, tmp_path / "cut.png")
    assert (tmp_path / "whole.png").read_bytes() == (tmp_path / "cut.png").read_bytes()


def test_matplotlib_is_left_as_it_was(tmp_path):
    before = dict(matplotlib.rcParams)
    plot_curves(write_run(tmp_path, 5), tmp_path / "new" / "curves.png")
    assert dict(matplotlib.rcParams) == before


def test_errors_name_file_and_line(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl: cannot be read: No such file"):
        plot_curves(tmp_path / "none.jsonl", tmp_path / "c.png")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(DataError, match=r"empty\.jsonl: no training step"):
        plot_curves(empty, tmp_path / "c.png")
    empty.write_text('{"step": 1}\nstep two\n')
    with pytest.raises(DataError, match=r"empty\.jsonl:2: is no line of JSON"):
        plot_curves(empty, tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()
