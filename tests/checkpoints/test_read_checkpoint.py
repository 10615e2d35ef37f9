"""What a checkpoint says beside its weights: normalisation, class names, an average."""

import json

import pytest
import torch
from foreign_states import CLASSES, foreign_state

from x3d_det.checkpoints import load_pretrained, read_checkpoint
from x3d_det.errors import CheckpointError
from x3d_det.io.checkpoint import checkpoint_path, save_checkpoint
from x3d_det.io.weights import save_model


def test_normalisation_is_read_or_the_layouts_own(classifier, saved, tmp_path):
    slowfast = foreign_state("pyslowfast")
    config = "BN: {EPS: 1}\nDATA:\n  MEAN: [0.5, 0.4, 0.3]\n  STD: [0.2, 0.2, 0.25]\nMODEL: 1\n"
    stated = read_checkpoint(saved({"model_state": slowfast, "epoch": 3, "cfg": config}))
    assert stated.normalisation == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.25))
    assert stated.normalisation_stated
    for broken in (
        "DATA: [",
        "DATA: " + "[" * 500,
        "DATA: " + "1" * 3_990,
        "DATA: 5",
        "DATA:5",
        "",
        7,
    ):
        assumed = read_checkpoint(saved({"model_state": slowfast, "cfg": broken}))
        assert assumed.normalisation == ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))
        assert not assumed.normalisation_stated
    mean, std = read_checkpoint(saved({"state_dict": foreign_state("mmaction2")})).normalisation
    assert mean == pytest.approx((0.45,) * 3)
    assert std == pytest.approx((0.225,) * 3, abs=3e-5)
    pixels = {
        "data_preprocessor.mean": torch.tensor([51.0, 102.0, 153.0]).view(-1, 1, 1, 1),
        "data_preprocessor.std": torch.full((3, 1, 1, 1), 63.75),
    }
    stated = read_checkpoint(saved({"state_dict": foreign_state("mmaction2") | pixels}))
    assert stated.normalisation[0] == pytest.approx((0.2, 0.4, 0.6))
    assert stated.normalisation[1] == (0.25, 0.25, 0.25)
    assert stated.normalisation_stated
    assert stated.unused == ()
    path = saved({"model_state_dict": foreign_state("x3d_multigrid"), "long_ind": 3}, "x.pt")
    assert "mean 0.4339, 0.4046, 0.3776" in load_pretrained(classifier(CLASSES), path).text()
    ours = tmp_path / "model.safetensors"
    clip = {"clip": {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5]}}
    save_model(ours, classifier().state_dict(), {"config": json.dumps(clip)})
    assert read_checkpoint(ours).normalisation == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    save_model(ours, classifier().state_dict(), {"config": "{"})
    with pytest.raises(CheckpointError, match="metadata 'config' is no JSON"):
        read_checkpoint(ours)


def test_class_names_of_mmaction2_and_of_our_detectors(detector, saved, tmp_path):
    names = [f"class {number}" for number in range(CLASSES)]
    for meta in ({"CLASSES": names}, {"dataset_meta": {"classes": names}}):
        path = saved({"state_dict": foreign_state("mmaction2"), "meta": meta})
        assert read_checkpoint(path).class_names == tuple(names)
    path = saved({"state_dict": foreign_state("mmaction2"), "meta": {"CLASSES": names[1:]}})
    assert read_checkpoint(path).class_names is None
    ours = tmp_path / "model.safetensors"
    metadata = {
        "format": "x3d_det action detector",
        "classes": json.dumps({"2": "bend", "9": "sit", "5": "run"}),
        "output_ids": "[9, 2]",
    }
    save_model(ours, detector(2).state_dict(), metadata)
    assert read_checkpoint(ours).class_names == ("sit", "bend")


def test_a_training_checkpoint_of_ours_is_read_with_its_average(classifier, tmp_path):
    plain, averaged = classifier(CLASSES), classifier(CLASSES)
    averaged.head.projection.bias.data.fill_(7)
    path = checkpoint_path(tmp_path, 3)
    save_checkpoint(
        path,
        {
            "step": 3,
            "model": plain.state_dict(),
            "ema": {"weights": averaged.state_dict()},
            "export_metadata": {"format": "x3d_det classifier"},
        },
    )
    checkpoint = read_checkpoint(path)
    assert (checkpoint.layout, checkpoint.kind) == ("x3d_det", "classifier")
    assert (checkpoint.state["head.projection.bias"] == 7).all()
