"""io/weights.py: the exported model."""

import random

import pytest
import torch
from torch import nn

from x3d_det.errors import CheckpointError
from x3d_det.io.checkpoint import save_checkpoint
from x3d_det.io.weights import load_model, load_weights, save_model


def small_model(num_classes: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(4, num_classes))


def test_tensors_and_metadata_come_back(tmp_path):
    state = {**small_model().state_dict(), "bf16": torch.ones(2, dtype=torch.bfloat16)}
    state["shared"] = state["0.weight"]
    save_model(tmp_path / "m.safetensors", state, {"config": "{}", "name": "é"})
    found, metadata = load_model(tmp_path / "m.safetensors")
    assert metadata == {"config": "{}", "name": "é"}
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_metadata_must_be_text(tmp_path):
    for metadata in ({"a": 1}, {"sha256": "x"}):
        with pytest.raises(ValueError, match="give texts"):
            save_model(tmp_path / "m", {}, metadata)  # type: ignore[arg-type]


def test_every_flipped_bit_and_truncation_is_found(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, small_model().state_dict(), {"label_map": "1:stand"})
    data = path.read_bytes()
    for bit in random.Random(0).sample(range(8 * len(data)), 1000):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"m\.safetensors"):
            load_model(path)
    for percent in range(0, 100, 5):
        path.write_bytes(data[: len(data) * percent // 100])
        with pytest.raises(CheckpointError, match=r"m\.safetensors"):
            load_model(path)


def test_a_safetensors_file_without_our_hash_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(1)}, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="carries no sha256"):
        load_model(tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="does not exist"):
        load_model(tmp_path / "no.safetensors")


def test_a_training_checkpoint_gives_its_averaged_weights(tmp_path):
    model = {"w": torch.zeros(1)}
    state = {"step": 1, "model": model, "ema": None, "export_metadata": {"a": "b"}}
    save_checkpoint(tmp_path / "plain.pt", state)
    assert load_model(tmp_path / "plain.pt") == (model, {"a": "b"})
    state["ema"] = {"weights": {"w": torch.ones(1)}, "num_updates": 3}
    save_checkpoint(tmp_path / "ema.pt", state)
    assert load_model(tmp_path / "ema.pt")[0]["w"].item() == 1
    save_checkpoint(tmp_path / "none.pt", {"step": 1})
    with pytest.raises(CheckpointError, match="holds no model"):
        load_model(tmp_path / "none.pt")


def test_weights_that_fit_are_loaded_and_the_rest_is_reported():
    state = dict(small_model(3).state_dict())
    state["head.extra"] = torch.zeros(1)
    del state["1.bias"]
    model = small_model(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        load_weights(model, state, strict=True, source="x.pt")
    text = str(error.value)
    assert text.startswith("weights of x.pt do not fit the model: ")
    assert "1 missing in the file (1.bias)" in text
    assert "1 unknown to the model (head.extra)" in text
    assert "2.weight: file [3, 4], model [2, 4]" in text
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())

    state["0.weight"] = torch.full_like(state["0.weight"], 5.0)
    report = load_weights(model, state, strict=False)
    assert report.missing == ("1.bias",)
    assert report.unexpected == ("head.extra",)
    assert report.wrong_shape == {"2.weight": ((3, 4), (2, 4)), "2.bias": ((3,), (2,))}
    assert "0.weight" in report.matched
    assert not report.complete
    assert (model[0].weight == 5).all()


def test_nothing_matched_and_nan_are_errors():
    with pytest.raises(CheckpointError, match="0 weights matched"):
        load_weights(small_model(), {"x": torch.zeros(1)}, strict=False)
    model = small_model()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    assert load_weights(model, state).complete
    state["0.weight"][0] = float("nan")
    with pytest.raises(CheckpointError, match=r"0\.weight has values that are NaN"):
        load_weights(model, state)
