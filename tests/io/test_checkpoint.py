"""io/checkpoint.py and io/torch_zip.py: damage is found, nothing of a file is run."""

import io
import os
import pickle
import random
import struct
import time
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from x3d_det.errors import CheckpointError, X3DDetError
from x3d_det.io.checkpoint import (
    checkpoint_path,
    checkpoint_steps,
    latest_checkpoint,
    load_checkpoint,
    load_latest_checkpoint,
    remove_old_checkpoints,
    save_checkpoint,
)
from x3d_det.io.torch_zip import load_torch_file


def state_of(step: int) -> dict:
    generator = torch.Generator().manual_seed(step)
    weights = OrderedDict(w=torch.randn(3, 4, generator=generator), n=torch.tensor(step))
    return {"step": step, "model": weights, "lr": 0.1, "name": "é", "done": [1, None, True]}


def save(folder: Path, step: int) -> Path:
    path = checkpoint_path(folder, step)
    save_checkpoint(path, state_of(step))
    return path


def test_what_is_saved_comes_back_and_torch_reads_it_too(tmp_path):
    path = save(tmp_path, 1200)
    assert path.name == "step_00001200.pt"
    for state in (load_checkpoint(path), torch.load(path, weights_only=True)):
        assert torch.equal(state["model"]["w"], state_of(1200)["model"]["w"])
        assert state["name"] == "é"
        assert state["done"] == [1, None, True]


def test_a_views_and_shared_tensors_come_back(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    state = {"step": 1, "t": base.t(), "row": base[1], "empty": torch.zeros(0, 3), "again": base}
    save_checkpoint(tmp_path / "a.pt", state)
    found = load_checkpoint(tmp_path / "a.pt")
    assert all(torch.equal(found[name], state[name]) for name in ("t", "row", "empty", "again"))
    bf16 = {"step": 1, "x": torch.ones(3, dtype=torch.bfloat16), "b": torch.tensor([True])}
    save_checkpoint(tmp_path / "b.pt", bf16)
    assert load_checkpoint(tmp_path / "b.pt")["x"].dtype == torch.bfloat16


def test_a_state_needs_its_step(tmp_path):
    with pytest.raises(ValueError, match="None"):
        save_checkpoint(tmp_path / "a.pt", {"model": {}})


def test_every_truncation_is_found(tmp_path):
    path = save(tmp_path, 2)
    save(tmp_path, 1)
    data = path.read_bytes()
    for percent in range(0, 100, 5):
        path.write_bytes(data[: len(data) * percent // 100])
        with pytest.raises(CheckpointError, match=r"step_00000002\.pt is damaged") as error:
            load_checkpoint(path)
        assert "the one before it is step_00000001.pt: resuming takes it" in str(error.value)
        if percent == 0:
            assert "it is empty (0 bytes)" in str(error.value)
        else:
            assert f"{len(data) * percent // 100:,} bytes" in str(error.value)
    for missing in (1, 2, 70, 71, 72, 93):
        path.write_bytes(data[:-missing])
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(path)


def test_every_flipped_bit_is_found(tmp_path):
    path = save(tmp_path, 2)
    data = path.read_bytes()
    bits = random.Random(0).sample(range(8 * len(data)), 400)
    bits += range(8 * (len(data) - 93), 8 * len(data))  # the zip's end and the seal
    for bit in bits:
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"step_00000002\.pt is damaged"):
            load_checkpoint(path)


def test_plain_torch_load_does_not_see_the_flipped_bit_that_we_see(tmp_path):
    path = save(tmp_path, 2)
    data = bytearray(path.read_bytes())
    place = data.find(state_of(2)["model"]["w"].numpy().tobytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert not torch.equal(
        torch.load(path, weights_only=True)["model"]["w"], state_of(2)["model"]["w"]
    )
    with pytest.raises(CheckpointError, match=r"sha256 differs: [0-9a-f]{12}"):
        load_checkpoint(path)


def test_latest_is_the_highest_step_that_verifies_and_damage_is_said(tmp_path, caplog):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "nowhere") is None
    for step in (999, 1000, 99_999_999, 100_000_000):  # names change their length
        save(tmp_path, step)
    (tmp_path / "step_banana.pt").write_bytes(b"x")
    os.utime(checkpoint_path(tmp_path, 999), (time.time() + 1e6,) * 2)  # a clock that jumped
    assert checkpoint_steps(tmp_path) == [999, 1000, 99_999_999, 100_000_000]
    assert latest_checkpoint(tmp_path) == checkpoint_path(tmp_path, 100_000_000)
    checkpoint_path(tmp_path, 100_000_000).write_bytes(b"")
    checkpoint_path(tmp_path, 99_999_999).write_bytes(b"PK rubbish")
    found = load_latest_checkpoint(tmp_path)
    assert found is not None
    assert found[1]["step"] == 1000
    assert "step_100000000.pt is damaged: it is empty (0 bytes)" in caplog.text
    assert "step_99999999.pt is damaged" in caplog.text


def test_all_damaged_is_an_error_not_a_new_start(tmp_path):
    save(tmp_path, 1).write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints"):
        load_latest_checkpoint(tmp_path)


def test_a_renamed_checkpoint_is_found_out(tmp_path):
    save(tmp_path, 5).rename(checkpoint_path(tmp_path, 9))
    with pytest.raises(CheckpointError, match=r"holds step 5, .* rename it to step_00000005\.pt"):
        load_checkpoint(checkpoint_path(tmp_path, 9))


def test_retention_keeps_the_last_and_the_best(tmp_path):
    for step in (1, 2, 3, 10):
        save(tmp_path, step)
    removed = remove_old_checkpoints(tmp_path, keep_last=2, keep_steps=[1])
    assert [path.name for path in removed] == ["step_00000002.pt"]
    assert checkpoint_steps(tmp_path) == [1, 3, 10]
    with pytest.raises(ValueError, match="keep_last is 0"):
        remove_old_checkpoints(tmp_path, keep_last=0)


def test_a_save_that_fails_keeps_the_old_one(tmp_path, monkeypatch):
    path = save(tmp_path, 1)
    data = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(X3DDetError, match=r"step_00000001\.pt: No space left on device \(after"):
        save_checkpoint(path, state_of(1))
    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def rewritten(data: bytes, *, pickled: bytes | None = None, compression: int = 0) -> bytes:
    """The zip again, with another pickle or compressed entries."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(buffer, "w", compression) as new,
    ):
        for name in old.namelist():
            content = old.read(name)
            if pickled is not None and name.endswith("data.pkl"):
                content = pickled
            new.writestr(name, content)
    return buffer.getvalue()


def torch_bytes(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


class _RunsCode:
    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path):
    canary = tmp_path / "canary"
    path = tmp_path / "evil.pt"
    torch.save({"model": _RunsCode(str(canary))}, path)
    with pytest.raises(CheckpointError, match=r"evil\.pt asks for (posix|nt)\.system"):
        load_torch_file(path)
    path.write_bytes(rewritten(torch_bytes({}), pickled=pickle.dumps(_RunsCode(str(canary)))))
    with pytest.raises(CheckpointError, match="nothing of it was run"):
        load_torch_file(path)
    path.write_bytes(pickle.dumps(_RunsCode(str(canary))))
    with pytest.raises(CheckpointError, match="must be a zip"):
        load_torch_file(path)
    assert not canary.exists()


def test_compressed_entries_are_refused(tmp_path):
    path = tmp_path / "bomb.pt"
    data = rewritten(torch_bytes({"w": torch.zeros(4_000_000)}), compression=zipfile.ZIP_DEFLATED)
    assert len(data) < 100_000
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"bomb\.pt: entry .* is compressed"):
        load_torch_file(path)


def test_entries_that_overlap_are_refused(tmp_path):
    # a second central record of the same bytes under another name: more declared than there
    data = bytearray(torch_bytes({"w": torch.zeros(4000)}))
    end = data.rfind(b"PK\x05\x06")
    size, start = struct.unpack("<II", data[end + 12 : end + 20])
    records = bytes(data[start : start + size])
    place = records.find(b"archive/data/0")
    again = records.replace(b"archive/data/0", b"archive/data/1") if place >= 0 else b""
    assert again
    count = struct.unpack("<H", data[end + 10 : end + 12])[0] * 2
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, 2 * size, start, 0)
    path = tmp_path / "overlap.pt"
    path.write_bytes(bytes(data[:start]) + records + again + tail)
    with pytest.raises(CheckpointError, match=r"overlap\.pt"):
        load_torch_file(path)


def test_a_stride_bomb_is_refused(tmp_path):
    path = tmp_path / "stride.pt"
    torch.save({"w": torch.zeros(1).expand(2**20, 2**20)}, path)
    assert path.stat().st_size < 3000
    with pytest.raises(CheckpointError, match=r"shape \(1048576, 1048576\) stands on .* 1 numbers"):
        load_torch_file(path)


def test_a_storage_larger_than_its_bytes_is_refused(tmp_path):
    data = torch_bytes({"w": torch.zeros(200)})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        pickled = archive.read("archive/data.pkl")
    assert pickled.count(b"K\xc8") == 2  # 200 elements: of the storage, and of the tensor
    larger = pickled.replace(b"K\xc8", b"M\xff\xff")
    path = tmp_path / "beyond.pt"
    path.write_bytes(rewritten(data, pickled=larger))
    with pytest.raises(CheckpointError, match="storage 0 declares 262,140 bytes and has 800"):
        load_torch_file(path)


def test_a_huge_memo_index_costs_nothing(tmp_path):
    pickled = b"\x80\x02}r\xff\xff\xff\x7f."  # LONG_BINPUT 2^31 - 1
    path = tmp_path / "memo.pt"
    path.write_bytes(rewritten(torch_bytes({}), pickled=pickled))
    start_seconds = time.monotonic()
    assert load_torch_file(path) == {}
    assert time.monotonic() - start_seconds < 1


def test_what_is_no_checkpoint_is_named(tmp_path):
    path = tmp_path / "x.pt"
    with pytest.raises(CheckpointError, match=r"x\.pt does not exist"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        load_checkpoint(tmp_path)
    path.write_bytes(b"hello world")
    with pytest.raises(CheckpointError, match="no torch file: it starts with b'hello wo'"):
        load_checkpoint(path)
    torch.save([1], path)
    with pytest.raises(CheckpointError, match="holds a list; a dict is needed"):
        load_torch_file(path)
    torch.save({"step": 1}, path)
    with pytest.raises(CheckpointError, match="ends without its sha256 after"):
        load_checkpoint(path)
    assert load_torch_file(path) == {"step": 1}
    with pytest.raises(CheckpointError, match="at most 100 are read"):
        load_torch_file(path, max_bytes=100)
    save_checkpoint(path, {"step": 1, "format": "x3d_det training checkpoint 99"})
    with pytest.raises(CheckpointError, match="99"):
        load_checkpoint(path)


def test_a_foreign_file_is_held_against_its_crcs(tmp_path):
    data = bytearray(torch_bytes({"w": torch.full((50,), 1.5)}))
    data[data.find(torch.full((50,), 1.5).numpy().tobytes())] ^= 1
    path = tmp_path / "x.pt"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"the CRC of .*data/0 differs"):
        load_torch_file(path)
