"""Work under a watchdog. Light imports alone: every process of these tests imports this file."""

import os
import signal
import time

import pytest

from x3d_det.checks.watched import Lost, run_watched


def _double(job, report):
    return 2 * job


def _misbehave(job, report):
    report(job / 10)
    if job == 1:
        while True:
            time.sleep(1)
    if job == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    return job


def _fail(job, report):
    raise KeyError("our mistake")


def test_results_of_all_jobs():
    found = dict(run_watched(range(5), _double, num_workers=2, timeout_seconds=60))
    assert found == {0: 0, 1: 2, 2: 4, 3: 6, 4: 8}
    assert dict(run_watched([], _double, num_workers=2, timeout_seconds=60)) == {}


def test_jobs_that_hang_or_crash_cost_only_themselves():
    found = dict(run_watched(range(4), _misbehave, num_workers=2, timeout_seconds=1.5))
    assert found[0] == 0
    assert found[3] == 3
    assert found[1] == Lost("hung: no answer for 1.5 s", found[1].done)
    assert found[2].reason == "the process that read it died (signal SIGSEGV)"


def test_mistakes_of_ours_are_raised():
    with pytest.raises(RuntimeError, match="our mistake"):
        list(run_watched([0], _fail, num_workers=1, timeout_seconds=60))
