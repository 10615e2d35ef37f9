"""Small models and checkpoint files for the tests of `x3d_det.checkpoints`."""

import pytest
import torch

from x3d_det.models import X3D, X3DClassifier, X3DSpec, build_detector

SPEC = X3DSpec(num_frames=4, crop_size=64, sampling_stride=1, width_factor=1 / 3, depth_factor=1.0)


@pytest.fixture
def classifier():
    """Return a function that makes a small classifier with fresh weights."""

    def make(num_classes=7, **options):
        torch.manual_seed(1)
        return X3DClassifier(X3D(SPEC, **options), num_classes=num_classes)

    return make


@pytest.fixture
def detector():
    """Return a function that makes a small detector with fresh weights."""

    def make(num_actions=5, **options):
        torch.manual_seed(2)
        return build_detector(SPEC, num_actions=num_actions, **options)

    return make


@pytest.fixture
def saved(tmp_path):
    """Return a function that saves a value with torch and returns the path."""

    def save(value, name="weights.pyth", **options):
        torch.save(value, tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.fixture
def logits():
    """Return a function that gives a classifier's logits with all its statistics as stored."""

    def run(model, clips_BCTHW):
        model.eval().head.train()  # logits, not probabilities
        model.head.norm5.eval()
        model.head.dropout.eval()
        with torch.no_grad():
            return model(clips_BCTHW)

    return run
