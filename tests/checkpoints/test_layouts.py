"""Each layout's names and shapes from a state dict written down by hand, and back."""

import pytest
import torch
from foreign_states import CLASSES, NAMES, foreign_logits, foreign_state

from x3d_det.checkpoints import (
    LAYOUTS,
    convert_state,
    export_state,
    load_pretrained,
    recognise_layout,
)
from x3d_det.errors import CheckpointError

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


def test_every_table_is_tested():
    assert set(FOREIGN) == set(NAMES)
