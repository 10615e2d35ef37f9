"""Files that would run code, unpack a bomb or are damaged: an error, and nothing else."""

import io
import os
import pickle
import struct
import zipfile
from collections import Counter

import pytest
import torch
from foreign_states import foreign_state

from x3d_det.checkpoints import load_pretrained, read_checkpoint
from x3d_det.errors import CheckpointError
from x3d_det.io.torch_legacy import LEGACY_MAGIC

LEGACY = {"_use_new_zipfile_serialization": False}


class Canary:
    """Makes a folder where it is unpickled by a loader that trusts."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
@pytest.mark.parametrize("place", ["state", "beside"])
def test_code_in_a_checkpoint_is_never_run(tmp_path, saved, classifier, options, place):
    canary = tmp_path / "canary"
    state = foreign_state("pyslowfast")
    if place == "state":
        content = {"model_state": state | {"head.evil": Canary(canary)}}
    else:
        content = {"model_state": state, "optimizer_state": [Canary(canary)]}
    path = saved(content, **options)
    for read in (read_checkpoint, lambda path: load_pretrained(classifier(), path)):
        with pytest.raises(CheckpointError, match=r"asks for (posix|nt)\.mkdir.* nothing of it"):
            read(path)
    assert not canary.exists()
    torch.load(path, weights_only=False)
    assert canary.exists()  # the canary sings where it is let


def test_a_bare_pickle_is_never_run(tmp_path):
    canary = tmp_path / "canary"
    for suffix in ("pyth", "safetensors"):
        path = tmp_path / f"weights.{suffix}"
        path.write_bytes(pickle.dumps({"model_state": Canary(canary)}))
        with pytest.raises(CheckpointError, match=r"must be a zip|no safetensors file"):
            read_checkpoint(path)
    assert not canary.exists()


def test_a_zip_bomb_is_refused(tmp_path, saved):
    path = saved({"model_state": {"s1.pathway0_stem.conv_xy.weight": torch.zeros(10_000_000)}})
    bomb = tmp_path / "bomb.pyth"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match=r"bomb\.pyth: entry .* is compressed"):
        read_checkpoint(bomb)


def test_a_stride_bomb_in_the_old_format_is_refused(saved):
    bomb = torch.zeros(1).expand(1 << 20, 1 << 20)
    with pytest.raises(CheckpointError, match=r"shape \(1048576, 1048576\) stands on .* 1 numbers"):
        read_checkpoint(saved({"model_state": {"w": bomb}}, **LEGACY))


def test_the_old_format_gives_what_the_new_one_gives(saved):
    state = foreign_state("pyslowfast")
    shared = state["head.projection.weight"]
    content = {
        "model_state": state,
        "optimizer_state": {"state": {0: {"momentum_buffer": shared.t()[3:]}}},
        "scheduler_state_dict": {"milestones": Counter([5, 9, 9]), "base_lrs": [0.1]},
    }
    old = read_checkpoint(saved(content, "old.pyth", **LEGACY))
    new = read_checkpoint(saved(content, "new.pyth"))
    assert old.path.read_bytes().startswith(LEGACY_MAGIC)
    assert old.state.keys() == new.state.keys()
    assert all(torch.equal(old.state[name], tensor) for name, tensor in new.state.items())
    assert old.sha256 != new.sha256


def legacy_file(num_items, view=None, kind="storage"):
    """A file of torch's old format whose one storage declares `num_items` and has 4."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            if isinstance(value, Storage):
                return (kind, torch.FloatStorage, "0", "cpu", num_items, view)
            return None

    class Storage:
        pass

    class Tensor:
        def __reduce__(self):
            function = torch._utils._rebuild_tensor_v2
            return function, (Storage(), 0, (4,), (1,), False, {})

    file = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(value, file, protocol=2)
    Pickler(file, protocol=2).dump({"s1.pathway0_stem.conv_xy.weight": Tensor()})
    pickle.dump(["0"], file, protocol=2)
    file.write(struct.pack("<q4f", 4, 1, 2, 3, 4))
    return file.getvalue()


def test_the_old_formats_storages_are_held_against_the_file(tmp_path):
    path = tmp_path / "weights.pyth"
    path.write_bytes(legacy_file(4))
    with pytest.raises(CheckpointError, match="is incomplete"):  # it was read
        read_checkpoint(path)
    path.write_bytes(legacy_file(1 << 40))
    with pytest.raises(CheckpointError, match=r"declare 4,398,046,511,104 bytes in a file of"):
        read_checkpoint(path)
    path.write_bytes(legacy_file(5))
    with pytest.raises(CheckpointError, match=r"storage 0 declares 5 numbers and has 4"):
        read_checkpoint(path)
    path.write_bytes(legacy_file(4)[:-1])
    with pytest.raises(CheckpointError, match=r"storage 0 declares 4 numbers and has 3"):
        read_checkpoint(path)
    path.write_bytes(legacy_file(4, view=("1", 0, 4)))
    with pytest.raises(CheckpointError, match=r"before version 0\.4"):
        read_checkpoint(path)
    path.write_bytes(legacy_file(4, kind="module"))
    with pytest.raises(CheckpointError, match=r"before version 0\.4"):
        read_checkpoint(path)


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
def test_every_truncation_is_an_error(saved, tmp_path, options):
    data = saved({"model_state": {"w": torch.arange(5.0)}}, **options).read_bytes()
    path = tmp_path / "cut.pyth"
    for num_bytes in range(0, len(data), 13):
        path.write_bytes(data[:num_bytes])
        with pytest.raises(CheckpointError, match=r"checkpoint .*cut\.pyth "):
            read_checkpoint(path)


def test_what_is_no_checkpoint_is_named(tmp_path, saved):
    with pytest.raises(CheckpointError, match=r"no\.pyth does not exist"):
        read_checkpoint(tmp_path / "no.pyth")
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds no state dict \(its keys: epoch, cfg\)"):
        read_checkpoint(saved({"epoch": 3, "cfg": "x"}))
    with pytest.raises(CheckpointError, match="at most 10 are read"):
        read_checkpoint(saved({"epoch": 3}), max_bytes=10)
    page = tmp_path / "x3d_m.pyth"
    page.write_text("<!DOCTYPE html><title>403</title>")
    with pytest.raises(CheckpointError, match=r"starts with b'<!DOCTYP'; it must be a zip"):
        read_checkpoint(page)


def test_huge_numbers_in_names_cost_nothing(saved):
    state = foreign_state("pyslowfast")
    name = "s2.pathway0_res999999999999.branch2.a.weight"
    state[name] = torch.zeros(18, 8, 1, 1, 1)
    assert read_checkpoint(saved(state)).unused == (name,)
    state["s2.pathway0_res998.branch2.a.weight"] = state[name]
    with pytest.raises(CheckpointError, match=r"it has no backbone\.stages\.res2\.1\.conv_a"):
        read_checkpoint(saved(state))
