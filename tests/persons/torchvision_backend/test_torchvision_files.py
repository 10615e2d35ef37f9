"""Files of weights that torchvision's back end must not use, each named with its fault."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from canary import Canary
from detector_files import DETECTOR
from torchvision_cases import State, torchvision_detector_of

from x3d_det.errors import CheckpointError, DataError
from x3d_det.persons.weights import local_weights, read_weights


def _spoil(state: State, change: Callable[[State], object]) -> State:
    spoilt = dict(state)
    change(spoilt)
    return spoilt


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda state: state.update(
                {"roi_heads.box_head.fc6.bias": torch.full((1024,), np.nan)}
            ),
            "roi_heads.box_head.fc6.bias has values that are NaN",
        ),
        (
            lambda state: state.pop("roi_heads.box_predictor.cls_score.weight"),
            "no roi_heads.box_predictor.cls_score.weight.*backend detectron2",
        ),
    ],
)
def test_weights_of_no_numbers_or_no_detector_are_refused(
    change: Callable[[State], object], text: str, state: State, tmp_path: Path
):
    path = tmp_path / "spoilt.pth"
    torch.save(_spoil(state, change), path)
    with pytest.raises(CheckpointError, match=f"weights {path}.*{text}"):
        torchvision_detector_of(path)


def test_weights_that_fill_the_model_in_part_are_refused(state: State, tmp_path: Path):
    spoilt = {**state, "extra": torch.zeros(2), "roi_heads.box_head.fc7.bias": torch.zeros(7)}
    torch.save(spoilt, tmp_path / "shape.pth")
    text = r"1 of another shape \(roi_heads.box_head.fc7.bias: file \[7\], model \[1024\]\)"
    with pytest.raises(CheckpointError, match=f"shape.pth do not fit model {DETECTOR}: .*{text}"):
        torchvision_detector_of(tmp_path / "shape.pth")
    spoilt["roi_heads.box_head.fc7.bias"] = state["roi_heads.box_head.fc7.bias"]
    del spoilt["backbone.body.0.0.weight"]
    torch.save(spoilt, tmp_path / "part.pth")
    text = r"1 missing in the file \(backbone.body.0.0.weight\); 1 unknown to the model \(extra\)"
    with pytest.raises(CheckpointError, match=f"part.pth do not fit model {DETECTOR}: .*{text}"):
        torchvision_detector_of(tmp_path / "part.pth")


def test_weights_of_another_model_are_refused(weights: Path):
    with pytest.raises(
        CheckpointError, match=f"weights {weights} do not fit model fasterrcnn_resnet50"
    ):
        torchvision_detector_of(weights, model="fasterrcnn_resnet50_fpn_v2")


@pytest.mark.parametrize("new_zip", [True, False])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(new_zip: bool, tmp_path: Path):
    path, canary = tmp_path / "evil.pth", tmp_path / "canary"
    torch.save({"a": Canary(canary)}, path, _use_new_zipfile_serialization=new_zip)
    with pytest.raises(CheckpointError, match=r"posix.mkdir.*refused and nothing of it was run"):
        torchvision_detector_of(path)
    assert not canary.exists()
    torch.load(path, weights_only=False)
    assert canary.exists(), "the canary must sing when it is let out"


@pytest.mark.parametrize("new_zip", [True, False])
def test_a_truncated_file_is_refused(new_zip: bool, state: State, tmp_path: Path):
    path = tmp_path / "short.pth"
    torch.save(state, path, _use_new_zipfile_serialization=new_zip)
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(CheckpointError, match=r"short.pth.*damaged"):
        torchvision_detector_of(path)


def test_files_of_the_wrong_kind_are_named(tmp_path: Path):
    with pytest.raises(
        CheckpointError, match=r"none.pth: does not exist; name a file with --weights"
    ):
        torchvision_detector_of(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="is a folder"):
        torchvision_detector_of(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"1")
    with pytest.raises(CheckpointError, match=r"ends in '.onnx'; known are .pth, .pt, .pkl"):
        torchvision_detector_of(tmp_path / "model.onnx")
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(CheckpointError, match=r"text.pth starts with b'weights'"):
        torchvision_detector_of(tmp_path / "text.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"\x08")
    with pytest.raises(CheckpointError, match=r"bad.safetensors: damaged, or no safetensors"):
        torchvision_detector_of(tmp_path / "bad.safetensors")
    (tmp_path / "text.pkl").write_text("weights")
    with pytest.raises(DataError, match=r"text.pkl"):
        torchvision_detector_of(tmp_path / "text.pkl")
    torch.save({"model": [1, 2]}, tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="hold no names with tensors"):
        torchvision_detector_of(tmp_path / "list.pth")


def test_a_list_is_no_weights(tmp_path: Path):
    import pickle

    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(CheckpointError, match=r"list.pkl: hold a list; names with arrays"):
        read_weights(tmp_path / "list.pkl")


def test_the_hash_asked_for_is_checked(weights: Path):
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    for asked in (digest, digest[:8], digest.upper()):
        assert local_weights(weights, sha256=asked).sha256 == digest
    with pytest.raises(CheckpointError, match=f"the SHA-256 is {digest}, not 0123456789abcdef"):
        torchvision_detector_of(weights, weights_sha256="0123456789abcdef")
