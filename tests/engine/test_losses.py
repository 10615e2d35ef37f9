"""Losses of whole clips, worked by hand."""

import math

import pytest
import torch

from x3d_det.engine.losses import class_loss, mix_clips


def test_the_loss_of_two_equal_logits_is_log_2():
    loss = class_loss(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
    assert loss.item() == pytest.approx(math.log(2))


def test_label_smoothing_spreads_its_share():
    # softmax of (ln 3, 0) = (3/4, 1/4); smoothing 0.2 makes the target (0.9, 0.1)
    logits = torch.tensor([[math.log(3), 0.0]])
    expected = -(0.9 * math.log(0.75) + 0.1 * math.log(0.25))
    assert class_loss(logits, torch.tensor([0]), label_smoothing=0.2).item() == pytest.approx(
        expected
    )


def test_shares_as_targets_are_the_mean_of_the_labels_losses():
    logits = torch.tensor([[1.0, -2.0, 0.5]])
    shares = torch.tensor([[0.7, 0.0, 0.3]])
    parts = [class_loss(logits, torch.tensor([label])).item() for label in (0, 2)]
    assert class_loss(logits, shares).item() == pytest.approx(0.7 * parts[0] + 0.3 * parts[1])


def test_low_precision_logits_are_raised_to_float32():
    assert class_loss(torch.zeros(1, 2).bfloat16(), torch.tensor([0])).dtype == torch.float32


def test_mixed_clips_and_targets_have_the_same_shares():
    torch.manual_seed(0)
    labels = torch.tensor([0, 1, 2, 3])
    clips = torch.eye(4).reshape(4, 4, 1, 1, 1)  # a clip is its own one-hot label
    mixed, targets = mix_clips(clips, labels, num_classes=4, alpha=1.0)
    torch.testing.assert_close(mixed.reshape(4, 4), targets)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(4))
    assert targets.argmax(dim=1).tolist() == labels.tolist(), "its own label leads"
    own = torch.diagonal(targets)
    assert ((own == own.min()) | (own == 1)).all(), "one share for the batch"
    assert 0.5 <= own.min() < 1


def test_mixing_is_a_function_of_torchs_seed():
    clips, labels = torch.randn(6, 1, 1, 2, 2), torch.arange(6)
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(mix_clips(clips, labels, num_classes=6, alpha=0.3))
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


def test_mixup_without_a_share_is_refused():
    with pytest.raises(ValueError, match="alpha is 0"):
        mix_clips(torch.zeros(1, 3, 1, 1, 1), torch.tensor([0]), num_classes=1, alpha=0)
