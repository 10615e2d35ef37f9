"""io/safe_pickle.py: pickles of plain data are read, and nothing that a file asks for is run."""

import contextlib
import copyreg
import os
import pickle
import pickletools
import struct
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from x3d_det.errors import DataError
from x3d_det.io import safe_pickle
from x3d_det.io.safe_pickle import load_plain_pickle

PLAIN = {
    "text": "schön",
    "bytes": [b"", b"\x00\xff"],
    "numbers": [0, -1, 255, 1 << 63, -(1 << 63), 2.5, float("inf"), True, None],
    "nested": [((1, (2,)), [{}, []], ())],
    7: OrderedDict([("b", 1), (("a", 902), 2)]),
}
ARRAYS = {
    "rows": np.arange(6.0).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "turned": np.arange(24, dtype=">i2").reshape(2, 3, 4).transpose(1, 0, 2),
    "empty": np.zeros((0, 5), np.float32),
    "one": np.array(3, np.uint8),
    "half": np.array([0.5], np.float16),
    "complex": np.array([1j]),
    "bool": np.array([True, False]),
    "text": np.array(["v", "schön"]),
    "swapped": np.array(["né"], ">U2"),
    "bytes": np.array([b"ab", b""]),
}


def _load(tmp_path: Path, content: bytes, **options: int) -> object:
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    return load_plain_pickle(path, **options)


def _error(tmp_path: Path, content: bytes, **options: int) -> str:
    with pytest.raises(DataError) as caught:
        _load(tmp_path, content, **options)
    text = str(caught.value)
    assert text.startswith(f"pickle file {tmp_path / 'x.pkl'} ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_and_arrays_come_back(tmp_path, protocol):
    assert _load(tmp_path, pickle.dumps(PLAIN, protocol)) == PLAIN
    found = _load(tmp_path, pickle.dumps(ARRAYS, protocol))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype, name
        assert np.array_equal(found[name], array), name
        assert found[name].flags.writeable
    scalars = [np.float32(2), np.str_("q"), np.bool_(True), np.dtype(">f8"), np.int64(-3)]
    again = _load(tmp_path, pickle.dumps(scalars, protocol))
    assert again == scalars
    assert [type(value) for value in again] == [type(value) for value in scalars]


def test_shared_arrays_stay_shared(tmp_path):
    first, second, third = _load(tmp_path, pickle.dumps([ARRAYS["rows"]] * 2 + [np.zeros(2)]))
    assert first is second
    assert third.tolist() == [0, 0]


@pytest.mark.parametrize("protocol", [2, 4])
def test_both_names_of_numpys_core_are_known(tmp_path, protocol):
    for old, new in ((b"numpy._core.", b"numpy.core."), (b"numpy.core.", b"numpy._core.")):
        content = pickle.dumps(np.arange(3.0), protocol)
        if protocol == 4:  # the length stands before the name, and before all
            content = pickle._dumps(np.arange(3.0), protocol)  # type: ignore[attr-defined]
            content = _with_renamed_text(content, old.decode(), new.decode())
        assert np.array_equal(_load(tmp_path, content.replace(old, new)), np.arange(3.0))


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
    found = _load(tmp_path, pickle.dumps(content, 2))
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
    found = _load(tmp_path, content)
    assert found["cfg"] == expected["cfg"] == "a:"
    assert list(found["blobs"]) == ["conv1_w\xe9"]
    assert np.array_equal(found["blobs"]["conv1_w\xe9"], weight)
    pairs = b"\x80\x02ccollections\nOrderedDict\n(](](U\x01bK\x01e](U\x01aK\x02eetR."
    assert _load(tmp_path, pairs) == OrderedDict([("b", 1), ("a", 2)])


class _Runs:
    """Pickles as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def _hostile(canary: Path) -> dict[str, bytes]:
    command = f"touch {canary}"
    code = f"open({str(canary)!r}, 'w').close()"
    text = pickle.dumps(code, 0)[:-1].rstrip(b"p0\n") + b"\n"
    copyreg.add_extension(os.system.__module__, "system", 201)
    try:
        extension = pickle.dumps(_Runs(os.system, command), 2)
    finally:
        copyreg.remove_extension(os.system.__module__, "system", 201)
    getattr_eval = _Runs(getattr, _Runs(__import__, "builtins"), "eval")
    return {
        "system": pickle.dumps(_Runs(os.system, command), 0),
        "system 4": pickle.dumps(_Runs(os.system, command), 4),
        "nested": pickle.dumps({"model": [np.zeros(2), _Runs(os.system, command)]}),
        "eval": pickle.dumps(_Runs(eval, code)),
        "exec python 2": b"c__builtin__\neval\n(" + text + b"tR.",
        "getattr": pickle.dumps(getattr_eval),
        "subprocess": b"csubprocess\nPopen\n((S'touch'\nS'" + str(canary).encode() + b"'\nltR.",
        "inst": b"(S'" + command.encode() + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'" + command.encode() + b"'\no.",
        "obj allowed": b"(ccollections\nOrderedDict\no.",
        "newobj": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        "newobj_ex": b"\x80\x04ccollections\nOrderedDict\n)}\x92.",
        "inst allowed": b"(icollections\nOrderedDict\n.",
        "extension": extension,
        "persistent": b"Pos.system\n.",
        "binary persistent": b"\x80\x02X\x01\x00\x00\x00aQ.",
        "object array": pickle.dumps(np.array([_Runs(os.system, command)], object)),
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x17lib.npyio.os.system.foo\x93.",
        "build function": b"cnumpy\ndtype\n}S'make'\nNsb.",
        "build class": b"ccollections\nOrderedDict\n}S'update'\nNsb.",
        "build instance": b"ccollections\nOrderedDict\n)R}S'items'\nNsb.",
        "reduce array": pickle.dumps(_Runs(np.load, str(canary))),
        "memmap": pickle.dumps(_Runs(np.memmap, str(canary), "u1", "w+", 0, 8)),
        "buffers": b"\x80\x05\x97.",
        "codec": b"c_codecs\nencode\n(Va\nVzlib\ntR.",
        "subclass": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nmatrix\n(I0\ntS'b'\ntR.",
    }


def test_no_hostile_pickle_runs_anything(tmp_path):
    canary = tmp_path / "canary"
    for name, content in _hostile(canary).items():
        text = _error(tmp_path, content)
        assert not canary.exists(), name
        assert "is refused and nothing of it was run" in text or "no pickle" in text, (name, text)
    # the canary does sing: the same bytes under an ordinary loader
    pickle.loads(_hostile(canary)["system 4"])
    assert canary.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("system", "asks for posix.system; only dicts, lists, tuples, numbers, text, bytes and"),
        ("inst", "asks for os.system; "),
        ("obj", "asks for os.system; "),
        ("eval", "asks for builtins.eval; "),
        ("exec python 2", "asks for __builtin__.eval; "),
        ("getattr", "asks for builtins.getattr; "),
        ("subprocess", "asks for subprocess.Popen; "),
        ("extension", "uses the opcode EXT1; "),
        ("persistent", "no pickle"),
        ("binary persistent", "uses the opcode BINPERSID; "),
        ("newobj", "uses the opcode NEWOBJ; "),
        ("obj allowed", "uses the opcode OBJ; "),
        ("inst allowed", "makes an object of collections.OrderedDict"),
        ("object array", "holds an array of dtype O8; "),
        ("dotted", "asks for numpy.lib.npyio.os.system.foo; "),
        ("build instance", "sets the state of what is no new array or dtype"),
        ("memmap", "asks for numpy.memmap; "),
        ("codec", "asks for the codec zlib"),
        ("subclass", "asks for numpy.matrix; "),
    ],
)
def test_what_is_refused_is_named(tmp_path, name, words):
    assert words in _error(tmp_path, _hostile(tmp_path / "canary")[name])


def test_names_are_shown_on_one_short_line(tmp_path):
    text = _error(tmp_path, b"\x80\x04\x8c\x03a\nb\x8c\xffx" + b"y" * 254 + b"\x93.")
    assert r"asks for 'a\nb.xyyy" in text
    assert len(text) < 400


def test_other_dtypes_are_refused_by_name(tmp_path):
    for array, words in (
        (np.array([None]), "dtype O8"),
        (np.array(["2020-01-01"], "M8[D]"), "dtype M8"),
        (np.zeros(1, "f8,i4"), "dtype V12"),
        (np.zeros(1, np.longdouble), f"dtype f{np.dtype(np.longdouble).itemsize}"),
    ):
        assert f"holds an array of {words}; only" in _error(tmp_path, pickle.dumps(array, 2))


def _array_pickle(shape: bytes, data: bytes, dtype: bytes = b"f8", state: bytes = b"") -> bytes:
    """Return a protocol 0 pickle of one array from its pieces, right or wrong."""
    state = state or b"(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    return (
        b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n" + shape + b"cnumpy\ndtype\n(S'" + dtype + b"'\nI00\nI01\ntR" + state + b"I00\n"
        b"B" + struct.pack("<I", len(data)) + data + b"tb."
    )


def test_arrays_must_have_their_bytes(tmp_path):
    assert _load(tmp_path, _array_pickle(b"(I2\nt", bytes(16))).tolist() == [0, 0]
    for shape, data, words in (
        (b"(I3\nt", bytes(16), "shape (3,) and dtype float64 with 16 bytes of data"),
        (b"(I1\nt", bytes(16), "shape (1,) and dtype float64 with 16 bytes"),
        (b"(I1000000000000\nt", bytes(8), "shape (1000000000000,) and dtype float64 with 8 bytes"),
        (b"(I-2\nI-1\nt", bytes(16), "impossible shape"),
        (b"(L" + b"9" * 40 + b"L\nI0\nt", b"", "impossible shape"),
        (b"(I01\nt", bytes(8), "impossible shape"),  # a bool
        (b"(" + b"I1\n" * 33 + b"t", bytes(8), "impossible shape"),
        (b"I2\n", bytes(16), "damaged or no pickle"),
    ):
        assert words in _error(tmp_path, _array_pickle(shape, data))


def test_dtypes_must_be_what_they_say(tmp_path):
    wide = _array_pickle(b"(I0\nt", b"", b"S999999999", b"(I3\nS'|'\nNNNI999999999\nI1\nI0\ntb")
    assert _load(tmp_path, wide).shape == (0,)  # no item, no memory
    for dtype, state, words in (
        (b"S4000000000", b"", "dtype S4000000000"),
        (b"f8", b"(I3\nS'<'\nNNNI99999\nI-1\nI0\ntb", "composed dtype"),
        (b"f8", b"(I3\nS'<'\n(I4\nI4\ntNNI-1\nI-1\nI0\ntb", "composed dtype"),
        (b"f8", b"(I3\nS'<'\nN(S'a'\nt}I-1\nI-1\nI0\ntb", "composed dtype"),
        (b"f8", b"(I4\nS'<'\nNNNI-1\nI-1\nI0\n}tb", "composed dtype"),
        (b"f8", b"(I3\nS'O'\nNNNI-1\nI-1\nI0\ntb", "composed dtype"),
        (b"f8,f8", b"", "dtype 'f8,f8'"),
        (b"float64", b"", "dtype float64"),
    ):
        assert words in _error(tmp_path, _array_pickle(b"(I0\nt", b"", dtype, state))
    text = _array_pickle(b"(I1\nt", b"\xff\xff\xff\xff", b"U1", b"(I3\nS'<'\nNNNI4\nI4\nI8\ntb")
    assert "text array with impossible characters" in _error(tmp_path, text)
    assert "values other than 0 and 1" in _error(tmp_path, _array_pickle(b"(I1\nt", b"\x02", b"b1"))


def test_unfinished_and_odd_values_are_refused(tmp_path):
    reconstruct = b"cnumpy._core.multiarray\n_reconstruct\n"
    empty = reconstruct + b"(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    for content, words in (
        (empty + b".", "ends in what is no value"),
        (b"cnumpy\nndarray\n.", "ends in what is no value"),
        (empty + b"p0\n0g0\n.", "before its state"),
        (reconstruct + b"(cnumpy\nndarray\n(I999999999\ntS'b'\ntR.", "NumPy would not write"),
        (b"(cnumpy\nndarray\n)tR.", "no pickle"),
        (b"cnumpy\nndarray\n)R.", "no allowed function"),
        (b"S'a'\n)R.", "no allowed function"),
        (b"](I1\nI2\nu.", "sets items of what is no dict"),
        (b"(]I1\nd.", "no text, number or short tuple"),
        (b"\x80\x02\x8a\x09" + b"\x01" * 9 + b".", "more than 64 bits"),
        (b"\x80\x02X\x03\x00\x00\x00\xed\xa0\x80.", "surrogates not allowed"),
        (pickle.dumps({1, 2}, 4), "uses the opcode EMPTY_SET"),
        (pickle.dumps({1, 2}, 2), "asks for __builtin__.set"),
        (pickle.dumps(1) + b"x", "goes on behind the end of its value"),
        (b"\x80\x04\x95\x04\x00\x00\x00\x00\x00\x00\x00K\x01.K", "goes on behind the end"),
    ):
        assert words in _error(tmp_path, content), content


def test_deep_nesting_and_loops(tmp_path):
    assert _load(tmp_path, b"]" * 64 + b"a" * 63 + b".")
    assert "nested deeper than 64 levels" in _error(tmp_path, b"]" * 65 + b"a" * 64 + b".")
    deep = b"\x80\x02" + b")" + b"\x85" * 200_000
    assert "nested deeper than 64 levels" in _error(tmp_path, deep + b".")
    assert "no text, number or short tuple" in _error(tmp_path, b"}" + deep[2:] + b"Ns.")
    assert "contains itself" in _error(tmp_path, b"]p0\ng0\na.")


def test_many_small_steps_cannot_take_much(tmp_path, monkeypatch):
    laughs = b"\x80\x02](X\x01\x00\x00\x00xe" + b"q\x00](h\x00h\x00e" * 60 + b"."
    assert "until they take more than 2,147,483,648 bytes" in _error(tmp_path, laughs)
    encode = b"\x80\x02](c_codecs\nencode\nq\x01(X\x00\x10\x00\x00" + b"x" * 4096
    encode += b"q\x02X\x06\x00\x00\x00latin1q\x03tR" + b"h\x01h\x02h\x03\x86R" * 100 + b"e."
    assert "builds more from the same bytes than it has" in _error(tmp_path, encode)
    monkeypatch.setattr(safe_pickle, "_MAX_STEPS", 1000)
    assert len(_load(tmp_path, b"](" + b"N" * 990 + b"e.")) == 990
    assert "more than 1,000 steps" in _error(tmp_path, b"](" + b"N" * 1000 + b"e.")


def test_announced_sizes_take_no_memory(tmp_path):
    huge = struct.pack("<Q", 1 << 40)
    contents = [
        b"\x80\x05\x96" + huge + b"x.",  # BYTEARRAY8
        b"\x80\x04\x8e" + huge + b"x.",  # BINBYTES8
        b"\x80\x04\x8d" + huge + b"x.",  # BINUNICODE8
        b"\x80\x02B\xff\xff\xff\xffx.",
        b"\x80\x02X\xff\xff\xff\xffx.",
        b"\x80\x02T\xff\xff\xff\x7fx.",
        b"\x80\x02\x8b\xff\xff\xff\x7fx.",  # LONG4
        _array_pickle(b"(I1000000000\nI1000000\nt", bytes(8)),
    ]
    tracemalloc.start()
    try:
        for content in contents:
            assert "damaged" in _error(tmp_path, content)
        assert _load(tmp_path, b"\x80\x02Nr\xff\xff\xff\xff.") is None  # LONG_BINPUT
        assert _load(tmp_path, b"\x80\x04\x95" + huge + b"N.") is None  # FRAME
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_files_that_cannot_be_read(tmp_path):
    assert _error(tmp_path, b"").endswith("is empty (0 bytes).")
    assert "has 11 bytes; at most 10 are read" in _error(
        tmp_path, b"\x80\x04" * 5 + b".", max_bytes=10
    )
    for content in (
        b"v,0902,0.1,0.2,0.3,0.4,,0.9\n",
        b"PK\x03\x04rest",
        b"\x1f\x8b\x08\x00",
        b"{}\n",
    ):
        text = _error(tmp_path, content)
        assert "is cut short, damaged or no pickle" in text
        assert f"({len(content)} bytes that start with {content[:8]!r})" in text
    with pytest.raises(DataError, match=r"no\.pkl does not exist"):
        load_plain_pickle(tmp_path / "no.pkl")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        load_plain_pickle(tmp_path)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_every_truncation_is_an_error(tmp_path, protocol):
    content = pickle.dumps({"model": {"w": ARRAYS["rows"]}, "a": [1, 2.5]}, protocol)
    for length in range(len(content)):
        _error(tmp_path, content[:length])


_SEEDS = [pickle.dumps({"plain": PLAIN, "arrays": ARRAYS}, protocol) for protocol in (0, 2, 4, 5)]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.sampled_from(_SEEDS),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    extra=st.binary(max_size=8),
    where=st.floats(0, 1),
)
def test_changed_bytes_give_a_value_or_an_error(tmp_path_factory, seed, changes, extra, where):
    content = bytearray(seed)
    for place, byte in changes:
        content[int(place * (len(content) - 1))] = byte
    cut = int(where * len(content))
    content[cut:cut] = extra
    path = tmp_path_factory.getbasetemp() / "changed.pkl"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with contextlib.suppress(DataError):
            pickle.dumps(load_plain_pickle(path))  # a value, whole and usable
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
