"""Detectron2's back end gives the boxes of Detectron2's own predictor."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from detector_files import coarse_frame
from detectron2_cases import cfg_of, detectron2_detector_of, own_rows, write_config

from x3d_det.errors import ConfigError
from x3d_det.persons.detector import PersonDetector
from x3d_det.persons.detectron2_detector import scaled_size

detectron2 = pytest.importorskip("detectron2")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:torch.*")


@pytest.mark.parametrize("size", [(120, 200), (200, 120), (96, 96), (61, 337)])
def test_boxes_are_those_of_the_default_predictor(
    size: tuple[int, int], config: Path, weights: Path, detector: PersonDetector
):
    frame = coarse_frame(*size)
    expected = own_rows(cfg_of(config), weights, frame)
    rows = detector.detect([frame])[0]
    assert len(rows) > 5, "the random detector must find somebody"
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, expected)


def test_a_class_of_the_config_can_be_asked_for(config: Path, weights: Path):
    frame = coarse_frame(120, 200)
    expected = own_rows(cfg_of(config), weights, frame, person_class=1)
    rows = detectron2_detector_of(config, weights, person_class=1).detect([frame])[0]
    assert len(rows) > 0
    np.testing.assert_array_equal(rows, expected)
    with pytest.raises(ConfigError, match=r"person_class is 2; model .* has the classes 0 to 1"):
        detectron2_detector_of(config, weights, person_class=2)


def test_size_and_threshold_are_those_asked_for(config: Path, weights: Path):
    frame = coarse_frame(120, 200)
    cfg = cfg_of(config)
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 64, 80
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.4
    changed = detectron2_detector_of(config, weights, short_side=64, max_side=80, min_score=0.4)
    rows = changed.detect([frame])[0]
    assert len(rows) > 0
    assert rows[:, 4].min() > 0.4
    np.testing.assert_array_equal(rows, own_rows(cfg, weights, frame))


@pytest.mark.parametrize(
    "more",
    ["  PIXEL_STD: [57.375, 57.120, 58.395]", "  PIXEL_MEAN: [100.0, 120.0, 140.0]"],
)
def test_the_config_s_pixel_statistics_count(more: str, weights: Path, tmp_path: Path):
    config = write_config(tmp_path / "std.yaml", more=more)
    frame = coarse_frame(120, 200)
    rows = detectron2_detector_of(config, weights).detect([frame])[0]
    np.testing.assert_array_equal(rows, own_rows(cfg_of(config), weights, frame))


def test_a_config_of_rgb_gets_rgb(weights: Path, tmp_path: Path):
    config = write_config(tmp_path / "rgb.yaml")
    config.write_text(config.read_text().replace("INPUT: {", "INPUT: {FORMAT: RGB, "))
    assert cfg_of(config).INPUT.FORMAT == "RGB"
    frame = coarse_frame(120, 200)
    rows = detectron2_detector_of(config, weights).detect([frame])[0]
    np.testing.assert_array_equal(rows, own_rows(cfg_of(config), weights, frame))


def test_sizes_may_differ_within_a_batch(detector: PersonDetector):
    frames = [coarse_frame(120, 200, 1), coarse_frame(90, 64, 2), coarse_frame(120, 200, 3)]
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
    assert detectron2_detector_of(moved, weights, min_score=0.2).settings["config_sha256"] == digest
    other = write_config(tmp_path / "other.yaml", more="  PIXEL_STD: [2.0, 2.0, 2.0]")
    assert detectron2_detector_of(other, weights).settings["config_sha256"] != digest


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
