"""Kill -9 at any moment, saving included: the resumed run ends in the same bits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from x3d_det.engine.journal import read_journal
from x3d_det.io.checkpoint import checkpoint_path, load_checkpoint
from x3d_det.io.weights import load_model

SEED = 20240607
NUM_KILLS = 20


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_in_the_same_bits(tmp_path, environment):
    results = {}
    for name, kills in (("whole", 0), ("killed", NUM_KILLS)):
        script = str(Path(__file__).parent / "kills.py")
        result = subprocess.run(
            [sys.executable, script, str(tmp_path / name), str(SEED), str(kills)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert result.returncode == 0, result.stderr[-3000:]
        results[name] = json.loads(result.stdout.splitlines()[-1])
    outcome = results["killed"]
    print(f"seed {SEED}, steps lost by each kill: {outcome['lost']}")
    assert outcome["status"] == 0
    assert len(outcome["lost"]) == NUM_KILLS
    assert max(outcome["lost"]) <= 4  # the checkpoint interval

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    one, other = (load_checkpoint(checkpoint_path(folder, 360)) for folder in (whole, killed))
    for part in ("model", "ema", "optimizer"):
        assert_equal(one[part], other[part])
    assert one["best_step"] == other["best_step"]
    assert one["num_skipped"] == other["num_skipped"] == 2
    for name in ("model.safetensors", "model_best.safetensors"):
        assert_equal(load_model(whole / name), load_model(killed / name))
    timed = {"step_seconds", "data_seconds", "clips_per_second"}
    journals = [
        [{k: v for k, v in entry.items() if k not in timed} for entry in read_journal(path)]
        for path in (whole / "journal.jsonl", killed / "journal.jsonl")
    ]
    assert [entry["step"] for entry in journals[0]] == list(range(1, 361))
    assert journals[0] == journals[1]
    epochs = [[e["metrics"] for e in read_journal(d / "epochs.jsonl")] for d in (whole, killed)]
    assert len(epochs[0]) == 8
    assert epochs[0] == epochs[1]
    assert not list(killed.glob(".*.tmp"))


def assert_equal(one, other) -> None:
    """Compare nested containers of tensors bit for bit."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    else:
        assert one == other
