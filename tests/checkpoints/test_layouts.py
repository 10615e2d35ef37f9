"""Each layout from a state dict written down from its project's modules, and back."""

import dataclasses
import json

import pytest
import torch
from foreign_states import CLASSES, NAMES, foreign_logits, foreign_state

from x3d_det.checkpoints import (
    LAYOUTS,
    NetworkShape,
    convert_state,
    export_state,
    load_pretrained,
    read_checkpoint,
    recognise_layout,
)
from x3d_det.errors import CheckpointError
from x3d_det.io.checkpoint import checkpoint_path, save_checkpoint
from x3d_det.io.weights import save_model
from x3d_det.models import X3D, X3D_SPECS, X3DClassifier, X3DSpec

FOREIGN = [name for name in LAYOUTS if name != "x3d_det"]


def assert_close_to_scale(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("layout", FOREIGN)
def test_a_foreign_state_gives_the_same_logits(layout, classifier, logits):
    """The oracle runs their names and tensors in plain functions; every tensor is used."""
    state = foreign_state(layout)
    assert recognise_layout(state) == layout
    converted = convert_state(state)
    assert (converted.layout, converted.unused) == (layout, ())
    model = classifier(CLASSES)
    model.load_state_dict(converted.state)
    clips_BCTHW = torch.randn(2, 3, 4, 64, 64)
    assert_close_to_scale(logits(model, clips_BCTHW), foreign_logits(layout, state, clips_BCTHW))


@pytest.mark.parametrize("layout", FOREIGN)
def test_exporting_gives_back_names_shapes_and_values(layout):
    state = foreign_state(layout)
    exported = export_state(convert_state(state).state, layout=layout).state
    if layout == "co3d":  # "flattened", as co3d itself saves it
        numbered = {".".join(p for p in n.split(".") if not p.isdigit()): n for n in state}
        state = {flat: state[name] for flat, name in numbered.items()}
    assert exported.keys() == state.keys()
    for name, tensor in exported.items():
        if ".split_bn." in name:  # of one split; theirs had two
            assert torch.equal(tensor, exported[name.replace(".split_bn.", ".bn.")])
        else:
            assert torch.equal(tensor, state[name]), name


def test_a_norm_on_the_shortcut_is_folded_where_a_layout_has_none(classifier, logits):
    """PySlowFast's network with random statistics there, as PyTorchVideo's: equal logits."""
    state = foreign_state("pyslowfast")
    exported = export_state(convert_state(state).state, layout="pytorchvideo")
    assert "folded" in exported.notes[0]
    assert not [
        name for name in exported.state if name.startswith("blocks.1.res_blocks.0.branch1_n")
    ]
    clips_BCTHW = torch.randn(2, 3, 4, 64, 64)
    expected = foreign_logits("pyslowfast", state, clips_BCTHW)
    found = foreign_logits("pytorchvideo", exported.state, clips_BCTHW)
    assert_close_to_scale(found, expected)
    back = convert_state(exported.state)
    assert "begins as an identity" in back.notes[0]
    model = classifier(CLASSES)
    model.load_state_dict(back.state)
    assert_close_to_scale(logits(model, clips_BCTHW), expected)


def test_our_model_without_that_norm_takes_a_file_with_it(classifier, logits, saved):
    state = foreign_state("pyslowfast")
    model = classifier(CLASSES, shortcut_norm_when_same_width=False)
    report = load_pretrained(model, saved({"model_state": state}), strict=True)
    assert report.complete
    clips_BCTHW = torch.randn(1, 3, 4, 64, 64)
    expected = foreign_logits("pyslowfast", state, clips_BCTHW)
    assert_close_to_scale(logits(model, clips_BCTHW), expected)


def test_statistics_of_splits_are_joined_where_the_whole_was_never_set():
    """Two splits: means 1 and 3, variances 1 and 1: mean 2, variance 1 + (1 + 1) / 2."""
    state = foreign_state("x3d_multigrid")
    state["bn1.bn.running_mean"].zero_()
    state["bn1.bn.running_var"].fill_(1)
    state["bn1.split_bn.running_mean"] = torch.tensor([1.0] * 8 + [3.0] * 8)
    state["bn1.split_bn.running_var"] = torch.ones(16)
    converted = convert_state(state)
    assert torch.equal(converted.state["backbone.stem.norm.running_mean"], torch.full((8,), 2.0))
    assert torch.equal(converted.state["backbone.stem.norm.running_var"], torch.full((8,), 2.0))
    assert "1 norms had statistics of the splits alone" in converted.notes[1]


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model."])
def test_a_prefix_of_all_names_is_no_matter(prefix):
    state = {prefix + name: tensor for name, tensor in foreign_state("pytorchvideo").items()}
    converted = convert_state(state)
    assert (converted.layout, converted.unused) == ("pytorchvideo", ())


def test_half_precision_becomes_float32_and_missing_counts_are_filled_in():
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in foreign_state("pyslowfast").items()
        if not name.endswith("num_batches_tracked")
    }
    converted = convert_state(state).state
    assert converted["head.lin5.weight"].dtype == torch.float32
    assert converted["head.norm5.num_batches_tracked"] == 0
    assert len(converted) == len(foreign_state("pyslowfast"))


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


@pytest.mark.parametrize(
    "name",
    [
        "cls_head.fc1.bias",  # MMAction2's fc1_bias=True
        "backbone.layer2.1.se_module.fc1.weight",  # its se_style="all"
        "backbone.layer2.0.conv1.conv.bias",
        "backbone.layer2.1.downsample.conv.weight",
        "backbone.layer5.0.conv1.conv.weight",
    ],
)
def test_what_would_change_the_output_is_never_taken_for_ours(name):
    state = foreign_state("mmaction2")
    assert convert_state(state | {name: torch.ones(8)}).unused == (name,)


@pytest.mark.parametrize(
    "name", ["layer3.2.fc2.bias", "layer2.0.downsample.1.weight", "bn1.bn.running_var"]
)
def test_each_tensor_of_the_backbone_must_be_there(name):
    state = foreign_state("x3d_multigrid")
    del state[name]
    with pytest.raises(CheckpointError, match=r"is incomplete: it has no backbone\.st"):
        convert_state(state)


def test_what_is_no_x3d_is_refused_with_its_names():
    with pytest.raises(CheckpointError, match=r"no known layout .* conv1\.weight, fc\.weight\."):
        recognise_layout({"conv1.weight": 0, "fc.weight": 0})
    with pytest.raises(CheckpointError, match=r"0 tensors are named -\."):
        recognise_layout({})
    both = foreign_state("pyslowfast") | foreign_state("mmaction2")
    with pytest.raises(CheckpointError, match="two networks: pyslowfast and mmaction2"):
        convert_state(both)
    assert convert_state(both, layout="mmaction2").layout == "mmaction2"


def test_a_layout_that_is_said_must_be_the_files():
    state = foreign_state("pyslowfast")
    with pytest.raises(CheckpointError, match=r"not of layout mmaction2.* looks like pyslowfast"):
        convert_state(state, layout="mmaction2")
    with pytest.raises(CheckpointError, match="no layout 'slowfast'; did you mean pyslowfast"):
        convert_state(state, layout="slowfast")
    with pytest.raises(CheckpointError, match=r"extra\.weight is no tensor of an X3D classifier"):
        export_state({"extra.weight": torch.ones(1)}, layout="pyslowfast")


def test_missing_blocks_and_weights_that_are_not_finite_are_named():
    state = foreign_state("mmaction2")
    del state["backbone.layer3.1.conv3.conv.weight"]
    with pytest.raises(CheckpointError, match=r"it has no backbone\.stages\.res4\.1\.conv_c"):
        convert_state(state)
    state = foreign_state("mmaction2")
    state["cls_head.fc1.weight"][3, 5] = float("nan")
    with pytest.raises(CheckpointError, match=r"head\.lin5\.weight has values that are NaN"):
        convert_state(state)
    state = foreign_state("mmaction2")
    state["backbone.layer3.1.conv3.conv.weight"] = torch.ones(40, 72, 1, 1, 1)
    with pytest.raises(CheckpointError, match=r"the blocks of res4 have \[32, 40\] channels"):
        convert_state(state)


@pytest.mark.parametrize(
    ("name", "size", "text"),
    [
        ("layer1.0.downsample.1.bias", (9,), r"res2\.0\.shortcut_norm\.bias has shape \(9,\)"),
        ("layer4.2.bn2.bn.running_var", (), r"res5\.2\.norm_b\.running_var has shape \(\)"),
        (
            "bn1.weight",
            (8, 1),
            r"stem\.norm\.weight has shape \(8, 1\) and its convolution's weight \(8, 1, 5",
        ),
        ("bn5.bias", (0,), r"head\.norm5\.bias has shape \(0,\) and its"),
        ("layer1.0.conv1.weight", (18, 8), r"res2\.0\.conv_a\.weight has shape \(18, 8\)"),
        ("conv1_s.weight", (), r"stem\.conv_xy\.weight has shape \(\)"),
        (
            "layer1.0.downsample.0.weight",
            (),
            r"shortcut_norm\.\w+ has shape \(8,\) and .* weight \(\);",
        ),
    ],
)
def test_tensors_that_fit_nowhere_are_named(name, size, text):
    state = foreign_state("x3d_multigrid")
    assert name in state
    state[name] = torch.ones(size)
    with pytest.raises(CheckpointError, match=text):
        convert_state(state)


def test_shapes_name_the_members_of_the_family():
    shape = NetworkShape.of_spec(X3D_SPECS["s"])
    assert shape.members == ("xs", "s", "m")
    assert shape.spec == X3D_SPECS["m"]
    assert shape.text() == (
        "X3D-XS, S, M of widths 24, 24-48-96-192 (inside the blocks 54-108-216-432) and "
        "3-5-11-7 blocks"
    )
    assert NetworkShape.of_spec(X3D_SPECS["xl"]).members == ("xl",)


@pytest.mark.parametrize(
    "factors",
    [
        {"width_factor": 1.45, "depth_factor": 5.0, "width_divisor": 1},  # X3D-XL's other widths
        {"width_factor": 1 / 3, "depth_factor": 1.0},
        {"width_factor": 2.0, "depth_factor": 3.0, "bottleneck_factor": 1.5},
        {"width_factor": 1.1, "depth_factor": 1.7, "bottleneck_factor": 1.9, "width_divisor": 1},
    ],
    ids=["xl-other", "small", "wide", "odd"],
)
def test_factors_are_found_from_a_shape(factors):
    spec = X3DSpec(num_frames=16, crop_size=224, sampling_stride=5, **factors)
    shape = NetworkShape.of_spec(spec)
    assert shape.members == ()
    assert NetworkShape.of_spec(shape.spec) == shape
    assert NetworkShape.of_spec(dataclasses.replace(spec, width_factor=1.0)) != shape


def test_a_shape_without_factors_has_no_spec():
    assert NetworkShape(24, (24, 50, 96, 192), (54, 108, 216, 432), (3, 5, 11, 7)).spec is None


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


def test_every_table_is_tested():
    assert set(FOREIGN) == set(NAMES)
