"""`tools/convert_checkpoint.py`: every layout there and back, what is told, what is refused."""

import json
import os
import runpy
from pathlib import Path

import pytest
import torch

from x3d_det.checkpoints import LAYOUTS, export_state, load_pretrained, read_checkpoint
from x3d_det.io.weights import load_model, save_model
from x3d_det.models import X3D, X3DClassifier, X3DSpec, build_detector

SPEC = X3DSpec(num_frames=2, crop_size=32, sampling_stride=1, width_factor=1 / 3, depth_factor=0.5)
NAMES = ["abseiling", "air drumming", "zumba"]


@pytest.fixture(scope="module")
def convert():
    """The command's `main`, as often as wanted without starting Python."""
    path = Path(__file__).resolve().parents[2] / "tools" / "convert_checkpoint.py"
    main = runpy.run_path(str(path))["main"]
    return lambda *options: main([str(option) for option in options])


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return X3DClassifier(X3D(SPEC, shortcut_norm_when_same_width=False), num_classes=3)


@pytest.fixture
def published(classifier, tmp_path):
    """A file as MMAction2 publishes it."""
    path = tmp_path / "x3d_facebook.pth"
    state = export_state(classifier.state_dict(), layout="mmaction2").state
    torch.save({"state_dict": state, "meta": {}}, path)
    return path


def test_a_published_file_becomes_ours_with_all_that_is_known(
    convert, published, classifier, tmp_path, capsys
):
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    target = tmp_path / "x3d.safetensors"
    assert convert(published, target, "--classes", tmp_path / "names.txt") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(
        f"read {published}: mmaction2 classifier, 3 classes, an X3D of widths 8"
    )
    count = len(read_checkpoint(published).state)
    assert f"matched: {count} tensors" in told
    assert "not matched: 0" in told
    assert any(line.startswith("normalisation: mean 0.45, 0.45, 0.45, std 0.225") for line in told)
    assert told[-1] == f"wrote {target} as x3d_det"
    _, metadata = load_model(target)
    assert metadata["format"] == "x3d_det classifier"
    assert json.loads(metadata["classes"]) == NAMES
    assert json.loads(metadata["normalisation"])["mean"] == pytest.approx([0.45] * 3)
    assert json.loads(metadata["network"])["stage_channels"] == [8, 16, 32, 64]
    assert json.loads(metadata["spec"])["depth_factor"] == pytest.approx(0.5, rel=0.21)
    source = json.loads(metadata["source"])
    assert source["layout"] == "mmaction2"
    assert source["sha256"] == read_checkpoint(published).sha256
    assert read_checkpoint(target).class_names == tuple(NAMES)
    other = X3DClassifier(classifier.backbone, num_classes=3)
    assert load_pretrained(other, target, strict=True, class_names=NAMES).complete


def test_every_layout_there_and_back_is_bit_equal(convert, published, tmp_path, capsys):
    before = tmp_path / "a.safetensors"
    assert convert(published, before) == 0
    for layout in LAYOUTS[1:]:
        middle, after = tmp_path / f"{layout}.pyth", tmp_path / f"{layout}.safetensors"
        assert convert(before, middle, "--layout", layout) == 0
        assert convert(middle, after) == 0
        found, expected = load_model(after)[0], load_model(before)[0]
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items()), layout
    assert "note: pytorchvideo has no BN on res2's first shortcut" in capsys.readouterr().out


def test_tensors_without_a_place_stop_it_unless_told(convert, published, tmp_path, capsys):
    content = torch.load(published)
    content["state_dict"]["cls_head.fc1.bias"] = torch.ones(2048)
    torch.save(content, published)
    target = tmp_path / "x3d.safetensors"
    assert convert(published, target) == 1
    assert "1 tensors that no X3D of ours has (cls_head.fc1.bias)" in capsys.readouterr().err
    assert not target.exists()
    assert convert(published, target, "--drop-unknown") == 0
    assert "not matched: 1 (cls_head.fc1.bias)" in capsys.readouterr().out


def test_wrong_use_is_told_before_any_work(convert, published, tmp_path, capsys):
    cases = [
        ((tmp_path / "x.pyth",), 2, "its suffix is .pyth; it must be .safetensors"),
        ((tmp_path / "x", "--layout", "co3d"), 2, "its suffix is missing; it must be .pyth or"),
        ((tmp_path / "x.pth", "--layout", "mmaction"), 1, "did you mean mmaction2"),
        (
            (tmp_path / "x.pth", "--layout", "mmaction2", "--classes", published),
            2,
            "--classes has no effect",
        ),
        ((tmp_path / "no" / "x.safetensors",), 1, "there is no folder"),
        ((tmp_path / "x.safetensors", "--from", "co3d"), 1, "is not of layout co3d"),
    ]
    for options, code, text in cases:
        assert convert(published, *options) == code, options
        assert text in capsys.readouterr().err
    assert convert(published, published, "--layout", "mmaction2", "--overwrite") == 1
    assert "OUT is IN" in capsys.readouterr().err
    (tmp_path / "x.safetensors").touch()
    assert convert(published, tmp_path / "x.safetensors") == 1
    assert "add --overwrite" in capsys.readouterr().err
    assert convert(published, tmp_path / "x.safetensors", "--overwrite") == 0


def test_names_must_be_as_many_as_the_outputs(convert, published, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("run\nsit\n")
    target = tmp_path / "x.safetensors"
    assert convert(published, target, "--classes", tmp_path / "names.txt") == 1
    assert "2 class names for checkpoint" in capsys.readouterr().err
    assert not target.exists()


def test_a_detector_stays_ours(convert, tmp_path, capsys):
    path = tmp_path / "detector.safetensors"
    metadata = {"format": "x3d_det action detector", "labels": "multi"}
    save_model(path, build_detector(SPEC, num_actions=4).state_dict(), metadata)
    assert convert(path, tmp_path / "x.pyth", "--layout", "pyslowfast") == 1
    assert "pyslowfast has classifiers alone" in capsys.readouterr().err
    assert convert(path, tmp_path / "copy.safetensors") == 0
    kept = load_model(tmp_path / "copy.safetensors")[1]
    assert (kept["format"], kept["labels"]) == ("x3d_det action detector", "multi")


class Canary:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_file_that_would_run_code_is_refused(convert, tmp_path, capsys):
    path = tmp_path / "evil.pyth"
    torch.save({"model_state": {"a": Canary(tmp_path / "canary")}}, path)
    assert convert(path, tmp_path / "x.safetensors") == 1
    assert "nothing of it was run" in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["evil.pyth"]
