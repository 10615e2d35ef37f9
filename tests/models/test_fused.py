"""Fused models against the models they were made of."""

import pytest
import torch
from torch import nn

from x3d_det.models import (
    ROI_HEADS,
    X3D,
    X3D_SPECS,
    X3DClassifier,
    X3DSpec,
    build_detector,
    fuse_for_inference,
)

TINY = X3DSpec(num_frames=4, crop_size=64, sampling_stride=2, depth_factor=1.0)
BOXES = [
    torch.tensor([[0.0, 0.0, 40.0, 60.0], [5.0, 5.0, 50.0, 30.0]]),
    torch.zeros(0, 4),
    torch.tensor([[10.0, 20.0, 64.0, 64.0]]),
]


def randomised(model):
    """Give BatchNorm random weights and statistics; fresh, it switches the blocks off."""
    generator = torch.Generator().manual_seed(1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm3d):
            layer.weight.data.uniform_(0.5, 1.5, generator=generator)
            layer.bias.data.normal_(std=0.2, generator=generator)
            layer.running_mean.normal_(std=0.2, generator=generator)
            layer.running_var.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def relative_rms(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("head", ROI_HEADS)
@pytest.mark.parametrize("feature_stride", [16, 32])
def test_detector_in_float32(head, feature_stride):
    torch.manual_seed(0)
    detector = randomised(
        build_detector(TINY, num_actions=7, head=head, feature_stride=feature_stride)
    )
    fused = fuse_for_inference(detector)
    for size in ((64, 64), (70, 97)):
        clips_BCTHW = torch.randn(3, 3, 5, *size)
        with torch.no_grad():
            expected = detector(clips_BCTHW, BOXES)
        found = fused(clips_BCTHW, BOXES)
        assert found.dtype == torch.float32
        assert not found.requires_grad
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("feature_stride", [16, 32])
def test_detector_in_bfloat16(feature_stride):
    """8 bits of mantissa: 0.4 % a rounding, which partly cancels over the sums."""
    torch.manual_seed(0)
    detector = randomised(build_detector(TINY, num_actions=7, feature_stride=feature_stride))
    clips_BCTHW = torch.randn(3, 3, 4, 64, 64)
    with torch.no_grad():
        expected = detector(clips_BCTHW, BOXES)
    found = fuse_for_inference(detector, dtype=torch.bfloat16)(clips_BCTHW, BOXES)
    assert found.dtype == torch.float32
    assert 1e-5 < relative_rms(found, expected) < 2e-2


@pytest.mark.parametrize("shortcut_norm", [True, False])
def test_classifier_on_one_clip_and_larger_maps(shortcut_norm):
    torch.manual_seed(0)
    backbone = X3D(TINY, shortcut_norm_when_same_width=shortcut_norm)
    model = randomised(X3DClassifier(backbone, num_classes=9))
    model.head.projection.weight.data.mul_(50)
    fused = fuse_for_inference(model)
    for shape in ((1, 3, 4, 64, 64), (2, 3, 5, 97, 64), (1, 3, 1, 32, 32)):
        clips_BCTHW = torch.randn(shape)
        with torch.no_grad():
            expected = model(clips_BCTHW)
        found = fused(clips_BCTHW)
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
        torch.testing.assert_close(found.sum(dim=1), torch.ones(len(found)))


def test_x3d_xs_as_published():
    torch.manual_seed(0)
    detector = randomised(build_detector(X3D_SPECS["xs"], num_actions=80))
    clips_BCTHW = torch.randn(1, 3, 4, 112, 150)
    with torch.no_grad():
        expected = detector(clips_BCTHW, BOXES[:1])
    assert relative_rms(fuse_for_inference(detector)(clips_BCTHW, BOXES[:1]), expected) < 3e-6


def test_no_box_at_all():
    fused = fuse_for_inference(build_detector(TINY, num_actions=7))
    assert fused(torch.randn(2, 3, 2, 64, 64), [torch.zeros(0, 4)] * 2).shape == (0, 7)


def test_the_model_is_left_as_it_is_and_apart():
    detector = build_detector(TINY, num_actions=7)
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    fused = fuse_for_inference(detector)
    clips_BCTHW = torch.randn(3, 3, 2, 64, 64)
    expected = fused(clips_BCTHW, BOXES)
    assert detector.training
    assert detector.head.conv5 is not None
    assert all(torch.equal(tensor, before[name]) for name, tensor in detector.state_dict().items())
    for parameter in detector.parameters():
        parameter.data.zero_()
    assert torch.equal(fused(clips_BCTHW, BOXES), expected)
    assert not any(parameter.requires_grad for parameter in fused.parameters())


def test_autocast_and_the_input_are_left_alone():
    fused = fuse_for_inference(build_detector(TINY, num_actions=7))
    clips_BCTHW = torch.randn(3, 3, 2, 64, 64)
    kept = clips_BCTHW.clone()
    expected = fused(clips_BCTHW, BOXES)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fused(clips_BCTHW, BOXES), expected)
    assert torch.equal(clips_BCTHW, kept)


def test_one_thread_and_few_frames():
    """There PyTorch's 1x1 convolution is slow, and another form is taken."""
    detector = randomised(build_detector(TINY, num_actions=7))
    fused = fuse_for_inference(detector)
    clips_BCTHW = torch.randn(1, 3, 4, 64, 64)
    threads = torch.get_num_threads()
    results = []
    try:
        for num_threads in (1, 2):
            torch.set_num_threads(num_threads)
            results.append(fused(clips_BCTHW, BOXES[:1]))
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(*results)


def test_errors_name_what_was_found():
    detector = build_detector(TINY, num_actions=7)
    with pytest.raises(ValueError, match=r"dtype is torch.float16; it must be torch.float32 or"):
        fuse_for_inference(detector, dtype=torch.float16)
    with pytest.raises(TypeError, match="model is a Linear; only detectors and classifiers fuse"):
        fuse_for_inference(nn.Linear(2, 2))
    fused = fuse_for_inference(detector)
    with pytest.raises(ValueError, match="has 3 tensors for 1 clips"):
        fused(torch.zeros(1, 3, 4, 64, 64), BOXES)
    with pytest.raises(ValueError, match=r"clips have shape \(1, 4, 4, 64, 64\)"):
        fused(torch.zeros(1, 4, 4, 64, 64), BOXES[:1])
