"""torchvision's back end against torchvision's own calls."""

import hashlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from detector_files import DETECTOR, coarse_frame
from safetensors.torch import save_file
from torchvision.models import get_model, get_model_weights
from torchvision_cases import (
    State,
    own_call,
    picture,
    random_state,
    torchvision_detector_of,
)

from x3d_det.errors import ConfigError
from x3d_det.io.published import PublishedFile
from x3d_det.persons import torchvision_detector
from x3d_det.persons.batches import check_frames
from x3d_det.persons.detector import PersonDetector, PersonDetectorOptions, make_person_detector


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((8, 9), np.uint8),
        np.zeros((8, 9, 1), np.uint8),
        np.zeros((8, 9, 4), np.uint8),
        np.zeros((0, 9, 3), np.uint8),
        np.zeros((8, 9, 3), np.float32),
    ],
)
def test_a_frame_that_is_no_rgb_picture_is_named(frame: np.ndarray, detector: PersonDetector):
    good = np.zeros((8, 9, 3), np.uint8)
    shape = str(frame.shape).replace("(", r"\(").replace(")", r"\)")
    text = rf"frames_HWC\[1\] is {frame.dtype} of shape {shape}; .*uint8 RGB"
    with pytest.raises(ValueError, match=text):
        check_frames([good, frame])
    with pytest.raises(ValueError, match=text):
        detector.detect([good, frame])


def test_boxes_are_those_of_torchvision_s_own_call(state: State, detector: PersonDetector):
    frame = coarse_frame(120, 200)
    own = own_call(state, frame)
    is_person = own["labels"] == 1
    assert 5 < is_person.sum() < len(is_person), "the random detector must find both classes"
    rows = detector.detect([frame])[0]
    np.testing.assert_array_equal(rows[:, :4], own["boxes"][is_person])
    np.testing.assert_array_equal(rows[:, 4], own["scores"][is_person])
    assert (np.diff(rows[:, 4]) <= 0).all()


def test_another_class_can_be_asked_for(state: State, weights: Path):
    frame = coarse_frame(120, 200)
    own = own_call(state, frame)
    rows = torchvision_detector_of(weights, person_class=2).detect([frame])[0]
    np.testing.assert_array_equal(rows[:, :4], own["boxes"][own["labels"] == 2])


def test_min_score_keeps_the_boxes_above_it(detector: PersonDetector, weights: Path):
    frame = coarse_frame(120, 200)
    rows = detector.detect([frame])[0]
    threshold = float(np.median(rows[:, 4]))
    strict = torchvision_detector_of(weights, min_score=threshold).detect([frame])[0]
    assert 0 < len(strict) < len(rows)
    np.testing.assert_array_equal(strict, rows[rows[:, 4] > threshold])
    nobody = torchvision_detector_of(weights, min_score=0.999999).detect([frame])[0]
    assert nobody.shape == (0, 5)
    assert nobody.dtype == np.float32


def test_sizes_may_differ_within_a_batch(detector: PersonDetector):
    frames = [
        coarse_frame(120, 200, 1),
        coarse_frame(90, 64, 2),
        coarse_frame(120, 200, 3),
        coarse_frame(48, 96, 4),
    ]
    together = detector.detect(frames)
    assert len({len(rows) for rows in together}) > 1, "the frames must differ in their boxes"
    for frame, rows in zip(frames, together, strict=True):
        height, width = frame.shape[:2]
        assert len(rows) > 0
        assert rows[:, :4].min() >= 0
        assert rows[:, 2].max() <= width
        assert rows[:, 3].max() <= height
        # larger batches round otherwise
        np.testing.assert_allclose(rows, detector.detect([frame])[0], atol=1e-3)


def test_no_frames_give_no_boxes(detector: PersonDetector):
    assert detector.detect([]) == []


def test_boxes_of_a_large_frame_are_in_its_own_pixels(weights: Path):
    # One colour is the same picture at any size: 600 x 1000 is scaled to 96 x 160, by 6.25.
    detector = torchvision_detector_of(weights, min_score=0.0)
    colour = np.array([200, 120, 40], np.uint8)
    small, large = detector.detect([np.full((96, 160, 3), colour), np.full((600, 1000, 3), colour)])
    assert len(small) > 3
    np.testing.assert_allclose(large[:, :4], 6.25 * small[:, :4], atol=0.01)
    np.testing.assert_allclose(large[:, 4], small[:, 4], atol=1e-4)


def test_a_read_only_frame_is_taken_without_a_warning(
    detector: PersonDetector, recwarn: pytest.WarningsRecorder
):
    frame = coarse_frame(64, 96)
    frame.flags.writeable = False
    mirrored = frame[:, ::-1]  # of negative strides
    assert len(detector.detect([frame, mirrored])) == 2
    assert [str(warning.message) for warning in recwarn if "writ" in str(warning.message)] == []


def test_settings_hold_what_changes_the_boxes(detector: PersonDetector, weights: Path):
    import torchvision

    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert detector.settings == {
        "backend": "torchvision",
        "model": DETECTOR,
        "weights_sha256": digest,
        "person_class": 1,
        "short_side": 96,
        "max_side": 160,
        "min_score": 0.05,
        "torchvision": torchvision.__version__,
    }
    own = torchvision_detector_of(weights, short_side=None, max_side=None).settings
    assert (own["short_side"], own["max_side"]) == (320, 640)


@pytest.mark.parametrize("form", ["old torchvision", "checkpoint", "safetensors"])
def test_every_form_of_a_file_gives_the_same_boxes(
    form: str, state: State, detector: PersonDetector, tmp_path: Path
):
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pth")
    if form == "checkpoint":
        torch.save({"model": state, "epoch": 3}, path)
    elif form == "safetensors":
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    else:
        # As its first detector is published: in torch's format before 1.6, by the names before
        # torchvision 0.13, and of a frozen batch norm, which counts no batches.
        old = OrderedDict(
            (_old_name(name), tensor)
            for name, tensor in state.items()
            if not name.endswith("num_batches_tracked")
        )
        assert not set(old) <= set(state)
        torch.save(old, path, _use_new_zipfile_serialization=False)
    frame = coarse_frame(120, 200)
    rows = torchvision_detector_of(path).detect([frame])[0]
    np.testing.assert_array_equal(rows, detector.detect([frame])[0])


def _old_name(name: str) -> str:
    if name.startswith(("backbone.fpn.inner_blocks", "backbone.fpn.layer_blocks")):
        parts = name.split(".")
        return ".".join(parts[:4] + parts[5:])
    return name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")


def test_the_classes_are_those_of_the_file(state: State, tmp_path: Path):
    predictor = "roi_heads.box_predictor"
    state = dict(state)
    for kind in ("weight", "bias"):  # the background and two classes
        state[f"{predictor}.cls_score.{kind}"] = state[f"{predictor}.cls_score.{kind}"][:3]
        state[f"{predictor}.bbox_pred.{kind}"] = state[f"{predictor}.bbox_pred.{kind}"][:12]
    torch.save(state, tmp_path / "two.pth")
    rows = torchvision_detector_of(tmp_path / "two.pth").detect([coarse_frame(64, 96)])[0]
    own = own_call(state, coarse_frame(64, 96))
    np.testing.assert_array_equal(rows[:, :4], own["boxes"][own["labels"] == 1])
    with pytest.raises(ConfigError, match=r"person_class is 3; .*two.pth know the classes 1 to 2"):
        torchvision_detector_of(tmp_path / "two.pth", person_class=3)
    with pytest.raises(ConfigError, match=r"person_class is 0; .*and 0 for the background"):
        torchvision_detector_of(tmp_path / "two.pth", person_class=0)


def test_published_resnet50_weights_get_the_epsilon_they_were_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The oracle is torchvision's own call with `weights=`; it reads the file put in its cache."""
    name = "fasterrcnn_resnet50_fpn"
    state = random_state(name, num_classes=91)
    for key in [key for key in state if key.endswith("bn1.running_var")]:
        # The same network, but of variances so small that an epsilon of 1e-5 is seen.
        factor = (1e-5 / state[key].mean()).sqrt()
        state[key] *= factor**2
        state[key.replace("running_var", "running_mean")] *= factor
        state[key.replace("bn1.running_var", "conv1.weight")] *= factor
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    published = torchvision_detector.published_torchvision_weights(name)
    assert (
        published.path
        == tmp_path / "hub" / "checkpoints" / "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"
    )
    assert published.sha256 == "258fb6c6"
    assert published.url == get_model_weights(name).DEFAULT.url
    published.path.parent.mkdir(parents=True)
    torch.save({k: v for k, v in state.items() if "num_batches" not in k}, published.path)
    oracle = get_model(name, weights="DEFAULT", min_size=64, max_size=96).eval()
    frame = coarse_frame(64, 96)
    with torch.no_grad():
        own = oracle([picture(frame)])[0]
    expected = own["boxes"][own["labels"] == 1].numpy()

    def boxes(sha256: str) -> np.ndarray:
        claimed = PublishedFile(url=published.url, path=published.path, sha256=sha256)
        monkeypatch.setattr(
            torchvision_detector, "published_torchvision_weights", lambda _: claimed
        )
        found = torchvision_detector_of(published.path, model=name, short_side=64, max_side=96)
        return found.detect([frame])[0][:, :4]

    found = boxes(hashlib.sha256(published.path.read_bytes()).hexdigest()[:8])
    # torchvision freezes its batch norms there, which rounds otherwise
    np.testing.assert_allclose(found, expected, atol=1e-2)
    others = boxes("00000000")  # weights of a user's own keep torchvision's usual epsilon
    assert others.shape != expected.shape or np.abs(others - expected).max() > 0.1


def test_an_unknown_torchvision_model_is_named():
    options = PersonDetectorOptions(backend="torchvision", model="fasterrcnn_resnet50_fpn_v3")
    with pytest.raises(
        ConfigError, match=r"'fasterrcnn_resnet50_fpn_v3'.*did you mean .*_fpn_v2\?"
    ):
        make_person_detector(options)


def test_every_published_torchvision_file_carries_its_hash():
    for name in torchvision_detector.TORCHVISION_MODELS:
        published = torchvision_detector.published_torchvision_weights(name)
        assert published.sha256 is not None
        assert published.path.name.endswith(f"-{published.sha256}.pth")
        assert published.url.endswith(published.path.name)
