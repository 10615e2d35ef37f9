"""The line that tells how far long work is."""

import sys

import pytest

from x3d_det import progress
from x3d_det.progress import ProgressLine, clock


class _Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch) -> _Clock:
    fake = _Clock()
    monkeypatch.setattr(progress, "time", fake)
    return fake


def test_a_line_every_five_seconds_with_rate_and_time_left(time, capsys):
    line = ProgressLine("videos", 60, unit="videos")
    time.now = 104.0
    line.update(8)
    assert capsys.readouterr().err == ""  # four seconds: too early
    time.now = 106.0
    line.update(12)
    # 12 in 6 s: 2 a second, 48 left: 24 s
    assert capsys.readouterr().err == "videos: 12 of 60 videos (20%), 2 videos/s, 0:24 left\n"


def test_work_of_an_earlier_run_is_done_but_does_not_count_for_the_rate(time, capsys):
    line = ProgressLine("keyframes", 1000, unit="keyframes", already_done=900)
    time.now = 110.0
    line.update(910, "3 persons")
    # 10 in 10 s: 90 left: 90 s
    assert capsys.readouterr().err == (
        "keyframes: 910 of 1,000 keyframes (91%), 1 keyframes/s, 1:30 left  3 persons\n"
    )


def test_without_a_total_only_amount_and_rate_are_told(time, capsys):
    line = ProgressLine("a.mp4", None, unit="s", decimals=1)
    time.now = 110.0
    line.update(25.0)
    assert capsys.readouterr().err == "a.mp4: 25.0 s, 2.5 s/s\n"


def test_a_total_may_come_on_the_way(time, capsys):
    line = ProgressLine("a.mp4", None, unit="s")
    time.now = 110.0
    line.update(25.0, total=50.0)
    assert capsys.readouterr().err == "a.mp4: 25 of 50 s (50%), 2.5 s/s, 0:10 left\n"


def test_a_terminal_gets_one_line_in_place_that_ends_once(time, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with ProgressLine("v", 4, unit="frames") as line:
        time.now += 1
        line.update(1)
        time.now += 1
        line.update(2)
    text = capsys.readouterr().err
    assert text.count("\r") == 2
    assert text.count("\n") == 1
    assert text.endswith("\n")


def test_the_line_of_a_terminal_is_ended_also_after_an_error(time, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    def work() -> None:
        with ProgressLine("v", 4, unit="frames") as line:
            time.now += 1
            line.update(1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert capsys.readouterr().err.endswith("left\n")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (125, "2:05"), (3723, "1:02:03")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text
