"""BatchNorm over parts of a batch against `nn.BatchNorm3d` on each part."""

import copy

import pytest
import torch
from torch import nn

from x3d_det.models import X3D, X3DClassifier, X3DSpec, fuse_for_inference, set_batch_norm_splits
from x3d_det.models.batch_norm import BatchNorm3d

SPEC = X3DSpec(num_frames=2, crop_size=32, sampling_stride=1, depth_factor=1.0)


def norm_of(channels, num_splits):
    torch.manual_seed(0)
    norm = BatchNorm3d(channels)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    set_batch_norm_splits(norm, num_splits)
    return norm


def clips(*shape, layout=torch.channels_last_3d, dtype=torch.float32):
    torch.manual_seed(1)
    x_BCTHW = torch.randn(shape, dtype=dtype) * 3 + torch.arange(shape[0]).view(-1, 1, 1, 1, 1)
    return x_BCTHW.to(dtype).contiguous(memory_format=layout)


def test_by_hand():
    # Parts (1, 3) and (10, 14): means 2 and 12, variances 1 and 4. All: mean 7, pooled
    # variance (1 + 4) / 2 + 5^2 = 27.5, unbiased 27.5 * 4 / 3 = 36.67; a tenth of it is kept.
    norm = BatchNorm3d(1, eps=0.0)
    set_batch_norm_splits(norm, 2)
    y_BCTHW = norm(torch.tensor([1.0, 3.0, 10.0, 14.0]).view(4, 1, 1, 1, 1))
    assert y_BCTHW.flatten().tolist() == [-1.0, 1.0, -1.0, 1.0]
    assert norm.running_mean.item() == pytest.approx(0.7)
    assert norm.running_var.item() == pytest.approx(0.9 + 0.1 * 110 / 3)
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d], ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=str
)
@pytest.mark.parametrize("num_splits", [2, 3, 6])
def test_each_part_is_normalised_for_itself(layout, dtype, tolerance, num_splits):
    ours = norm_of(5, num_splits).to(dtype)
    theirs = nn.BatchNorm3d(5).double()
    theirs.load_state_dict(ours.state_dict())
    x_BCTHW = clips(6, 5, 2, 3, 4, layout=layout, dtype=dtype).requires_grad_()
    exact = x_BCTHW.detach().double().requires_grad_()
    grad = torch.randn(x_BCTHW.shape)
    y_BCTHW = ours(x_BCTHW)
    expected = torch.cat([theirs(part) for part in exact.split(6 // num_splits)])
    y_BCTHW.backward(grad.to(dtype))
    expected.backward(grad.double())
    for found, wanted in (
        (y_BCTHW, expected),
        (x_BCTHW.grad, exact.grad),
        (ours.weight.grad, theirs.weight.grad),
        (ours.bias.grad, theirs.bias.grad),
    ):
        scale = wanted.abs().max().clamp(min=1)
        assert (found.double() - wanted).abs().max() <= 10 * tolerance * scale


@pytest.mark.parametrize("momentum", [0.1, 1.0, None])
def test_running_statistics_are_those_of_the_whole_batch(momentum):
    whole, parts = norm_of(5, 1), norm_of(5, 4)
    whole.momentum = parts.momentum = momentum
    for seed in range(2):
        x_BCTHW = clips(8, 5, 2, 3, 4) + seed
        whole(x_BCTHW)
        parts(x_BCTHW)
    assert parts.num_batches_tracked == 2
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))


def test_one_part_and_evaluation_are_plain_batch_norm_bit_for_bit():
    x_BCTHW = clips(4, 5, 2, 3, 4)
    plain, one = norm_of(5, 1), norm_of(5, 2)
    set_batch_norm_splits(one, 1)
    assert torch.equal(one(x_BCTHW), plain(x_BCTHW))
    assert torch.equal(one.running_var, plain.running_var)
    parts = copy.deepcopy(plain).eval()
    set_batch_norm_splits(parts, 3)  # does not divide 4, and need not
    assert torch.equal(parts(x_BCTHW), plain.eval()(x_BCTHW))
    assert set(parts.state_dict()) == set(nn.BatchNorm3d(5).state_dict())


def test_bfloat16():
    ours, exact = norm_of(5, 2), norm_of(5, 2)
    x_BCTHW = clips(4, 5, 2, 3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y_BCTHW = ours(x_BCTHW.bfloat16())
    assert y_BCTHW.dtype == torch.bfloat16
    expected = exact(x_BCTHW)
    assert (y_BCTHW - expected).abs().max() < 0.02 * expected.abs().max()
    torch.testing.assert_close(ours.running_var, exact.running_var, rtol=0.02, atol=0)


def test_a_whole_network_sees_parts_as_batches_of_their_own():
    torch.manual_seed(0)
    model = X3DClassifier(X3D(SPEC, zero_init_residual=False), num_classes=3, dropout=0.0).double()
    x_BCTHW = torch.randn(6, 3, 2, 32, 32, dtype=torch.double)
    expected = torch.cat([model(part) for part in x_BCTHW.split(2)])
    whole = model(x_BCTHW)
    set_batch_norm_splits(model, 3)
    torch.testing.assert_close(model(x_BCTHW), expected, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(whole, expected, rtol=1e-3)
    model.float().eval()
    x_BCTHW = x_BCTHW.float()
    torch.testing.assert_close(fuse_for_inference(model)(x_BCTHW), model(x_BCTHW))


def test_errors():
    norm = norm_of(5, 4)
    with pytest.raises(ValueError, match=r"batch of 6 clips cannot be normalised in 4 equal"):
        norm(clips(6, 5, 2, 3, 4))
    with pytest.raises(ValueError, match=r"num_splits is 0"):
        set_batch_norm_splits(norm, 0)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        norm(clips(4, 5, 1, 1, 1))
