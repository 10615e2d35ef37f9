"""BatchNorm with exact statistics against `nn.BatchNorm3d` in float64."""

import pytest
import torch
from torch import nn

from x3d_det.models.batch_norm import BatchNorm3d, batch_statistics

SHAPES = [(8, 24, 4, 40, 40), (2, 54, 16, 9, 11), (1, 8, 1, 1, 2), (3, 5, 2, 4, 1), (2, 4, 1, 1, 1)]


def pair(channels, **options):
    torch.manual_seed(0)
    ours = BatchNorm3d(channels, **options)
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    theirs = nn.BatchNorm3d(channels, **options).double()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def assert_close_to_scale(found, expected):
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max().clamp(min=1)


def test_statistics_by_hand():
    x_BCTHW = torch.tensor([1.0, 3.0, 5.0, 7.0]).view(1, 1, 1, 2, 2)
    mean_C, variance_C = batch_statistics(x_BCTHW)  # mean 4, squares 9 + 1 + 1 + 9 = 20
    assert mean_C.tolist() == [4.0]
    assert variance_C.tolist() == [5.0]


def test_statistics_are_exact_where_pytorch_adds_up_one_by_one():
    torch.manual_seed(0)
    x_BCTHW = (torch.randn(8, 24, 4, 80, 80) + 1).contiguous(memory_format=torch.channels_last_3d)
    mean_C, variance_C = batch_statistics(x_BCTHW)
    exact = x_BCTHW.double()
    assert (mean_C - exact.mean((0, 2, 3, 4))).abs().max() < 1e-6
    assert (variance_C - exact.var((0, 2, 3, 4), correction=0)).abs().max() < 1e-6


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d], ids=str)
@pytest.mark.parametrize("momentum", [0.1, None])
def test_equals_batch_norm(shape, layout, momentum):
    ours, theirs = pair(shape[1], momentum=momentum)
    for _ in range(2):  # the second step sees the first one's running statistics
        x_BCTHW = (torch.randn(shape) * 3 + 1).contiguous(memory_format=layout).requires_grad_()
        exact = x_BCTHW.detach().double().requires_grad_()
        grad = torch.randn(shape)
        y_BCTHW, expected = ours(x_BCTHW), theirs(exact)
        y_BCTHW.backward(grad)
        expected.backward(grad.double())
        assert_close_to_scale(y_BCTHW, expected)
        assert_close_to_scale(x_BCTHW.grad, exact.grad)
        num_values = y_BCTHW[:, 0].numel()  # of which PyTorch sums the gradients in float32
        for name, parameter in ours.named_parameters():
            exact_grad = theirs.get_parameter(name).grad
            assert (parameter.grad - exact_grad).abs().max() <= 3e-4 * num_values**0.5, name
    for name, buffer in ours.named_buffers():
        expected = theirs.get_buffer(name)
        torch.testing.assert_close(buffer, expected, rtol=1e-5, atol=1e-6, check_dtype=False)
    ours.eval()
    theirs.eval()
    assert_close_to_scale(ours(x_BCTHW), theirs(exact))


def test_gradcheck(monkeypatch):
    monkeypatch.setattr("x3d_det.models.batch_norm.has_fast_form", lambda _: True)
    norm = BatchNorm3d(3).double()
    x_BCTHW = torch.randn(2, 3, 2, 3, 2, dtype=torch.double, requires_grad=True)

    def run(x_BCTHW, weight, bias):
        return torch.func.functional_call(norm, {"weight": weight, "bias": bias}, (x_BCTHW,))

    weight, bias = (torch.randn(3, dtype=torch.double, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(run, (x_BCTHW, weight, bias))


def test_without_running_statistics_and_in_evaluation_nothing_is_kept():
    norm = BatchNorm3d(4, track_running_stats=False)
    assert norm(torch.randn(2, 4, 2, 3, 3)).shape == (2, 4, 2, 3, 3)
    norm = BatchNorm3d(4).eval()
    norm(torch.randn(2, 4, 2, 3, 3))
    assert norm.num_batches_tracked == 0


def test_one_value_a_channel_is_refused_as_by_pytorch():
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        BatchNorm3d(4)(torch.randn(1, 4, 1, 1, 1))
