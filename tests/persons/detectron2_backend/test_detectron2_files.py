"""Files of weights into Detectron2's models: every form, and those that must not be used."""

import logging
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from canary import Canary
from detector_files import coarse_frame
from detectron2_cases import (
    State,
    cfg_of,
    detectron2_detector_of,
    own_rows,
    random_detectron2_state,
    write_config,
)
from safetensors.torch import save_file

from x3d_det.errors import CheckpointError, DataError
from x3d_det.persons.detector import PersonDetector

pytest.importorskip("detectron2")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:torch.*")


def _detectron1_blobs(state: State, *, num_classes: int) -> dict[str, np.ndarray]:
    """The same weights as Detectron 1 names and orders them: the background is class 0.

    Written from Detectron 1's own naming (its ResNet, FPN and Fast R-CNN builders).
    """
    branches = {
        "shortcut": "branch1",
        "conv1": "branch2a",
        "conv2": "branch2b",
        "conv3": "branch2c",
    }
    last_block = {"2": 2, "3": 3, "4": 5, "5": 2}  # of each stage of a ResNet-50
    heads = {
        "proposal_generator.rpn_head.conv": "conv_rpn_fpn2",
        "proposal_generator.rpn_head.objectness_logits": "rpn_cls_logits_fpn2",
        "proposal_generator.rpn_head.anchor_deltas": "rpn_bbox_pred_fpn2",
        "roi_heads.box_head.fc1": "fc6",
        "roi_heads.box_head.fc2": "fc7",
        "roi_heads.box_predictor.cls_score": "cls_score",
        "roi_heads.box_predictor.bbox_pred": "bbox_pred",
    }
    blobs = {}
    for name, tensor in state.items():
        if name.endswith(("running_mean", "running_var")):
            continue  # folded into scale and bias
        module, _, kind = name.rpartition(".")
        letter = {"weight": "w", "bias": "b"}[kind]
        if match := re.fullmatch(r"backbone\.bottom_up\.stem\.conv1(\.norm)?", module):
            blob = f"res_conv1_bn_{letter.replace('w', 's')}" if match[1] else f"conv1_{letter}"
        elif match := re.fullmatch(r"backbone\.bottom_up\.(res\d)\.(\d+)\.(\w+?)(\.norm)?", module):
            suffix = f"bn_{letter.replace('w', 's')}" if match[4] else letter
            blob = f"{match[1]}_{match[2]}_{branches[match[3]]}_{suffix}"
        elif match := re.fullmatch(r"backbone\.fpn_(lateral|output)(\d)", module):
            stage = f"res{match[2]}_{last_block[match[2]]}_sum"
            lateral = "" if match[2] == "5" else "_lateral"  # the topmost has no top-down path
            blob = f"fpn_inner_{stage}{lateral}" if match[1] == "lateral" else f"fpn_{stage}"
            blob += f"_{letter}"
        else:
            blob = f"{heads[module]}_{letter}"
        blobs[blob] = tensor.numpy()
    for letter in "wb":
        scores = blobs[f"cls_score_{letter}"]
        blobs[f"cls_score_{letter}"] = np.concatenate([scores[-1:], scores[:-1]])
        deltas = blobs[f"bbox_pred_{letter}"]
        blobs[f"bbox_pred_{letter}"] = np.concatenate([np.full_like(deltas[:4], 9.0), deltas])
    assert len(blobs["cls_score_w"]) == num_classes + 1
    momenta = {f"{name}_momentum": np.full_like(blob, 7.0) for name, blob in blobs.items()}
    return {**blobs, **momenta}


def _pickled(path: Path, content: object, *, protocol: int = 2) -> Path:
    with open(path, "wb") as file:
        pickle.dump(content, file, protocol=protocol)
    return path


@pytest.mark.parametrize(
    "form", ["model zoo", "detectron 1", "bare blobs", "bare .pth", "safetensors"]
)
def test_every_form_of_a_file_gives_the_same_boxes(
    form: str, config: Path, state: State, detector: PersonDetector, tmp_path: Path
):
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    blobs = _detectron1_blobs(state, num_classes=2)
    path = tmp_path / "w.pkl"
    if form == "model zoo":
        _pickled(path, {"model": arrays, "__author__": "Detectron2 Model Zoo"})
    elif form == "detectron 1":
        _pickled(path, {"blobs": blobs, "cfg": "MODEL: {NUM_CLASSES: 3}"})
    elif form == "bare blobs":
        _pickled(path, blobs)
    elif form == "bare .pth":
        path = tmp_path / "w.pth"
        torch.save(state, path)
    else:
        path = tmp_path / "w.safetensors"
        save_file(state, path)
    frame = coarse_frame(120, 200)
    rows = detectron2_detector_of(config, path).detect([frame])[0]
    assert len(rows) > 5
    np.testing.assert_array_equal(rows, detector.detect([frame])[0])
    if path.suffix == ".pkl":
        np.testing.assert_array_equal(rows, own_rows(cfg_of(config), path, frame))


def test_blobs_that_detectron_1_kept_of_earlier_models_are_left_out(
    config: Path,
    state: State,
    detector: PersonDetector,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    """LFB's detector began as a keypoint detector on ImageNet; its file keeps their heads."""
    blobs = _detectron1_blobs(state, num_classes=2)
    for name in ("conv_fcn1_w", "conv_fcn1_b", "kps_score_lowres_w", "kps_score_w", "pred_w"):
        blobs[name] = np.ones((3, 3), np.float32)
    path = _pickled(tmp_path / "kept.pkl", {"blobs": blobs})
    with caplog.at_level(logging.INFO, "x3d_det"):
        kept = detectron2_detector_of(config, path)
    assert f"weights {path}: 5 of heads other than the boxes' left out" in caplog.text
    frame = coarse_frame(120, 200)
    np.testing.assert_array_equal(kept.detect([frame])[0], detector.detect([frame])[0])


def test_a_mask_r_cnn_gives_its_boxes(tmp_path: Path):
    config = write_config(
        tmp_path / "mask.yaml", more="  MASK_ON: True\n  ROI_MASK_HEAD: {CONV_DIM: 8, NUM_CONV: 1}"
    )
    torch.save({"model": random_detectron2_state(config)}, tmp_path / "mask.pth")
    frame = coarse_frame(120, 200)
    rows = detectron2_detector_of(config, tmp_path / "mask.pth").detect([frame])[0]
    assert len(rows) > 0
    np.testing.assert_array_equal(rows, own_rows(cfg_of(config), tmp_path / "mask.pth", frame))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda state: state.pop("backbone.fpn_output3.bias"),
            r"1 missing in the file \(backbone.fpn_output3.bias\)",
        ),
        (
            lambda state: state.update({"backbone.bottom_up.res6.w": torch.zeros(2)}),
            r"1 unknown to the model \(backbone.bottom_up.res6.w\)",
        ),
        (
            lambda state: state.update({"roi_heads.box_head.fc1.bias": torch.zeros(7)}),
            r"1 of another shape \(roi_heads.box_head.fc1.bias: file \[7\], model \[32\]\)",
        ),
        (
            lambda state: state.update({"roi_heads.box_head.fc1.bias": torch.full((32,), np.inf)}),
            "roi_heads.box_head.fc1.bias has values that are NaN or infinite",
        ),
        (
            lambda state: state.update({"roi_heads.box_head.fc1.bias": 3}),
            "roi_heads.box_head.fc1.bias is a int; it must be an array",
        ),
    ],
)
def test_weights_that_do_not_fill_the_model_are_refused(
    change: Callable[[dict[str, Any]], object],
    text: str,
    config: Path,
    state: State,
    tmp_path: Path,
):
    spoilt: dict[str, Any] = dict(state)
    change(spoilt)
    torch.save({"model": spoilt}, tmp_path / "spoilt.pth")
    with pytest.raises(CheckpointError, match=rf"weights {tmp_path}/spoilt.pth.*{text}"):
        detectron2_detector_of(config, tmp_path / "spoilt.pth")


def test_a_detectron_1_file_in_part_is_refused(config: Path, state: State, tmp_path: Path):
    """Detectron2 would give a warning, and boxes from weights drawn at random."""
    blobs = _detectron1_blobs(state, num_classes=2)
    del blobs["res3_1_branch2b_w"]
    blobs["res4_6_branch2a_w"] = np.zeros((4, 4, 1, 1), np.float32)  # a ResNet-101's
    path = _pickled(tmp_path / "part.pkl", {"blobs": blobs})
    with pytest.raises(CheckpointError) as caught:
        detectron2_detector_of(config, path)
    assert "1 missing in the file (backbone.bottom_up.res3.1.conv2.weight)" in str(caught.value)
    assert "1 unknown to the model (res4.6.conv1.weight)" in str(caught.value)


def test_weights_of_other_classes_say_which_model_to_use(
    config: Path, state: State, tmp_path: Path
):
    one = write_config(tmp_path / "one.yaml", num_classes=1)
    one_state = random_detectron2_state(one)
    torch.save(one_state, tmp_path / "one.pth")
    text = (
        r"one.pth know 1 class and the background; model .*tiny.yaml has 2 classes: "
        r"use model X101-FPN-AVA for LFB's .*NUM_CLASSES: 1\."
    )
    with pytest.raises(CheckpointError, match=text):
        detectron2_detector_of(config, tmp_path / "one.pth")
    path = _pickled(tmp_path / "d1.pkl", {"blobs": _detectron1_blobs(one_state, num_classes=1)})
    with pytest.raises(CheckpointError, match=r"d1.pkl know 1 class and the background"):
        detectron2_detector_of(config, path)
    torch.save(state, tmp_path / "two.pth")
    text = r"two.pth know 2 classes .*one.yaml has 1 class: use a config with .*NUM_CLASSES: 2\."
    with pytest.raises(CheckpointError, match=text):
        detectron2_detector_of(one, tmp_path / "two.pth")


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(
    protocol: int, config: Path, tmp_path: Path
):
    canary = tmp_path / "canary"
    content = {"model": {"a": Canary(canary)}, "__author__": "somebody"}
    path = _pickled(tmp_path / "evil.pkl", content, protocol=protocol)
    with pytest.raises(DataError, match=r"evil.pkl.*posix.mkdir"):
        detectron2_detector_of(config, path)
    assert not canary.exists()
    pickle.loads(path.read_bytes())
    assert canary.exists(), "the canary must sing when it is let out"


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_a_truncated_file_is_refused(suffix: str, config: Path, state: State, tmp_path: Path):
    path = tmp_path / f"short{suffix}"
    if suffix == ".pkl":
        _pickled(path, {"blobs": _detectron1_blobs(state, num_classes=2)})
    else:
        torch.save(state, path)
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size * 2 // 3)
    with pytest.raises((CheckpointError, DataError), match=f"short{suffix}"):
        detectron2_detector_of(config, path)


def test_a_pickle_without_names_is_refused(config: Path, tmp_path: Path):
    path = _pickled(tmp_path / "none.pkl", {"blobs": [1, 2]})
    with pytest.raises(CheckpointError, match=r"none.pkl: hold no names with arrays"):
        detectron2_detector_of(config, path)
