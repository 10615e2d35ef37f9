"""io/safe_pickle.py: pickles of plain values and arrays are read, of every protocol and project."""

import pickle
import pickletools
import struct
from collections import OrderedDict

import numpy as np
import pytest
from pickle_files import ARRAYS, PLAIN, load_bytes

from x3d_det.io.safe_pickle import load_plain_pickle


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_and_arrays_come_back(tmp_path, protocol):
    assert load_bytes(tmp_path, pickle.dumps(PLAIN, protocol)) == PLAIN
    found = load_bytes(tmp_path, pickle.dumps(ARRAYS, protocol))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype, name
        assert np.array_equal(found[name], array), name
        assert found[name].flags.writeable
    scalars = [np.float32(2), np.str_("q"), np.bool_(True), np.dtype(">f8"), np.int64(-3)]
    again = load_bytes(tmp_path, pickle.dumps(scalars, protocol))
    assert again == scalars
    assert [type(value) for value in again] == [type(value) for value in scalars]


def test_shared_arrays_stay_shared(tmp_path):
    first, second, third = load_bytes(tmp_path, pickle.dumps([ARRAYS["rows"]] * 2 + [np.zeros(2)]))
    assert first is second
    assert third.tolist() == [0, 0]


@pytest.mark.parametrize("protocol", [2, 4])
def test_both_names_of_numpys_core_are_known(tmp_path, protocol):
    for old, new in ((b"numpy._core.", b"numpy.core."), (b"numpy.core.", b"numpy._core.")):
        content = pickle.dumps(np.arange(3.0), protocol)
        if protocol == 4:  # the length stands before the name, and before all
            content = pickle._dumps(np.arange(3.0), protocol)  # type: ignore[attr-defined]
            content = _with_renamed_text(content, old.decode(), new.decode())
        assert np.array_equal(load_bytes(tmp_path, content.replace(old, new)), np.arange(3.0))


def _with_renamed_text(content: bytes, old: str, new: str) -> bytes:
    """Return a protocol 4 pickle without frames, a name in it changed."""
    pieces = []
    steps = list(pickletools.genops(content))
    ends = [place for _, _, place in steps[1:]] + [len(content)]
    for (opcode, argument, place), end in zip(steps, ends, strict=True):
        if opcode.name == "FRAME":
            continue
        piece = content[place:end]
        if opcode.name == "SHORT_BINUNICODE" and old in argument:
            text = argument.replace(old, new).encode()
            piece = b"\x8c" + bytes([len(text)]) + text
        pieces.append(piece)
    return b"".join(pieces)


def test_real_proposals_of_mmaction2(tmp_path, shared_dir):
    boxes = load_plain_pickle(shared_dir / "ava/formats/mmaction2_proposals_sample.pkl")
    assert list(boxes) == ["0f39OWEqJ24,0902", "0f39OWEqJ24,0903", "_-Z6wFjXtGQ,0902"]
    assert [array.shape for array in boxes.values()] == [(1, 5), (1, 5), (3, 5)]
    assert boxes["0f39OWEqJ24,0903"].tolist() == [[0.035, 0.177, 0.692, 0.98, 0.997048]]


def test_a_detectron2_model_zoo_file(tmp_path):
    weights = {"backbone.conv1.weight": np.ones((2, 3, 1, 1), np.float32)}
    content = {"model": weights, "__author__": "Detectron2 Model Zoo"}
    found = load_bytes(tmp_path, pickle.dumps(content, 2))
    assert found["__author__"] == "Detectron2 Model Zoo"
    assert found["model"]["backbone.conv1.weight"].shape == (2, 3, 1, 1)


def _python2_array(values: np.ndarray) -> bytes:
    """Return an array as Python 2 pickles it by protocol 2: names and data are its `str`.

    The steps are those of `pickle.dumps(array, 2)` under Python 2.7 and NumPy 1.16, written
    down from the documentation of both (`ndarray.__reduce__`, `pickletools`).
    """
    data = values.tobytes()
    shape = b"".join(b"K" + bytes([length]) for length in values.shape)
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01(" + shape + b"tcnumpy\ndtype\nU\x02" + values.dtype.str[1:].encode()
        + b"K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T" + struct.pack("<i", len(data)) + data + b"tb"
    )  # fmt: skip


def test_a_detectron1_file_of_python2(tmp_path):
    weight = np.arange(-3, 3, dtype="<f4").reshape(2, 3)
    content = (
        b"\x80\x02}(U\x05blobs}U\x08conv1_w\xe9" + _python2_array(weight) + b"sU\x03cfgU\x02a:u."
    )
    expected = pickle.loads(content, encoding="latin1")  # our own bytes, above
    found = load_bytes(tmp_path, content)
    assert found["cfg"] == expected["cfg"] == "a:"
    assert list(found["blobs"]) == ["conv1_w\xe9"]
    assert np.array_equal(found["blobs"]["conv1_w\xe9"], weight)
    pairs = b"\x80\x02ccollections\nOrderedDict\n(](](U\x01bK\x01e](U\x01aK\x02eetR."
    assert load_bytes(tmp_path, pairs) == OrderedDict([("b", 1), ("a", 2)])
