"""Weights of any file into our models: other classes, heads and widths, and what is left out."""

import json

import pytest
import torch
from foreign_states import CLASSES, foreign_state

from x3d_det.checkpoints import convert_state, load_pretrained, read_checkpoint
from x3d_det.errors import CheckpointError
from x3d_det.io.weights import save_model
from x3d_det.models import X3D, X3DClassifier, X3DSpec


def test_tensors_that_ours_has_not_are_named(classifier, saved):
    state = foreign_state("pyslowfast")
    state["head.lin_5_bn.weight"] = torch.ones(2048)
    assert convert_state(state).unused == ("head.lin_5_bn.weight",)
    path = saved({"model_state": state})
    report = load_pretrained(classifier(CLASSES), path)
    assert "1 unknown to the model (head.lin_5_bn.weight)" in report.text()
    model = classifier(CLASSES)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"weights\.pyth does not fit .*lin_5_bn"):
        load_pretrained(model, path, strict=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_classifier_of_other_classes_starts_a_detector(classifier, detector, saved):
    state = foreign_state("pytorchvideo")
    model = detector(num_actions=5)
    report = load_pretrained(model, saved({"model_state": state}))
    assert (
        "2 left out (head.projection.weight, head.projection.bias): other classes, 7 in the "
        in (report.text())
    )
    assert report.missing == report.unexpected == ()
    assert not report.complete
    lin5 = state["blocks.5.pool.post_conv.weight"].flatten(1)
    assert torch.equal(model.head.lin5.weight, lin5)
    assert torch.equal(model.head.projection.bias, torch.zeros(5))


def test_as_many_outputs_of_another_kind_are_left_out_too(classifier, detector, tmp_path):
    source = classifier(5)
    path = tmp_path / "model.safetensors"
    save_model(path, source.state_dict(), {"format": "x3d_det classifier"})
    report = load_pretrained(detector(num_actions=5), path)
    assert "a classifier's in the file and a detector's in the model" in report.text()
    save_model(path, detector(5).state_dict(), {"format": "x3d_det action detector"})
    checkpoint = read_checkpoint(path)
    assert (checkpoint.kind, checkpoint.num_classes) == ("detector", 5)
    report = load_pretrained(classifier(5), path)
    assert "a detector's in the file and a classifier's in the model" in report.text()
    assert len(report.matched) == len(source.state_dict()) - 2
    assert load_pretrained(detector(5), path, strict=True).complete


def test_a_smaller_head_leaves_the_rest_out(detector, saved):
    report = load_pretrained(detector(num_actions=CLASSES, head="fc"), saved(foreign_state("co3d")))
    assert "the model's head has no such layer" in report.text()
    assert [name for name in report.matched if name.startswith("head.")] == []


def test_classes_of_other_names_are_left_out(classifier, tmp_path):
    path = tmp_path / "model.safetensors"
    source = classifier(3)
    metadata = {"format": "x3d_det classifier", "classes": json.dumps(["run", "sit", "wave"])}
    save_model(path, source.state_dict(), metadata)
    assert read_checkpoint(path).class_names == ("run", "sit", "wave")
    same = load_pretrained(classifier(3), path, class_names=["run", "sit", "wave"])
    assert same.complete
    other = load_pretrained(classifier(3), path, class_names=["run", "stand", "wave"])
    assert "output 1 is 'sit' in the file and 'stand' in the model" in other.text()


def test_another_width_or_depth_is_an_error_that_names_both(classifier, saved):
    model = classifier(CLASSES)
    wider = X3DSpec(num_frames=4, crop_size=64, sampling_stride=1, depth_factor=1.0)
    with torch.device("meta"):
        other = X3DClassifier(X3D(wider), num_classes=CLASSES)
    state = {name: torch.zeros(tensor.shape) for name, tensor in other.state_dict().items()}
    with pytest.raises(
        CheckpointError, match=r"of widths 24, .* the model is an X3D of widths 8, 8-16-32-64"
    ):
        load_pretrained(model, saved(state))
    with pytest.raises(TypeError, match="Linear"):
        load_pretrained(torch.nn.Linear(1, 1), saved(state))


def test_a_backbone_alone_starts_a_model(classifier, saved):
    state = {n: t for n, t in foreign_state("mmaction2").items() if not n.startswith("cls_head")}
    path = saved({"state_dict": state}, "backbone.pth")
    checkpoint = read_checkpoint(path)
    assert (checkpoint.kind, checkpoint.num_classes) == ("backbone", None)
    report = load_pretrained(classifier(CLASSES), path)
    assert report.missing == ("head.lin5.weight", "head.projection.weight", "head.projection.bias")
    with pytest.raises(CheckpointError, match=r"3 missing in the file \(head\.lin5\.weight"):
        load_pretrained(classifier(CLASSES), path, strict=True)
