"""engine/train.py: whole runs in this process: what is written, resuming, what is refused."""

import contextlib
import json
import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import batch_of, compute_loss, tiny_model, train_tiny

from x3d_det.engine.distributed import differences
from x3d_det.engine.journal import read_journal
from x3d_det.engine.options import TrainOptions
from x3d_det.errors import CheckpointError, X3DDetError
from x3d_det.io.checkpoint import checkpoint_path, checkpoint_steps, load_checkpoint
from x3d_det.io.weights import load_model, load_weights


def same_weights(one, other) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 12 steps in epochs of 5, never stopped: (folder, model, result)."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole") / "run"
    model, result = train_tiny(folder)
    return folder, model, result


def test_what_a_run_leaves(whole):
    folder, _, result = whole
    assert (result.step, result.finished, result.exit_code) == (12, True, 0)
    assert [(entry["epoch"], entry["step"]) for entry in result.history] == [
        (1, 5),
        (2, 10),
        (3, 12),
    ]
    steps = read_journal(folder / "journal.jsonl")
    assert [entry["step"] for entry in steps] == list(range(1, 13))
    assert [entry["epoch"] for entry in steps] == [1] * 5 + [2] * 5 + [3] * 2
    # warm-up of 3 steps from a tenth of the cosine's value 0.05 * (1 + cos(pi / 4)) at step 3
    assert steps[0]["learning_rate"] == pytest.approx(0.1 * 0.0853553)
    assert {"loss", "mean_logit", "gradient_norm", "step_seconds", "data_seconds"} <= set(steps[0])
    epochs = read_journal(folder / "epochs.jsonl")
    assert [entry["metrics"]["epoch"] for entry in epochs] == [1, 2, 3]
    assert epochs[0]["loss"] == pytest.approx(sum(entry["loss"] for entry in steps[:5]) / 5)
    best = max(epochs, key=lambda entry: entry["metrics"]["score"])
    assert checkpoint_steps(folder) == sorted({best["step"], 10, 12})
    names = {path.name for path in result.files}
    assert {"model.safetensors", "model_best.safetensors", "journal.jsonl", "tensorboard"} <= names
    assert all(path.exists() for path in result.files)
    assert not list(folder.glob("*.tmp")) + list(folder.glob(".*.tmp"))


def test_the_export_holds_the_weights_that_were_evaluated(whole):
    folder, model, result = whole
    weights, metadata = load_model(folder / "model.safetensors")
    assert metadata["label_map"] == "none"
    assert (metadata["epoch"], metadata["step"]) == ("3", "12")
    used = tiny_model().eval()
    load_weights(used, weights)
    images, targets, _ = batch_of(10_000)
    loss = compute_loss(used, (images, targets, ""))[0].item()
    assert -loss == result.history[-1]["metrics"]["score"]
    assert json.loads(metadata["metrics"])["score"] == -loss
    assert not same_weights(model, used)  # averaged, with statistics of its own
    averaged, _ = load_model(checkpoint_path(folder, 12))
    assert torch.equal(averaged["0.weight"], weights["0.weight"])
    assert not torch.equal(averaged["1.running_mean"], weights["1.running_mean"])


def test_evaluation_and_logging_do_not_change_the_training(whole, tmp_path):
    model, _ = train_tiny(
        tmp_path, precise_bn_batches=0, evaluate_every_epochs=3, checkpoint_every_steps=100
    )
    assert same_weights(model, whole[1])


@pytest.mark.parametrize("step", [3, 5, 6, 10])
def test_resuming_from_any_checkpoint_gives_the_same_bits(whole, tmp_path, step):
    """5 and 10 end an epoch, 3 and 6 lie within one."""
    first, _ = train_tiny(tmp_path, keep_checkpoints=99)
    assert same_weights(first, whole[1])
    for later in checkpoint_steps(tmp_path):
        if later > step:
            checkpoint_path(tmp_path, later).unlink()
    model, result = train_tiny(tmp_path, resume=True, keep_checkpoints=99)
    assert same_weights(model, whole[1])
    assert [entry["step"] for entry in read_journal(tmp_path / "journal.jsonl")] == list(
        range(1, 13)
    )
    assert [entry["epoch"] for entry in read_journal(tmp_path / "epochs.jsonl")] == [1, 2, 3]
    assert [entry["metrics"] for entry in result.history] == [
        entry["metrics"] for entry in whole[2].history
    ]
    one, other = (load_checkpoint(checkpoint_path(d, 12)) for d in (tmp_path, whole[0]))
    assert all(torch.equal(one["ema"]["weights"][k], v) for k, v in other["ema"]["weights"].items())
    exported, reference = (load_model(d / "model.safetensors")[0] for d in (tmp_path, whole[0]))
    assert all(torch.equal(exported[name], value) for name, value in reference.items())


def test_resuming_a_finished_run_does_nothing(whole, caplog):
    caplog.set_level(logging.INFO)
    model, result = train_tiny(whole[0], resume=True)
    assert result.finished
    assert same_weights(model, whole[1])
    assert len(read_journal(whole[0] / "journal.jsonl")) == 12


def test_resuming_nothing_starts_and_says_so(tmp_path, caplog):
    _, result = train_tiny(tmp_path, resume=True, num_steps=2)
    assert result.finished
    assert "holds no checkpoint: the run starts from the beginning" in caplog.text


def test_a_new_run_into_a_used_folder_is_refused(whole):
    with pytest.raises(X3DDetError, match=r"holds a run already; go on with it by --resume"):
        train_tiny(whole[0])
    assert len(read_journal(whole[0] / "journal.jsonl")) == 12


def test_a_damaged_last_checkpoint_is_named_and_the_one_before_taken(whole, tmp_path, caplog):
    train_tiny(tmp_path, keep_checkpoints=99)
    for damage, step in ((lambda d: d[:-500], 12), (lambda d: d[:900] + b"\x13" + d[901:], 10)):
        path = checkpoint_path(tmp_path, step)
        path.write_bytes(damage(path.read_bytes()))
    model, _ = train_tiny(tmp_path, resume=True, keep_checkpoints=99)
    assert same_weights(model, whole[1])
    assert "step_00000012.pt is damaged: it ends without its sha256" in caplog.text
    assert "step_00000010.pt is damaged: the sha256 differs" in caplog.text
    assert "the one before it is step_00000009.pt: resuming takes it" in caplog.text
    for step in checkpoint_steps(tmp_path):
        checkpoint_path(tmp_path, step).write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of the"):
        train_tiny(tmp_path, resume=True)


def test_other_settings_are_named_and_refused_unless_allowed(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    config = {"config": {"train": {"lr": 0.1, "momentum": 0.9}, "workers": 2}, "classes": "abc"}
    train_tiny(tmp_path, num_steps=3, run_metadata=config)
    config["config"]["train"]["lr"] = 0.2
    config["config"]["workers"] = 8
    with pytest.raises(X3DDetError) as error:
        train_tiny(tmp_path, num_steps=3, run_metadata=config, resume=True)
    assert "config.train.lr: 0.1 -> 0.2" in str(error.value)
    assert "config.workers: 2 -> 8" in str(error.value)
    assert "classes" not in str(error.value)
    train_tiny(
        tmp_path,
        num_steps=3,
        run_metadata=config,
        resume=True,
        changeable=("config.train", "config.workers"),
    )
    assert "resuming with another setting: config.workers: 2 -> 8" in caplog.text
    with pytest.raises(X3DDetError, match=r"other settings: options\.num_steps: 3 -> 4"):
        train_tiny(tmp_path, num_steps=4, run_metadata=config, resume=True, changeable=("config",))
    with pytest.raises(X3DDetError, match="ema_decay is None"):
        train_tiny(
            tmp_path,
            num_steps=3,
            run_metadata=config,
            resume=True,
            ema_decay=None,
            changeable=("config", "options"),
        )


def test_bad_steps_are_counted_and_stand_in_the_journal(tmp_path, caplog):
    model, result = train_tiny(tmp_path, bad_steps={2: "input", 3: "gradient", 7: "input"})
    assert result.num_skipped == 3
    assert all(value.isfinite().all() for value in model.state_dict().values())
    entries = read_journal(tmp_path / "journal.jsonl")
    assert [entry["step"] for entry in entries if entry["skipped"]] == [3, 4, 8]
    assert "step 3 is skipped: the loss is nan in step2:[0, 1, 2, 3, 4, 5, 6, 7]" in caplog.text
    assert [entry["num_skipped"] for entry in result.history] == [2, 1, 0]
    weights, _ = load_model(tmp_path / "model.safetensors")
    assert all(value.isfinite().all() for value in weights.values())


def test_too_many_bad_steps_stop_with_the_last_good_state(whole, tmp_path):
    reference, _ = train_tiny(tmp_path / "good", num_steps=12, keep_checkpoints=99)
    bad = dict.fromkeys((4, 6, 7, 8), "input")
    with pytest.raises(X3DDetError, match=r"3 steps in a row .* last was 9: the loss is nan"):
        train_tiny(tmp_path / "bad", bad_steps=bad, max_bad_steps=3, keep_checkpoints=99)
    state = load_checkpoint(checkpoint_path(tmp_path / "bad", 9))
    assert all(value.isfinite().all() for value in state["model"].values())
    assert (state["num_skipped"], state["num_skipped_in_row"]) == (4, 0)
    four = [load_checkpoint(checkpoint_path(tmp_path / d, 3))["model"] for d in ("good", "bad")]
    assert all(torch.equal(four[0][name], four[1][name]) for name in four[0])
    _, result = train_tiny(tmp_path / "bad", bad_steps=bad, resume=True, keep_checkpoints=99)
    assert (result.finished, result.num_skipped) == (True, 4)
    assert same_weights(reference, whole[1])


def test_a_killed_evaluation_is_done_again(whole, tmp_path, monkeypatch):
    def killed(model, epoch):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tiny.evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            train_tiny(tmp_path)
    assert checkpoint_steps(tmp_path) == [3, 5]
    assert read_journal(tmp_path / "epochs.jsonl") == []
    model, result = train_tiny(tmp_path, resume=True)
    assert same_weights(model, whole[1])
    assert [entry["epoch"] for entry in read_journal(tmp_path / "epochs.jsonl")] == [1, 2, 3]
    assert result.history[0]["metrics"] == whole[2].history[0]["metrics"]


def test_an_unknown_best_metric_is_named(tmp_path):
    with pytest.raises(X3DDetError, match="best_metric is scor, but the evaluation gave score"):
        train_tiny(tmp_path, best_metric="scor", num_steps=1)


def test_options_are_checked():
    with pytest.raises(ValueError, match="num_steps is 0"):
        TrainOptions(num_steps=0, steps_per_epoch=1)
    with pytest.raises(ValueError, match="freeze_bn"):
        TrainOptions(num_steps=1, steps_per_epoch=1, freeze_bn=True, precise_bn_batches=3)
    options = TrainOptions(num_steps=11, steps_per_epoch=5)
    assert (options.num_epochs, options.epoch_of(5), options.epoch_of(6)) == (3, 1, 2)


def test_the_progress_lines(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train_tiny(tmp_path, num_steps=5)
    assert "step 2/5  loss 0." in caplog.text
    line = next(message for message in caplog.messages if message.startswith("epoch 1/1: loss"))
    assert "clips/s, data " in line
    assert "decoding 400 frames/s a worker, 0 steps skipped, peak" in line


def test_differences_of_nested_settings():
    old = {"a": 1, "b": {"c": [1, 2], "d": None}, "gone": True}
    new = {"a": 1, "b": {"c": [1, 3], "d": None}, "new": "x"}
    assert differences(old, new) == [
        "b.c: [1, 2] -> [1, 3]",
        "gone: True -> (absent)",
        "new: (absent) -> x",
    ]
    assert differences(old, old) == []


def test_a_terminal_gets_a_live_bar_and_log_lines_go_above_it(tmp_path, environment):
    """Run in a pseudo-terminal: what a person sees."""
    arguments = json.dumps({"output_dir": str(tmp_path / "run"), "bad_steps": {"2": "input"}})
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "tiny.py"), arguments],
        env={**environment, "TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.DEVNULL,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(leader, 65536):
            shown += part
    os.close(leader)
    assert process.wait(timeout=30) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"epoch 3 ━+ *12/12 +loss 0\.\d{4}", text)
    assert "left" in text
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
    assert any(line.startswith("step 3 is skipped: the loss is nan") for line in lines)
    assert any(line.startswith("epoch 3/3: loss") for line in lines)
