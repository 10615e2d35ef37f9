"""A run that leaves after an epoch and goes on later ends as one that never stopped."""

import torch
from tiny import train_tiny

from x3d_det.engine.journal import read_journal


def test_a_run_that_stops_after_an_epoch_goes_on_to_the_same_weights(tmp_path):
    torch.set_num_threads(1)
    whole, _ = train_tiny(tmp_path / "whole")
    options = {"evaluate_every_epochs": 3}
    _, first = train_tiny(tmp_path / "cut", stop_after_epoch=1, **options)
    assert (first.step, first.finished, first.exit_code) == (5, False, 0)
    assert set(first.history[-1]["metrics"]) >= {"score"}, "the last epoch is evaluated"
    _, again = train_tiny(tmp_path / "cut", stop_after_epoch=1, resume=True, **options)
    assert again.step == 5, "asked again, it has nothing to do"
    assert again.history == first.history
    model, last = train_tiny(tmp_path / "cut", resume=True, **options)
    assert last.finished
    for name, value in whole.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    steps = read_journal(tmp_path / "cut" / "journal.jsonl")
    assert [entry["step"] for entry in steps] == list(range(1, 13))
