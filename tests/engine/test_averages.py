"""engine/ema.py and engine/precise_bn.py, worked by hand and against slow loops."""

import pytest
import torch
from torch import nn

from x3d_det.engine.ema import WeightAverage
from x3d_det.engine.precise_bn import (
    BatchNormSnapshot,
    freeze_batch_norms,
    recompute_batch_norms,
)


def run(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    return model(batch)


def test_average_by_hand():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    average = WeightAverage(model, decay=0.15)
    nn.init.constant_(model.weight, 2.0)
    average.update(model)  # d = min(0.15, 1 / 10): 0.1 * 1 + 0.9 * 2 = 1.9
    assert average.weights["weight"].item() == pytest.approx(1.9)
    average.update(model)  # d = min(0.15, 2 / 11) = 0.15: 0.15 * 1.9 + 0.85 * 2 = 1.985
    assert average.weights["weight"].item() == pytest.approx(1.985)


def test_average_follows_statistics_and_copies_counts():
    model = nn.BatchNorm1d(1)
    average = WeightAverage(model, decay=0.5)
    model.running_mean.fill_(1.0)
    model.num_batches_tracked.fill_(7)
    average.update(model)
    assert average.weights["running_mean"].item() == pytest.approx(0.9)
    assert average.weights["num_batches_tracked"].item() == 7


def test_average_goes_on_from_its_state():
    model = nn.Linear(2, 2)
    one = WeightAverage(model, decay=0.9)
    nn.init.zeros_(model.weight)
    one.update(model)
    other = WeightAverage(model, decay=0.9)
    other.load_state_dict(one.state_dict())
    for average in (one, other):
        average.update(model)
    assert torch.equal(one.weights["weight"], other.weights["weight"])
    with pytest.raises(ValueError, match=r"1\.5"):
        WeightAverage(model, decay=1.5)


def test_precise_statistics_by_hand():
    # batches [0, 2] and [4, 10]: means 1 and 7, unbiased variances 2 and 18.
    # new mean 4; new variance mean(2 + 1, 18 + 49) - 16 = 35 - 16 = 19
    norm = nn.BatchNorm1d(1)
    batches = [torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0], [10.0]])]
    assert recompute_batch_norms(norm, batches, run) == 2
    assert norm.running_mean.item() == 4.0
    assert norm.running_var.item() == 19.0
    assert norm.momentum == 0.1
    assert norm.num_batches_tracked.item() == 0


def test_precise_statistics_of_a_deep_net_equal_slow_loops():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 3, 1))
    model.append(nn.BatchNorm2d(3))
    model.eval()
    batches = [torch.randn(4, 1, 5, 5) for _ in range(3)]
    first_mean, first_square = [], []
    last_mean, last_square = [], []
    for batch in batches:
        x = model[0](batch)
        first_mean.append(x.mean((0, 2, 3)))
        first_square.append(x.transpose(0, 1).flatten(1).var(1) + first_mean[-1] ** 2)
        var = x.var((0, 2, 3), unbiased=False, keepdim=True)
        x = (x - x.mean((0, 2, 3), keepdim=True)) / torch.sqrt(var + 1e-5)
        x = model[3](x.clamp(min=0))
        last_mean.append(x.mean((0, 2, 3)))
        last_square.append(x.transpose(0, 1).flatten(1).var(1) + last_mean[-1] ** 2)
    recompute_batch_norms(model, batches, run)
    assert not model.training
    for norm, means, squares in (
        (model[1], first_mean, first_square),
        (model[4], last_mean, last_square),
    ):
        mean = torch.stack(means).mean(0)
        torch.testing.assert_close(norm.running_mean, mean)
        torch.testing.assert_close(norm.running_var, torch.stack(squares).mean(0) - mean**2)


def test_no_batch_and_no_norm_change_nothing():
    norm = nn.BatchNorm1d(1)
    norm.running_mean.fill_(3.0)
    assert recompute_batch_norms(norm, [], run) == 0
    assert norm.running_mean.item() == 3.0
    assert recompute_batch_norms(nn.Linear(1, 1), [torch.zeros(2, 1)], run) == 1


def test_snapshot_brings_back_what_nan_destroyed():
    norm = nn.BatchNorm1d(1)
    norm(torch.tensor([[1.0], [2.0]]))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    snapshot = BatchNormSnapshot(norm)
    norm(torch.tensor([[float("nan")], [2.0]]))
    assert norm.running_mean.isnan().all()
    snapshot.restore()
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


def test_frozen_statistics_stay_and_the_scale_is_trained():
    model = nn.Sequential(nn.BatchNorm1d(1), nn.Dropout(0.5))
    model.train()
    freeze_batch_norms(model)
    model(torch.tensor([[1.0], [3.0]])).sum().backward()
    assert model[0].running_mean.item() == 0.0
    assert model[0].weight.grad is not None
    assert model[1].training
