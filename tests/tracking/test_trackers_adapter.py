"""The `trackers` package behind our interface; what needs it skips where it is missing."""

import builtins

import numpy as np
import pytest

from x3d_det.errors import ConfigError
from x3d_det.tracking import TRACKERS, IouLinker, TrackersLinker, make_linker

STILL = np.array([[0.0, 0.0, 0.2, 1.0], [0.8, 0.0, 1.0, 1.0]])


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_two_people_who_stay_keep_their_numbers(name):
    pytest.importorskip("trackers")
    linker = TrackersLinker(name)
    first = linker.link(0.0, STILL, np.array([0.99, 0.98])).tolist()
    assert sorted(first) == [1, 2]
    for second in (0.1, 0.2, 0.3):
        assert linker.link(second, STILL[::-1], np.array([0.98, 0.99])).tolist() == first[::-1]
    linker.new_shot()
    assert linker.link(0.4, STILL, np.array([0.99, 0.98])).tolist() == [3, 4]


def test_nobody_and_the_doubtful_get_numbers_of_their_own():
    pytest.importorskip("trackers")
    linker = TrackersLinker("bytetrack")
    assert linker.link(0.0, np.empty((0, 4)), np.empty(0)).tolist() == []
    doubtful = np.array([0.1, 0.1])
    assert linker.link(1.0, STILL, doubtful).tolist() == [1, 2]
    assert linker.link(2.0, STILL, doubtful).tolist() == [3, 4]


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="no tracker 'bytetrak'; did you mean bytetrack"):
        TrackersLinker("bytetrak")


def test_a_missing_package_is_answered_with_the_command_that_installs_it(monkeypatch):
    real_import = builtins.__import__

    def without_trackers(name, *args, **kwargs):
        if name in ("trackers", "supervision"):
            raise ImportError(f"No module named {name!r}")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_trackers)
    with pytest.raises(ConfigError, match=r"needs the package `trackers`.*x3d_det\[track\]"):
        TrackersLinker("sort")


def test_linkers_are_made_by_name():
    assert isinstance(make_linker("iou"), IouLinker)
    assert make_linker("iou") is not make_linker("iou")
    with pytest.raises(ConfigError, match="no tracker 'iuo'; did you mean iou"):
        make_linker("iuo")
