"""Backbone and head together."""

import pytest
import torch

from x3d_det.models import ROI_HEADS, X3DClassifier, X3DSpec, build_detector

TINY = X3DSpec(num_frames=4, crop_size=64, sampling_stride=2, depth_factor=1.0)


@pytest.mark.parametrize("head", ROI_HEADS)
@pytest.mark.parametrize("feature_stride", [16, 32])
def test_logits_for_clips_of_any_size(head, feature_stride):
    detector = build_detector(TINY, num_actions=7, head=head, feature_stride=feature_stride).eval()
    boxes = [torch.tensor([[0.0, 0.0, 40.0, 60.0], [5.0, 5.0, 50.0, 30.0]]), torch.zeros(0, 4)]
    with torch.no_grad():
        for size in ((64, 64), (70, 97)):
            assert detector(torch.randn(2, 3, 3, *size), boxes).shape == (2, 7)


def test_every_parameter_is_trained():
    torch.manual_seed(0)
    detector = build_detector(TINY, num_actions=7)
    for name, parameter in detector.named_parameters():
        if name.endswith("norm_c.weight"):
            parameter.data.fill_(1.0)  # zero at the start, which stops the gradient of its block
    boxes = [torch.tensor([[0.0, 0.0, 40.0, 60.0]]), torch.tensor([[9.0, 9.0, 60.0, 60.0]])]
    detector(torch.randn(2, 3, 4, 64, 64), boxes).square().sum().backward()
    without = [
        name for name, p in detector.named_parameters() if p.grad is None or not p.grad.any()
    ]
    assert without == []


def test_a_batch_without_boxes_trains_to_nothing():
    detector = build_detector(TINY, num_actions=7)
    logits_NK = detector(torch.randn(2, 3, 2, 64, 64), [torch.zeros(0, 4)] * 2)
    assert logits_NK.shape == (0, 7)
    logits_NK.sum().backward()
    assert all(not p.grad.any() for p in detector.parameters())


def test_the_kinetics_head_fits_but_for_its_class_layer():
    detector = build_detector(TINY, num_actions=7)
    classifier = X3DClassifier(detector.backbone, num_classes=9)
    kinetics = {name: tensor.shape for name, tensor in classifier.state_dict().items()}
    shapes = {name: tensor.shape for name, tensor in detector.state_dict().items()}
    assert kinetics.keys() == shapes.keys()
    differing = {name for name in shapes if shapes[name] != kinetics[name]}
    assert differing == {"head.projection.weight", "head.projection.bias"}


def test_training_step_is_bit_identical_from_run_to_run():
    def run():
        torch.manual_seed(3)
        detector = build_detector(TINY, num_actions=7)
        clips = torch.randn(2, 3, 4, 64, 64)
        boxes = [torch.tensor([[0.0, 0.0, 40.0, 60.0]]), torch.tensor([[9.0, 9.0, 60.0, 60.0]])]
        detector(clips, boxes).square().sum().backward()
        return [p.grad for p in detector.parameters()]

    assert all(torch.equal(one, other) for one, other in zip(run(), run(), strict=True))


def test_errors_come_before_the_backbone_runs():
    detector = build_detector(TINY, num_actions=7)
    with pytest.raises(ValueError, match="has 2 tensors for 1 clips"):
        detector(torch.zeros(1, 3, 4, 64, 64), [torch.zeros(0, 4)] * 2)
    with pytest.raises(ValueError, match="there is no RoI head 'fcc'; did you mean fc"):
        build_detector(TINY, num_actions=7, head="fcc")
