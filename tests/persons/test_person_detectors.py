"""Person detectors: options, boxes of frames, and which back end is taken."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from detector_files import DETECTOR

from x3d_det.errors import ConfigError, X3DDetError
from x3d_det.persons import detector as detector_module
from x3d_det.persons import detectron2_models
from x3d_det.persons.batches import person_rows, same_size_groups, torch_device
from x3d_det.persons.detector import PersonDetectorOptions, make_person_detector

# Options


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"backend": "detectron"}, r"backend is 'detectron'; did you mean detectron2\?; allowed"),
        ({"device": "gpu"}, "device is 'gpu'; allowed are auto, cpu, cuda and cuda:N"),
        ({"min_score": 1.0}, r"min_score is 1.0; it must be in \[0, 1\)"),
        ({"min_score": float("nan")}, "min_score is nan"),
        ({"person_class": -1}, "person_class is -1; it must be 0 or more"),
        ({"short_side": 0}, "short_side is 0; it must be 1 pixel or more"),
        ({"max_side": -5}, "max_side is -5"),
        ({"weights_sha256": "abc"}, "weights_sha256 is 'abc'; it must be 8 to 64 hexadecimal"),
    ],
)
def test_options_out_of_range_are_refused_by_value(changes: dict[str, object], text: str):
    with pytest.raises(ConfigError, match=text):
        PersonDetectorOptions(**changes)  # type: ignore[arg-type]


def test_sides_are_the_model_s_own_unless_asked_for():
    assert PersonDetectorOptions().sides(800, 1333) == (800, 1333)
    assert PersonDetectorOptions(short_side=256).sides(800, 1333) == (256, 1333)
    # 1600 is twice 800, so the longest side doubles too
    assert PersonDetectorOptions(short_side=1600).sides(800, 1333) == (1600, 2666)
    assert PersonDetectorOptions(short_side=500, max_side=600).sides(800, 1333) == (500, 600)
    with pytest.raises(ConfigError, match="max_side is 600, less than the short side of 800"):
        PersonDetectorOptions(max_side=600).sides(800, 1333)


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert torch_device("auto") == torch.device("cpu")
    with pytest.raises(X3DDetError, match="device is cuda, but torch finds 0 GPUs"):
        torch_device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert torch_device("auto") == torch.device("cuda")
    assert torch_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(X3DDetError, match="device is cuda:2, but torch finds 2 GPUs"):
        torch_device("cuda:2")


# Frames and boxes


def test_rows_are_clipped_sorted_and_never_without_area():
    boxes = np.array(
        [
            [-5.0, 2.0, 12.0, 30.0],  # out at the left, the right and below
            [3.0, 3.0, 3.0, 9.0],  # no width
            [11.0, 0.0, 15.0, 5.0],  # right of the frame
            [1.0, 1.0, 4.0, 4.0],
        ]
    )
    rows = person_rows(boxes, np.array([0.25, 0.9, 0.8, 0.5]), height_px=20, width_px=10)
    assert rows.dtype == np.float32
    assert rows.tolist() == [[1, 1, 4, 4, 0.5], [0, 2, 10, 20, 0.25]]
    assert person_rows(np.zeros((0, 4)), np.zeros(0), height_px=20, width_px=10).shape == (0, 5)


def test_frames_of_one_size_go_together():
    sizes = [(4, 6), (6, 4), (4, 6), (2, 2), (6, 4)]
    frames = [np.zeros((*size, 3), np.uint8) for size in sizes]
    assert same_size_groups(frames) == [[0, 2], [1, 4], [3]]
    assert same_size_groups([]) == []


# Which back end


class _Made:
    def __init__(self, options: PersonDetectorOptions) -> None:
        self.options = options


class _MadeByTorchvision(_Made): ...


class _MadeByDetectron2(_Made): ...


@pytest.mark.parametrize(
    ("installed", "backend", "model", "expected"),
    [
        (True, "auto", None, _MadeByDetectron2),
        (False, "auto", None, _MadeByTorchvision),
        (True, "torchvision", None, _MadeByTorchvision),
        (False, "detectron2", None, _MadeByDetectron2),
        (True, "auto", DETECTOR, _MadeByTorchvision),
        (False, "auto", "X101-FPN-AVA", _MadeByDetectron2),
        (False, "auto", "my/own.yaml", _MadeByDetectron2),
    ],
)
def test_auto_takes_detectron2_where_it_is_installed_or_named(
    installed: bool,
    backend: str,
    model: str | None,
    expected: type[_Made],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(detector_module, "has_detectron2", lambda: installed)
    monkeypatch.setattr(detector_module, "TorchvisionPersonDetector", _MadeByTorchvision)
    monkeypatch.setattr(detector_module, "Detectron2PersonDetector", _MadeByDetectron2)
    with caplog.at_level(logging.INFO, "x3d_det"):
        made = make_person_detector(PersonDetectorOptions(backend=backend, model=model))
    assert type(made) is expected
    fell_back = "Detectron2 is not installed; torchvision finds the persons" in caplog.text
    assert fell_back == (not installed and backend == "auto" and model is None)


def test_a_missing_detectron2_names_the_recipe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(detectron2_models, "has_detectron2", lambda: False)
    with pytest.raises(X3DDetError) as caught:
        make_person_detector(PersonDetectorOptions(backend="detectron2"))
    text = str(caught.value)
    assert "Detectron2 is not installed" in text
    assert "torch and torchvision first" in text
    assert "--no-build-isolation" in text
    assert "PYTHONPATH" in text
    assert "backend torchvision" in text


def test_a_detectron2_that_does_not_import_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import sys

    package = tmp_path / "detectron2"
    package.mkdir()
    (package / "__init__.py").write_text("import fvcore_that_is_not_there\n")
    for name in [name for name in sys.modules if name.split(".")[0] == "detectron2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(X3DDetError, match="does not import: No module named 'fvcore_that_is_not"):
        make_person_detector(PersonDetectorOptions())


def test_a_folder_named_detectron2_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import sys

    (tmp_path / "detectron2").mkdir()  # a clone, as it lies in the folder one works in
    for name in [name for name in sys.modules if name.split(".")[0] == "detectron2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert not detectron2_models.has_detectron2()
