"""Two ranks on this machine: the same result as one, and no rank left behind."""

import json
import multiprocessing
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from ranks import flat, run_rank, table_bits, views
from tiny import batch_of, compute_loss, keyframe_batches, tiny_detector, tiny_model, train_tiny

from x3d_det.engine.distributed import World, derived_seed, start_world
from x3d_det.engine.infer import detect_actions
from x3d_det.engine.journal import read_journal
from x3d_det.engine.optim import parameter_groups, sgd
from x3d_det.engine.precise_bn import recompute_batch_norms
from x3d_det.engine.step import StepRunner
from x3d_det.errors import X3DDetError
from x3d_det.io.checkpoint import checkpoint_path, checkpoint_steps, load_checkpoint

TINY = str(Path(__file__).parent / "tiny.py")


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def rank_environment(rank: int, port: int) -> dict[str, str]:
    """Return what torchrun tells one of two ranks."""
    return {
        "RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def test_one_rank_needs_no_group():
    world = start_world("cpu")
    assert world == World()
    assert world.gather_objects(3) == [3]
    assert world.broadcast_object("x") == "x"
    assert world.on_main(lambda: 5) == 5
    world.barrier()
    world.require_same("the configuration", {"a": 1})
    values = torch.tensor([1.0, 2.0])
    assert torch.equal(world.sum_over_ranks(values), torch.tensor([1.0, 2.0]))


def test_seeds_are_functions_of_all_parts():
    seeds = {derived_seed(a, b) for a in range(20) for b in range(20)}
    assert len(seeds) == 400
    assert derived_seed(1, "2") == derived_seed("1", 2)
    assert all(0 <= seed < 2**63 for seed in seeds)
    # printf 7/step/0/0/0 | sha256sum: the first eight bytes, little-endian, halved.
    # A change of this number changes every run that is resumed.
    assert derived_seed(7, "step", 0, 0, 0) == 7432762737037730288


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said():
    with pytest.raises(X3DDetError, match="device is cuda, but torch finds no GPU"):
        start_world("cuda")


def test_a_master_that_is_not_there_is_named(monkeypatch):
    port = free_port()
    for key, value in rank_environment(1, port).items():
        monkeypatch.setenv(key, value)
    with pytest.raises(X3DDetError, match=rf"rank 1 of 2 does not reach .* 127\.0\.0\.1:{port}"):
        start_world("cpu", timeout_seconds=1)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """The results of `ranks.py` on two ranks, which start where torch is imported already.

    The data loader's workers start from the same server. The slow tests use torchrun.
    """
    output = tmp_path_factory.mktemp("ranks") / "results.json"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["x3d_det.data.batch"])
    port = free_port()
    ranks = [
        context.Process(target=run_rank, args=(rank_environment(rank, port), output), daemon=True)
        for rank in (0, 1)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(timeout=300)
    assert [process.exitcode for process in ranks] == [0, 0]
    return json.loads(output.read_text())


def test_two_ranks_see_each_sample_once_and_equal_one_large_batch(two_ranks):
    found = two_ranks["shared_batches"]
    for step in range(5):
        texts = [seen[step] for seen in found["seen"]]
        assert texts == [f"step{step}:[0, 2, 4, 6]", f"step{step}:[1, 3, 5, 7]"]
    model = tiny_model(batch_norm=False, dropout=0.0)
    optimizer = sgd(parameter_groups(model, weight_decay=0.01))
    runner = StepRunner(model, optimizer, compute_loss, world=World(), seed=1)
    batches = (batch_of(step) for step in range(5))
    losses = [runner.run(step, batches, learning_rate=0.1).loss for step in range(5)]
    assert found["weights"][0] == found["weights"][1]
    assert found["weights"][0] == pytest.approx(flat(model), abs=1e-6)
    assert found["losses"] == pytest.approx(losses, abs=1e-6)


def test_nan_on_one_rank_is_skipped_by_all_and_the_rank_named(two_ranks):
    found = two_ranks["nan_on_one_rank"]
    assert found["unchanged"] == [True, True]
    assert found["weights"][0] == found["weights"][1]
    assert found["reasons"][0].startswith("rank 1: the loss is nan in step1:[1, 3, 5, 7]")


def test_a_rank_without_boxes_takes_part(two_ranks):
    model = tiny_model(batch_norm=False, dropout=0.0)
    compute_loss(model, batch_of(0))[0].backward()
    found = two_ranks["nothing_on_one_rank"]
    assert found["weights"][0] == found["weights"][1]
    for moved, parameter in zip(found["moved"], model.parameters(), strict=True):
        torch.testing.assert_close(torch.tensor(moved), parameter.grad / 2, rtol=0, atol=1e-6)


def test_a_signal_to_one_rank_stops_all(two_ranks):
    assert two_ranks["stop_on_one_rank"]["stop"] == [True, True]


def test_settings_that_differ_and_errors_of_rank_0_are_raised_on_all(two_ranks):
    found = two_ranks["errors_on_all_ranks"]
    for text in found["settings"]:
        assert text.startswith("X3DDetError: the configuration of rank 1 differs from rank 0: ")
        assert "train.lr: 0.1 -> 0.2" in text
    assert found["same"] == "no error"
    assert found["on_main"] == ["X3DDetError: the disk is full"] * 2


def test_precise_statistics_of_two_ranks_equal_those_of_one(two_ranks):
    model = tiny_model()
    images = [batch_of(number)[0] for number in range(5)]
    recompute_batch_norms(model, images, lambda model, batch: model(batch))
    found = two_ranks["precise_statistics"]
    assert found["count"] == 5
    assert found["weights"][0] == found["weights"][1]
    assert found["weights"][0] == pytest.approx(flat(model), abs=1e-7)


def test_detections_of_two_ranks_equal_those_of_one_in_every_bit(two_ranks):
    table = detect_actions(
        tiny_detector(),
        keyframe_batches(0, 1),
        action_ids=[1, 3],
        num_keyframes=7,
        num_threads=1,
    )
    found = two_ranks["detections"]
    assert len(found["rows"]) == 2 * (1 + 2 + 3 + 0 + 1 + 2)
    assert found["rows"] == table_bits(table)
    for text in found["double"]:
        assert "of 7 keyframes each must be scored once: 7 double (0, 1, 2, 3, 4, ...)" in text


def test_views_of_two_ranks_equal_those_of_one_in_every_bit(two_ranks):
    one_rank = views(World())
    assert [len(scores) for scores in one_rank] == [0, 4, 8, 12, 0, 4, 8]
    assert two_ranks["views"] == one_rank


@pytest.mark.slow
def test_a_run_on_two_ranks_resumes_in_the_same_bits(tmp_path, torchrun):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    arguments = {"output_dir": str(whole), "keep_checkpoints": 99}
    result = torchrun("tiny.py", json.dumps(arguments))
    assert result.returncode == 0, result.stderr[-3000:]
    assert [entry["step"] for entry in read_journal(whole / "journal.jsonl")] == list(range(1, 13))
    shutil.copytree(whole, resumed)
    for step in checkpoint_steps(resumed):
        if step > 6:
            checkpoint_path(resumed, step).unlink()
    arguments = {"output_dir": str(resumed), "resume": True}
    result = torchrun("tiny.py", json.dumps(arguments))
    assert result.returncode == 0, result.stderr[-3000:]
    one, other = (load_checkpoint(checkpoint_path(d, 12)) for d in (whole, resumed))
    assert all(torch.equal(one["model"][name], value) for name, value in other["model"].items())
    assert all(
        torch.equal(one["ema"]["weights"][name], value)
        for name, value in other["ema"]["weights"].items()
    )
    scores = [[entry["metrics"] for entry in state["history"]] for state in (one, other)]
    assert scores[0] == scores[1]
    # and one process may go on with what two began
    for step in (9, 10, 12):
        checkpoint_path(whole, step).unlink()
    _, result = train_tiny(whole, resume=True)
    assert result.finished


def start_rank(rank: int, port: int, environment: dict[str, str], **arguments) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, TINY, json.dumps(arguments, default=str)],
        env={**environment, **rank_environment(rank, port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["die", "hang"])
def test_a_rank_that_dies_or_hangs_ends_the_other_and_is_named(tmp_path, environment, kind):
    port = free_port()
    arguments = {"output_dir": tmp_path, "bad_steps": {4: kind}, "timeout_seconds": 15}
    ranks = [start_rank(rank, port, environment, **arguments) for rank in (0, 1)]
    try:
        if kind == "die":
            ranks[1].wait(timeout=200)
            start_seconds = time.monotonic()
            _, errors = ranks[0].communicate(timeout=200)
            assert time.monotonic() - start_seconds < 60
        else:
            _, errors = ranks[0].communicate(timeout=200)
    finally:
        for process in ranks:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
    line = errors.strip().splitlines()[-1]
    assert ranks[0].returncode == 1
    assert line.startswith("error: rank 0: no sum over 2 ranks in the gradients of step 5: ")
    if kind == "hang":
        assert "Ranks 1 failed to pass monitoredBarrier" in line
    assert checkpoint_steps(tmp_path) == [3]
