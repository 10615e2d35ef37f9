"""Detectron2's back end against the real package; skipped where that is not importable.

Its source tree on PYTHONPATH is enough, with fvcore, iopath, omegaconf and cloudpickle.
"""

import copy
import hashlib
import logging
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from x3d_det.errors import CheckpointError, ConfigError, DataError
from x3d_det.io.download import DownloadError
from x3d_det.persons import detectron2_models
from x3d_det.persons.detector import PersonDetector, PersonDetectorOptions, make_person_detector
from x3d_det.persons.detectron2_detector import scaled_size
from x3d_det.persons.detectron2_models import DETECTRON2_MODELS

detectron2 = pytest.importorskip("detectron2")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:torch.*")

State = dict[str, torch.Tensor]
# Faster R-CNN R50-FPN with a fraction of the channels.
TINY = """
_BASE_: {base}
MODEL:
  RESNETS: {{STEM_OUT_CHANNELS: 8, RES2_OUT_CHANNELS: 16, WIDTH_PER_GROUP: 4}}
  FPN: {{OUT_CHANNELS: 16}}
  RPN: {{PRE_NMS_TOPK_TEST: 100, POST_NMS_TOPK_TEST: 60}}
  ROI_HEADS: {{NUM_CLASSES: {num_classes}}}
  ROI_BOX_HEAD: {{FC_DIM: 32}}
{more}
INPUT: {{MIN_SIZE_TEST: 96, MAX_SIZE_TEST: 160}}
"""


def _write_config(path: Path, *, num_classes: int = 2, more: str = "") -> Path:
    package = _package()
    base = detectron2_models.find_config(DETECTRON2_MODELS["R50-FPN"].config, package)
    path.write_text(TINY.format(base=base, num_classes=num_classes, more=more))
    return path


def _package() -> Any:
    return detectron2_models.import_detectron2("detectron2")


def _cfg(config: Path) -> Any:
    from detectron2.config import get_cfg

    cfg = get_cfg()
    cfg.merge_from_file(str(config))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.WEIGHTS = ""
    return cfg


def _random_state(config: Path, *, seed: int = 0) -> State:
    """Weights of a lively detector; batch norms as in Detectron 1 have mean 0 and variance 1."""
    from detectron2.modeling import build_model

    torch.manual_seed(seed)
    state = {name: t.clone() for name, t in build_model(_cfg(config)).state_dict().items()}
    for name, tensor in state.items():
        if name.endswith("running_var"):
            tensor.fill_(1.0)
        elif name.endswith(("norm.weight", "norm.bias")):
            tensor.uniform_(0.2, 0.6) if name.endswith("weight") else tensor.normal_(std=0.1)
        elif name.endswith(("cls_score.weight", "objectness_logits.weight")):
            tensor.normal_(std=0.3)
        elif name.endswith(("cls_score.bias",)):
            tensor.normal_(std=0.5)
    return state


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write_config(tmp_path_factory.mktemp("config") / "tiny.yaml")


@pytest.fixture(scope="module")
def state(config: Path) -> State:
    return _random_state(config)


@pytest.fixture(scope="module")
def weights(state: State, config: Path) -> Path:
    path = config.with_name("tiny.pth")
    torch.save({"model": state, "iteration": 5}, path)
    return path


@pytest.fixture(scope="module")
def detector(config: Path, weights: Path) -> PersonDetector:
    return _detectron2(config, weights)


def _detectron2(config: Path | str, weights: Path | None, **changes: object) -> PersonDetector:
    options = {"backend": "detectron2", "model": str(config), "weights": weights, "device": "cpu"}
    return make_person_detector(PersonDetectorOptions(**{**options, **changes}))  # type: ignore[arg-type]


def _frame(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    return coarse.astype(np.uint8).repeat(8, 0).repeat(8, 1)[:height, :width].copy()


def _own_rows(cfg: Any, weights: Path, frame_RGB: np.ndarray, person_class: int = 0) -> np.ndarray:
    """Persons by Detectron2's DefaultPredictor, which takes BGR."""
    from detectron2.engine import DefaultPredictor

    cfg = copy.deepcopy(cfg)
    cfg.MODEL.WEIGHTS = str(weights)
    found = DefaultPredictor(cfg)(frame_RGB[:, :, ::-1])["instances"]
    found = found[found.pred_classes == person_class]
    return np.concatenate([found.pred_boxes.tensor.numpy(), found.scores.numpy()[:, None]], axis=1)


# Boxes


@pytest.mark.parametrize("size", [(120, 200), (200, 120), (96, 96), (61, 337)])
def test_boxes_are_those_of_the_default_predictor(
    size: tuple[int, int], config: Path, weights: Path, detector: PersonDetector
):
    frame = _frame(*size)
    expected = _own_rows(_cfg(config), weights, frame)
    rows = detector.detect([frame])[0]
    assert len(rows) > 5, "the random detector must find somebody"
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, expected)


def test_a_class_of_the_config_can_be_asked_for(config: Path, weights: Path):
    frame = _frame(120, 200)
    expected = _own_rows(_cfg(config), weights, frame, person_class=1)
    rows = _detectron2(config, weights, person_class=1).detect([frame])[0]
    assert len(rows) > 0
    np.testing.assert_array_equal(rows, expected)
    with pytest.raises(ConfigError, match=r"person_class is 2; model .* has the classes 0 to 1"):
        _detectron2(config, weights, person_class=2)


def test_size_and_threshold_are_those_asked_for(config: Path, weights: Path):
    frame = _frame(120, 200)
    cfg = _cfg(config)
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 64, 80
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.4
    changed = _detectron2(config, weights, short_side=64, max_side=80, min_score=0.4)
    rows = changed.detect([frame])[0]
    assert len(rows) > 0
    assert rows[:, 4].min() > 0.4
    np.testing.assert_array_equal(rows, _own_rows(cfg, weights, frame))


@pytest.mark.parametrize(
    "more",
    ["  PIXEL_STD: [57.375, 57.120, 58.395]", "  PIXEL_MEAN: [100.0, 120.0, 140.0]"],
)
def test_the_config_s_pixel_statistics_count(more: str, weights: Path, tmp_path: Path):
    config = _write_config(tmp_path / "std.yaml", more=more)
    frame = _frame(120, 200)
    rows = _detectron2(config, weights).detect([frame])[0]
    np.testing.assert_array_equal(rows, _own_rows(_cfg(config), weights, frame))


def test_a_config_of_rgb_gets_rgb(weights: Path, tmp_path: Path):
    config = _write_config(tmp_path / "rgb.yaml")
    config.write_text(config.read_text().replace("INPUT: {", "INPUT: {FORMAT: RGB, "))
    assert _cfg(config).INPUT.FORMAT == "RGB"
    frame = _frame(120, 200)
    rows = _detectron2(config, weights).detect([frame])[0]
    np.testing.assert_array_equal(rows, _own_rows(_cfg(config), weights, frame))


def test_sizes_may_differ_within_a_batch(detector: PersonDetector):
    frames = [_frame(120, 200, 1), _frame(90, 64, 2), _frame(120, 200, 3)]
    for frame, rows in zip(frames, detector.detect(frames), strict=True):
        assert len(rows) > 0
        assert rows[:, 2].max() <= frame.shape[1]
        assert rows[:, 3].max() <= frame.shape[0]
        # larger batches round otherwise
        np.testing.assert_allclose(rows, detector.detect([frame])[0], atol=1e-3)
    assert detector.detect([]) == []
    with pytest.raises(ValueError, match=r"frames_HWC\[0\] is uint8 of shape \(8, 8\)"):
        detector.detect([np.zeros((8, 8), np.uint8)])


def test_sizes_are_rounded_as_by_detectron2():
    from detectron2.data.transforms import ResizeShortestEdge

    generator = np.random.default_rng(0)
    for height, width in generator.integers(1, 2000, (400, 2)).tolist():
        short_side, max_side = generator.integers(1, 1500, 2).tolist()
        expected = ResizeShortestEdge.get_output_shape(height, width, short_side, max_side)
        found = scaled_size(height, width, short_side=short_side, max_side=max_side)
        assert found == expected
    # 300 x 400 to short side 800 is 800 x 1066.67; to 1333 at most, 600 x 1200 ends at 666.5
    assert scaled_size(300, 400, short_side=800, max_side=1333) == (800, 1067)
    assert scaled_size(600, 1200, short_side=800, max_side=1333) == (667, 1333)


def test_settings_hold_what_changes_the_boxes(
    detector: PersonDetector, config: Path, weights: Path, tmp_path: Path
):
    import torchvision

    settings = dict(detector.settings)
    digest = settings.pop("config_sha256")
    assert settings == {
        "backend": "detectron2",
        "model": "tiny.yaml",
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "person_class": 0,
        "short_side": 96,
        "max_side": 160,
        "min_score": 0.05,
        "detectron2": detectron2.__version__,
        "torchvision": torchvision.__version__,
    }
    moved = tmp_path / "tiny.yaml"
    moved.write_text(config.read_text())
    assert _detectron2(moved, weights, min_score=0.2).settings["config_sha256"] == digest
    other = _write_config(tmp_path / "other.yaml", more="  PIXEL_STD: [2.0, 2.0, 2.0]")
    assert _detectron2(other, weights).settings["config_sha256"] != digest


# Files of weights


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
    frame = _frame(120, 200)
    rows = _detectron2(config, path).detect([frame])[0]
    assert len(rows) > 5
    np.testing.assert_array_equal(rows, detector.detect([frame])[0])
    if path.suffix == ".pkl":
        np.testing.assert_array_equal(rows, _own_rows(_cfg(config), path, frame))


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
        kept = _detectron2(config, path)
    assert f"weights {path}: 5 of heads other than the boxes' left out" in caplog.text
    frame = _frame(120, 200)
    np.testing.assert_array_equal(kept.detect([frame])[0], detector.detect([frame])[0])


def test_a_mask_r_cnn_gives_its_boxes(tmp_path: Path):
    config = _write_config(
        tmp_path / "mask.yaml", more="  MASK_ON: True\n  ROI_MASK_HEAD: {CONV_DIM: 8, NUM_CONV: 1}"
    )
    torch.save({"model": _random_state(config)}, tmp_path / "mask.pth")
    frame = _frame(120, 200)
    rows = _detectron2(config, tmp_path / "mask.pth").detect([frame])[0]
    assert len(rows) > 0
    np.testing.assert_array_equal(rows, _own_rows(_cfg(config), tmp_path / "mask.pth", frame))


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
        _detectron2(config, tmp_path / "spoilt.pth")


def test_a_detectron_1_file_in_part_is_refused(config: Path, state: State, tmp_path: Path):
    """Detectron2 would give a warning, and boxes from weights drawn at random."""
    blobs = _detectron1_blobs(state, num_classes=2)
    del blobs["res3_1_branch2b_w"]
    blobs["res4_6_branch2a_w"] = np.zeros((4, 4, 1, 1), np.float32)  # a ResNet-101's
    path = _pickled(tmp_path / "part.pkl", {"blobs": blobs})
    with pytest.raises(CheckpointError) as caught:
        _detectron2(config, path)
    assert "1 missing in the file (backbone.bottom_up.res3.1.conv2.weight)" in str(caught.value)
    assert "1 unknown to the model (res4.6.conv1.weight)" in str(caught.value)


def test_weights_of_other_classes_say_which_model_to_use(
    config: Path, state: State, tmp_path: Path
):
    one = _write_config(tmp_path / "one.yaml", num_classes=1)
    one_state = _random_state(one)
    torch.save(one_state, tmp_path / "one.pth")
    text = (
        r"one.pth know 1 class and the background; model .*tiny.yaml has 2 classes: "
        r"use model X101-FPN-AVA for LFB's .*NUM_CLASSES: 1\."
    )
    with pytest.raises(CheckpointError, match=text):
        _detectron2(config, tmp_path / "one.pth")
    path = _pickled(tmp_path / "d1.pkl", {"blobs": _detectron1_blobs(one_state, num_classes=1)})
    with pytest.raises(CheckpointError, match=r"d1.pkl know 1 class and the background"):
        _detectron2(config, path)
    torch.save(state, tmp_path / "two.pth")
    text = r"two.pth know 2 classes .*one.yaml has 1 class: use a config with .*NUM_CLASSES: 2\."
    with pytest.raises(CheckpointError, match=text):
        _detectron2(one, tmp_path / "two.pth")


class _Canary:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(
    protocol: int, config: Path, tmp_path: Path
):
    canary = tmp_path / "canary"
    content = {"model": {"a": _Canary(canary)}, "__author__": "somebody"}
    path = _pickled(tmp_path / "evil.pkl", content, protocol=protocol)
    with pytest.raises(DataError, match=r"evil.pkl.*posix.mkdir"):
        _detectron2(config, path)
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
        _detectron2(config, path)


def test_a_pickle_without_names_is_refused(config: Path, tmp_path: Path):
    path = _pickled(tmp_path / "none.pkl", {"blobs": [1, 2]})
    with pytest.raises(CheckpointError, match=r"none.pkl: hold no names with arrays"):
        _detectron2(config, path)


# Models and configs


def test_the_ava_tuned_model_has_lfb_s_settings():
    cfg = detectron2_models.detectron2_config("X101-FPN-AVA", _package())
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 1
    assert cfg.MODEL.PIXEL_STD == [1.0, 1.0, 1.0]
    assert cfg.MODEL.PIXEL_MEAN == [102.9801, 115.9465, 122.7717]
    assert cfg.MODEL.ROI_BOX_HEAD.POOLER_TYPE == "ROIAlign"
    assert cfg.MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO == 2
    assert (cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.NUM_GROUPS) == (101, 32)
    assert cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST == 0.5
    assert (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST) == (800, 1333)


@pytest.mark.parametrize(("name", "depth"), [("R50-FPN", 50), ("X101-FPN", 101)])
def test_the_coco_models_have_their_configs(name: str, depth: int):
    cfg = detectron2_models.detectron2_config(name, _package())
    assert depth == cfg.MODEL.RESNETS.DEPTH
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 80
    assert cfg.MODEL.MASK_ON is False


def test_published_weights_lie_where_detectron2_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from detectron2.utils.file_io import PathManager
    from iopath.common import file_io

    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    published = detectron2_models.published_detectron2_weights("R50-FPN")
    published.path.parent.mkdir(parents=True)
    published.path.write_bytes(b"weights")
    # Detectron2 finds the file there, and asks no server.
    monkeypatch.setattr(file_io, "download", lambda *_arguments, **_options: pytest.fail("asked"))
    name = "COCO-Detection/faster_rcnn_R_50_FPN_3x/137849458/model_final_280758.pkl"
    assert PathManager.get_local_path(f"detectron2://{name}") == str(published.path)
    assert published.url == f"https://dl.fbaipublicfiles.com/detectron2/{name}"


def test_weights_that_cannot_be_had_name_url_path_and_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from x3d_det.persons import weights as weights_module

    def no_network(url: str, path: Path, **_options: object) -> None:
        raise DownloadError(f"{url}: no answer.")

    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(weights_module, "download", no_network)
    with pytest.raises(DownloadError) as caught:
        make_person_detector(PersonDetectorOptions(backend="detectron2"))
    text = str(caught.value)
    assert (
        "no answer. Start again later, put https://dl.fbaipublicfiles.com/detectron2/COCO-" in text
    )
    assert f"280758.pkl at {tmp_path}/detectron2/COCO-Detection/faster_rcnn_R_50_FPN_3x/" in text
    assert "--weights" in text


def test_models_and_configs_that_do_not_fit_are_named(tmp_path: Path, weights: Path):
    with pytest.raises(ConfigError, match=r"'R50-FPM' is none.*did you mean R50-FPN\?; there are"):
        _detectron2("R50-FPM", weights)
    with pytest.raises(
        ConfigError, match=r"config nowhere.yaml does not exist, nor lies it in .*configs"
    ):
        _detectron2("nowhere.yaml", weights)
    own = _write_config(tmp_path / "own.yaml")
    with pytest.raises(
        ConfigError, match=r"own.yaml is your own config; name its weights with --w"
    ):
        _detectron2(own, None)
    (tmp_path / "typo.yaml").write_text("MODEL: {NUMBER: 3}")
    with pytest.raises(
        ConfigError, match=r"typo.yaml: no config .*Non-existent config key: MODEL.NU"
    ):
        _detectron2(tmp_path / "typo.yaml", weights)
    (tmp_path / "broken.yaml").write_text("MODEL: {")
    with pytest.raises(ConfigError, match=r"broken.yaml: no config that Detectron2 takes: while"):
        _detectron2(tmp_path / "broken.yaml", weights)
    proposals = "COCO-Detection/rpn_R_50_FPN_1x.yaml"  # found among Detectron2's own
    with pytest.raises(ConfigError, match=r"META_ARCHITECTURE is ProposalNet.*GeneralizedRCNN"):
        _detectron2(proposals, weights)
    unknown = _write_config(tmp_path / "unknown.yaml", more="  BACKBONE: {NAME: build_nothing}")
    with pytest.raises(ConfigError, match=r"unknown.yaml cannot be built: .*build_nothing"):
        _detectron2(unknown, weights)


def test_configs_are_found_in_an_install_and_in_a_bare_source_tree(tmp_path: Path):
    package = ModuleType("detectron2")
    package.__file__ = str(tmp_path / "detectron2" / "__init__.py")
    name = "COCO-Detection/some.yaml"

    def find() -> Path:
        return detectron2_models.find_config(name, package)

    beside = tmp_path / "configs" / name
    with pytest.raises(ConfigError, match=f"nor lies it in {tmp_path}/detectron2/model_zoo/config"):
        find()
    beside.parent.mkdir(parents=True)
    beside.touch()
    assert find() == beside
    within = tmp_path / "detectron2" / "model_zoo" / "configs" / name
    within.parent.mkdir(parents=True)
    within.touch()
    assert find() == within


def test_a_config_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path, weights: Path):
    canary = tmp_path / "canary"
    evil = tmp_path / "evil.yaml"
    evil.write_text(f"MODEL: !!python/object/apply:os.mkdir ['{canary}']\n")
    with pytest.raises(
        ConfigError, match=r"evil.yaml: no config .*could not determine a constructor"
    ):
        _detectron2(evil, weights)
    assert not canary.exists()


def test_only_what_is_needed_is_imported(config: Path, weights: Path):
    """A fresh Python: no compiled part, no model_zoo (pkg_resources), no OpenCV, nothing early."""
    code = f"""
import sys
from x3d_det.persons import PersonDetectorOptions, make_person_detector
assert not any(name.split(".")[0] == "detectron2" for name in sys.modules), "imported before use"
options = PersonDetectorOptions(model={str(config)!r}, weights={str(weights)!r}, device="cpu")
assert make_person_detector(options).settings["backend"] == "detectron2"
unwanted = ["detectron2._C", "detectron2.model_zoo", "pkg_resources", "cv2"]
print([name for name in unwanted if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
    assert done.stderr == "", "its own deprecation warnings are not the user's business"
