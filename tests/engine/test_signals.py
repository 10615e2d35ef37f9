"""SIGTERM, SIGINT, two jobs in one folder, a full disk: the run ends in order and goes on."""

import os
import signal
import threading

import pytest
import torch
from tiny import compute_loss, train_tiny

from x3d_det.engine import signals
from x3d_det.engine.journal import read_journal
from x3d_det.engine.signals import StopNow, StopSignals
from x3d_det.errors import X3DDetError
from x3d_det.io.checkpoint import checkpoint_path, checkpoint_steps, load_checkpoint


def same_weights(one, other) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def stop_at(number: int, step_text: str):
    """Return a compute_loss that gets a signal in the middle of a step."""

    def interrupted(model, batch):
        if batch[2].startswith(step_text):
            os.kill(os.getpid(), number)
        return compute_loss(model, batch)

    return interrupted


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_finishes_the_step_saves_and_goes_on_exactly(
    tmp_path, monkeypatch, number, code, caplog
):
    reference, _ = train_tiny(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("tiny.compute_loss", stop_at(number, "step6:"))
        _, result = train_tiny(tmp_path / "run")
    assert (result.step, result.finished, result.exit_code) == (7, False, code)
    assert f"{signal.Signals(number).name}: the step is finished and saved" in caplog.text
    assert checkpoint_steps(tmp_path / "run")[-1] == 7
    model, result = train_tiny(tmp_path / "run", resume=True)
    assert (result.finished, result.exit_code) == (True, 0)
    assert same_weights(model, reference)


def test_a_signal_in_the_evaluation_leaves_at_once_and_it_is_done_again(tmp_path, monkeypatch):
    def interrupted(model, epoch):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the evaluation went on")

    reference, expected = train_tiny(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("tiny.evaluate", interrupted)
        _, result = train_tiny(tmp_path / "run")
    assert (result.step, result.exit_code, result.history) == (5, 143, [])
    model, result = train_tiny(tmp_path / "run", resume=True)
    assert same_weights(model, reference)
    assert [e["metrics"] for e in result.history] == [e["metrics"] for e in expected.history]


def test_data_workers_that_end_by_the_same_signal_lose_nothing(tmp_path, monkeypatch, caplog):
    def broken(model, batch):
        if batch[2].startswith("step6:"):
            os.kill(os.getpid(), signal.SIGINT)
            raise RuntimeError("DataLoader worker exited")
        return compute_loss(model, batch)

    reference, _ = train_tiny(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("tiny.compute_loss", broken)
        _, result = train_tiny(tmp_path / "run")
    assert (result.step, result.exit_code) == (6, 130)
    assert "step 7 is dropped: DataLoader worker exited" in caplog.text
    model, _ = train_tiny(tmp_path / "run", resume=True)
    assert same_weights(model, reference)


def test_an_error_without_a_signal_is_raised(tmp_path, monkeypatch):
    def broken(model, batch):
        raise RuntimeError("a bug")

    monkeypatch.setattr("tiny.compute_loss", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        train_tiny(tmp_path)
    monkeypatch.undo()
    assert train_tiny(tmp_path, num_steps=1)[1].finished  # the folder was left free


def test_a_second_interrupt_is_immediate_and_handlers_come_back(monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    clock = [100.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: clock[0])
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal_number == signal.SIGINT
        clock[0] += 0.5  # the same key press, passed on by torchrun
        os.kill(os.getpid(), signal.SIGINT)
        clock[0] += 1.0
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(StopNow):
            stop.leave_at_once(True)
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_signals_are_left_alone():
    found = []

    def enter():
        with StopSignals() as stop:
            found.append(stop.requested)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [False]


def test_the_process_ends_with_143_and_a_second_job_is_refused(tmp_path, start_tiny):
    job = start_tiny(output_dir=tmp_path, slow_seconds=0.25, num_steps=500)
    for _ in range(2):
        assert job.stdout.readline() == "step\n"
    with pytest.raises(X3DDetError, match=rf"another job \(process {job.pid} on .*--output-dir"):
        train_tiny(tmp_path, resume=True)
    with pytest.raises(X3DDetError, match="another job"):
        train_tiny(tmp_path)
    job.send_signal(signal.SIGTERM)
    _, errors = job.communicate(timeout=30)
    assert job.returncode == 143
    assert "SIGTERM: the step is finished and saved" in errors
    saved = checkpoint_steps(tmp_path)[-1]
    assert len(read_journal(tmp_path / "journal.jsonl")) == saved >= 2


def test_a_full_disk_stops_with_one_line_and_the_last_checkpoint_whole(
    tmp_path, monkeypatch, start_tiny
):
    reference, _ = train_tiny(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("tiny.compute_loss", stop_at(signal.SIGTERM, "step6:"))
        train_tiny(tmp_path / "run")
    job = start_tiny(output_dir=tmp_path / "run", resume=True, file_size_limit=8000)
    _, errors = job.communicate(timeout=30)
    assert job.returncode == 1
    line = errors.strip().splitlines()[-1]
    name = tmp_path / "run" / "step_00000009.pt"
    assert line.startswith(f"error: cannot write {name}: File too large (after 8,000 bytes")
    assert "Traceback" not in errors
    assert checkpoint_steps(tmp_path / "run") == [5, 6, 7]
    assert not list((tmp_path / "run").glob(".*.tmp"))
    assert load_checkpoint(checkpoint_path(tmp_path / "run", 7))["step"] == 7
    model, result = train_tiny(tmp_path / "run", resume=True)
    assert result.finished
    assert same_weights(model, reference)
    assert [e["step"] for e in read_journal(tmp_path / "run" / "journal.jsonl")] == list(
        range(1, 13)
    )


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(X3DDetError, match=r"output folder .*file/run cannot be written"):
        train_tiny(tmp_path / "file" / "run")
