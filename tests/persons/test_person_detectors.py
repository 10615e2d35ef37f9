"""Person detectors: options, frames, files of weights, torchvision's back end against itself."""

import functools
import hashlib
import http.server
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model, get_model_weights

from x3d_det.errors import CheckpointError, ConfigError, DataError, X3DDetError
from x3d_det.io.download import DownloadError
from x3d_det.io.published import PublishedFile
from x3d_det.persons import detector as detector_module
from x3d_det.persons import detectron2_models, torchvision_detector
from x3d_det.persons.batches import check_frames, person_rows, same_size_groups, torch_device
from x3d_det.persons.detector import PersonDetector, PersonDetectorOptions, make_person_detector
from x3d_det.persons.torchvision_detector import TorchvisionPersonDetector
from x3d_det.persons.weights import fetched_weights, local_weights, read_weights

SMALLEST = "fasterrcnn_mobilenet_v3_large_320_fpn"
SIDES = {"short_side": 96, "max_side": 160}
State = dict[str, torch.Tensor]


def _random_state(name: str = SMALLEST, *, num_classes: int = 91, seed: int = 0) -> State:
    """Weights under which persons (class 1) and class 2 are found, everywhere."""
    torch.manual_seed(seed)
    model = get_model(name, weights=None, weights_backbone=None, num_classes=num_classes)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # takes this one batch's statistics, else the features die out
    with torch.no_grad():
        pictures = torch.stack([_picture(_frame(96, 160, seed)) for seed in (1, 2)])
        features = model.backbone((pictures - 0.5) / 0.25)
        for block in model.backbone.fpn.layer_blocks:
            block[0].weight /= features["0"].std()
        torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.1)
        model.roi_heads.box_predictor.cls_score.bias[1:3] += 4.0
    return model.state_dict()


def _frame(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    return coarse.astype(np.uint8).repeat(8, 0).repeat(8, 1)[:height, :width].copy()


def _picture(frame: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frame).permute(2, 0, 1).float() / 255


@pytest.fixture(scope="module")
def state() -> State:
    return _random_state()


@pytest.fixture(scope="module")
def weights(state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def detector(weights: Path) -> PersonDetector:
    return _torchvision(weights)


def _torchvision(weights: Path, **changes: object) -> PersonDetector:
    options = {"backend": "torchvision", "model": SMALLEST, "weights": weights, "device": "cpu"}
    return make_person_detector(PersonDetectorOptions(**{**options, **SIDES, **changes}))  # type: ignore[arg-type]


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


# torchvision


def _own_call(state: State, frame: np.ndarray, *, name: str = SMALLEST) -> dict[str, np.ndarray]:
    model = get_model(
        name,
        weights=None,
        weights_backbone=None,
        num_classes=len(state["roi_heads.box_predictor.cls_score.bias"]),
        min_size=SIDES["short_side"],
        max_size=SIDES["max_side"],
    )
    model.load_state_dict(state)
    with torch.no_grad():
        output = model.eval()([_picture(frame)])[0]
    return {key: value.numpy() for key, value in output.items()}


def test_boxes_are_those_of_torchvision_s_own_call(state: State, detector: PersonDetector):
    frame = _frame(120, 200)
    own = _own_call(state, frame)
    is_person = own["labels"] == 1
    assert 5 < is_person.sum() < len(is_person), "the random detector must find both classes"
    rows = detector.detect([frame])[0]
    np.testing.assert_array_equal(rows[:, :4], own["boxes"][is_person])
    np.testing.assert_array_equal(rows[:, 4], own["scores"][is_person])
    assert (np.diff(rows[:, 4]) <= 0).all()


def test_another_class_can_be_asked_for(state: State, weights: Path):
    frame = _frame(120, 200)
    own = _own_call(state, frame)
    rows = _torchvision(weights, person_class=2).detect([frame])[0]
    np.testing.assert_array_equal(rows[:, :4], own["boxes"][own["labels"] == 2])


def test_min_score_keeps_the_boxes_above_it(detector: PersonDetector, weights: Path):
    frame = _frame(120, 200)
    rows = detector.detect([frame])[0]
    threshold = float(np.median(rows[:, 4]))
    strict = _torchvision(weights, min_score=threshold).detect([frame])[0]
    assert 0 < len(strict) < len(rows)
    np.testing.assert_array_equal(strict, rows[rows[:, 4] > threshold])
    nobody = _torchvision(weights, min_score=0.999999).detect([frame])[0]
    assert nobody.shape == (0, 5)
    assert nobody.dtype == np.float32


def test_sizes_may_differ_within_a_batch(detector: PersonDetector):
    frames = [_frame(120, 200, 1), _frame(90, 64, 2), _frame(120, 200, 3), _frame(48, 96, 4)]
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
    detector = _torchvision(weights, min_score=0.0)
    colour = np.array([200, 120, 40], np.uint8)
    small, large = detector.detect([np.full((96, 160, 3), colour), np.full((600, 1000, 3), colour)])
    assert len(small) > 3
    np.testing.assert_allclose(large[:, :4], 6.25 * small[:, :4], atol=0.01)
    np.testing.assert_allclose(large[:, 4], small[:, 4], atol=1e-4)


def test_a_read_only_frame_is_taken_without_a_warning(
    detector: PersonDetector, recwarn: pytest.WarningsRecorder
):
    frame = _frame(64, 96)
    frame.flags.writeable = False
    mirrored = frame[:, ::-1]  # of negative strides
    assert len(detector.detect([frame, mirrored])) == 2
    assert [str(warning.message) for warning in recwarn if "writ" in str(warning.message)] == []


def test_settings_hold_what_changes_the_boxes(detector: PersonDetector, weights: Path):
    import torchvision

    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert detector.settings == {
        "backend": "torchvision",
        "model": SMALLEST,
        "weights_sha256": digest,
        "person_class": 1,
        "short_side": 96,
        "max_side": 160,
        "min_score": 0.05,
        "torchvision": torchvision.__version__,
    }
    own = _torchvision(weights, short_side=None, max_side=None).settings
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
    frame = _frame(120, 200)
    rows = _torchvision(path).detect([frame])[0]
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
    rows = _torchvision(tmp_path / "two.pth").detect([_frame(64, 96)])[0]
    own = _own_call(state, _frame(64, 96))
    np.testing.assert_array_equal(rows[:, :4], own["boxes"][own["labels"] == 1])
    with pytest.raises(ConfigError, match=r"person_class is 3; .*two.pth know the classes 1 to 2"):
        _torchvision(tmp_path / "two.pth", person_class=3)
    with pytest.raises(ConfigError, match=r"person_class is 0; .*and 0 for the background"):
        _torchvision(tmp_path / "two.pth", person_class=0)


def test_published_resnet50_weights_get_the_epsilon_they_were_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The oracle is torchvision's own call with `weights=`; it reads the file put in its cache."""
    name = "fasterrcnn_resnet50_fpn"
    state = _random_state(name, num_classes=91)
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
    frame = _frame(64, 96)
    with torch.no_grad():
        own = oracle([_picture(frame)])[0]
    expected = own["boxes"][own["labels"] == 1].numpy()

    def boxes(sha256: str) -> np.ndarray:
        claimed = PublishedFile(url=published.url, path=published.path, sha256=sha256)
        monkeypatch.setattr(
            torchvision_detector, "published_torchvision_weights", lambda _: claimed
        )
        found = _torchvision(published.path, model=name, short_side=64, max_side=96)
        return found.detect([frame])[0][:, :4]

    found = boxes(hashlib.sha256(published.path.read_bytes()).hexdigest()[:8])
    # torchvision freezes its batch norms there, which rounds otherwise
    np.testing.assert_allclose(found, expected, atol=1e-2)
    others = boxes("00000000")  # weights of a user's own keep torchvision's usual epsilon
    assert others.shape != expected.shape or np.abs(others - expected).max() > 0.1


# Files of weights that must not be used


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
        _torchvision(path)


def test_weights_that_fill_the_model_in_part_are_refused(state: State, tmp_path: Path):
    spoilt = {**state, "extra": torch.zeros(2), "roi_heads.box_head.fc7.bias": torch.zeros(7)}
    torch.save(spoilt, tmp_path / "shape.pth")
    text = r"1 of another shape \(roi_heads.box_head.fc7.bias: file \[7\], model \[1024\]\)"
    with pytest.raises(CheckpointError, match=f"shape.pth do not fit model {SMALLEST}: .*{text}"):
        _torchvision(tmp_path / "shape.pth")
    spoilt["roi_heads.box_head.fc7.bias"] = state["roi_heads.box_head.fc7.bias"]
    del spoilt["backbone.body.0.0.weight"]
    torch.save(spoilt, tmp_path / "part.pth")
    text = r"1 missing in the file \(backbone.body.0.0.weight\); 1 unknown to the model \(extra\)"
    with pytest.raises(CheckpointError, match=f"part.pth do not fit model {SMALLEST}: .*{text}"):
        _torchvision(tmp_path / "part.pth")


def test_weights_of_another_model_are_refused(weights: Path):
    with pytest.raises(
        CheckpointError, match=f"weights {weights} do not fit model fasterrcnn_resnet50"
    ):
        _torchvision(weights, model="fasterrcnn_resnet50_fpn_v2")


class _Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("new_zip", [True, False])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(new_zip: bool, tmp_path: Path):
    path, canary = tmp_path / "evil.pth", tmp_path / "canary"
    torch.save({"a": _Canary(canary)}, path, _use_new_zipfile_serialization=new_zip)
    with pytest.raises(CheckpointError, match=r"posix.mkdir.*refused and nothing of it was run"):
        _torchvision(path)
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
        _torchvision(path)


def test_files_of_the_wrong_kind_are_named(tmp_path: Path):
    with pytest.raises(
        CheckpointError, match=r"none.pth: does not exist; name a file with --weights"
    ):
        _torchvision(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="is a folder"):
        _torchvision(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"1")
    with pytest.raises(CheckpointError, match=r"ends in '.onnx'; known are .pth, .pt, .pkl"):
        _torchvision(tmp_path / "model.onnx")
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(CheckpointError, match=r"text.pth starts with b'weights'"):
        _torchvision(tmp_path / "text.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"\x08")
    with pytest.raises(CheckpointError, match=r"bad.safetensors: damaged, or no safetensors"):
        _torchvision(tmp_path / "bad.safetensors")
    (tmp_path / "text.pkl").write_text("weights")
    with pytest.raises(DataError, match=r"text.pkl"):
        _torchvision(tmp_path / "text.pkl")
    torch.save({"model": [1, 2]}, tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="hold no names with tensors"):
        _torchvision(tmp_path / "list.pth")


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
        _torchvision(weights, weights_sha256="0123456789abcdef")


# Published weights, from a server on loopback


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A web server: its URL, its folder, and the paths it was asked for."""
    folder = tmp_path / "web"
    folder.mkdir()
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}", folder, asked
        web.shutdown()
        thread.join()


def test_published_weights_are_fetched_once_and_checked_ever_after(
    server: tuple[str, Path, list[str]], tmp_path: Path
):
    url, folder, asked = server
    (folder / "w.pth").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    published = PublishedFile(
        url=f"{url}/w.pth", path=tmp_path / "cache" / "w.pth", sha256=digest[:8]
    )
    file = fetched_weights(published)
    assert (file.path, file.sha256) == (published.path, digest)
    num_asked = len(asked)
    assert num_asked >= 1
    assert fetched_weights(published) == file
    assert len(asked) == num_asked, "a file that is there must not be fetched again"
    published.path.write_bytes(b"weightz")
    with pytest.raises(
        DownloadError, match=rf"{digest[:8]}.*put {published.url} at {published.path} by hand"
    ):
        fetched_weights(published)
    assert published.path.read_bytes() == b"weightz", "a user's file must not be removed"


def test_without_a_published_hash_the_first_one_counts(
    server: tuple[str, Path, list[str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    url, folder, _ = server
    (folder / "w.pkl").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    path = tmp_path / "w.pkl"
    published = PublishedFile(url=f"{url}/w.pkl", path=path, sha256=None)
    with caplog.at_level(logging.WARNING, "x3d_det"):
        fetched_weights(published)
    record = tmp_path / "w.pkl.sha256"
    assert record.read_text() == f"{digest}  w.pkl\n"
    assert f"the one found, {digest}, was recorded in {record}" in caplog.text
    caplog.clear()
    assert fetched_weights(published).sha256 == digest
    assert caplog.text == ""
    path.unlink()
    (folder / "w.pkl").write_bytes(b"others")
    with pytest.raises(DownloadError, match=f"{digest}.*What it must be stands in {record}"):
        fetched_weights(published)
    assert not path.exists()
    record.write_text("no hash")
    with pytest.raises(DownloadError, match=f"{record}: holds no SHA-256; delete it"):
        fetched_weights(published)
    record.unlink()
    path.write_bytes(b"weights")
    assert fetched_weights(published, sha256=digest[:10]).sha256 == digest
    with pytest.raises(CheckpointError, match="not 0123456789"):
        fetched_weights(published, sha256="0123456789")


def test_weights_that_cannot_be_had_end_in_one_message(
    server: tuple[str, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    url, _, _ = server
    path = tmp_path / "cache" / "gone.pth"
    published = PublishedFile(url=f"{url}/gone.pth", path=path, sha256="0" * 8)
    monkeypatch.setattr(torchvision_detector, "published_torchvision_weights", lambda _: published)
    with pytest.raises(DownloadError) as caught:
        TorchvisionPersonDetector(PersonDetectorOptions(model=SMALLEST))
    text = str(caught.value)
    assert "404" in text
    assert f"put {url}/gone.pth at {path} by hand, or name a copy of it with --weights" in text
    assert "\n" not in text
    assert not path.exists()


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
        (True, "auto", SMALLEST, _MadeByTorchvision),
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
