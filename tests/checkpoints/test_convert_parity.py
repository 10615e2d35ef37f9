"""PyTorchVideo's own models against ours through checkpoint files, in both directions.

Recipe: `pytorchvideo.models.x3d.create_x3d` and `...efficient_x3d.create_x3d` (pytorchvideo
0.1.5, from PyPI), random weights, BatchNorm weights and statistics; saved as its hub does,
read and loaded by `x3d_det.checkpoints`, and ours exported and loaded by theirs, strictly.
Tolerance: 1e-5 of the logits' scale, float32 sums in another order. Weights do not depend
on the clip's size; short clips and small crops are enough.
"""

import dataclasses
import warnings

import pytest
import torch
from torch import nn

from x3d_det.checkpoints import load_pretrained, read_checkpoint, write_checkpoint
from x3d_det.models import X3D, X3D_SPECS, X3DClassifier

x3d = pytest.importorskip("pytorchvideo.models.x3d", reason="pytorchvideo is not installed")

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("m", "l")]
NUM_CLASSES = 50
CLIPS = (1, 3, 4, 64, 64)


def spec_of(name):
    return dataclasses.replace(X3D_SPECS[name], num_frames=CLIPS[2], crop_size=CLIPS[3])


def pytorchvideo_model(name):
    spec = spec_of(name)
    return x3d.create_x3d(
        input_clip_length=spec.num_frames,
        input_crop_size=spec.crop_size,
        depth_factor=spec.depth_factor,
        head_activation=None,
        model_num_class=NUM_CLASSES,
    )


def efficient_model(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit's deprecation, in its imports
        from pytorchvideo.models.accelerator.mobile_cpu.efficient_x3d import create_x3d

    return create_x3d(num_classes=NUM_CLASSES, expansion=name.upper())


def our_model(name):
    return X3DClassifier(X3D(spec_of(name)), num_classes=NUM_CLASSES)


def draw(model, *, seed):
    """Random statistics, and weights by which a signal neither dies nor explodes."""
    torch.manual_seed(seed)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.BatchNorm3d):
            last_of_block = name.endswith(("norm_c", "conv_2.kernel.bn"))
            layer.weight.data.uniform_(*((0.1, 0.5) if last_of_block else (0.5, 1.5)))
            layer.bias.data.normal_(std=0.2)
            layer.running_mean.normal_(std=0.2)
            layer.running_var.uniform_(0.5, 1.5)
        elif isinstance(layer, nn.Linear) and layer.out_features == NUM_CLASSES:
            layer.weight.data.normal_(std=0.1)
            layer.bias.data.normal_()
    return model


def logits_of(model):
    """Logits of the same clips, every statistic as stored."""
    generator = torch.Generator().manual_seed(9)
    model.eval()
    if isinstance(model, X3DClassifier):  # it gives probabilities in evaluation mode
        model.head.training = True
        model.head.dropout.eval()
    with torch.no_grad():
        return model(torch.randn(CLIPS, generator=generator))


def assert_close_to_scale(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


def check_both_directions(theirs, make_theirs, name, layout, wrap, tmp_path):
    draw(theirs, seed=3)
    path = tmp_path / "theirs.pyth"
    torch.save(wrap(theirs.state_dict()), path)
    checkpoint = read_checkpoint(path)
    assert (checkpoint.layout, checkpoint.kind, checkpoint.unused) == (layout, "classifier", ())
    assert name in checkpoint.spec_hint.members
    ours = our_model(name)
    assert load_pretrained(ours, path, strict=True).complete
    expected = logits_of(theirs)
    assert expected.std() > 0.1
    assert_close_to_scale(logits_of(ours), expected)

    draw(ours, seed=4)  # among them the BN on the shortcut that PyTorchVideo has not
    torch.save(ours.state_dict(), tmp_path / "ours.pt")
    exported = tmp_path / "exported.pyth"
    write_checkpoint(exported, read_checkpoint(tmp_path / "ours.pt"), layout=layout)
    state = torch.load(exported, weights_only=True)
    other = make_theirs(name)
    other.load_state_dict(state.get("model_state", state), strict=True)
    assert_close_to_scale(logits_of(other), logits_of(ours))
    assert not torch.allclose(logits_of(other), expected)


@pytest.mark.parametrize("name", ["xs", "s", *SLOW])
def test_pytorchvideo(name, tmp_path):
    theirs = pytorchvideo_model(name)
    check_both_directions(
        theirs,
        pytorchvideo_model,
        name,
        "pytorchvideo",
        lambda state: {"model_state": state},
        tmp_path,
    )


@pytest.mark.parametrize("name", ["xs", *(pytest.param("s", marks=pytest.mark.slow), *SLOW)])
def test_efficient_x3d(name, tmp_path):
    theirs = efficient_model(name)
    check_both_directions(
        theirs, efficient_model, name, "efficient_x3d", lambda state: state, tmp_path
    )
