"""io/safe_pickle.py on odd and damaged files: impossible arrays, no values, changed bytes."""

import contextlib
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pickle_files import ARRAYS, PLAIN, array_pickle, error_of, load_bytes

from x3d_det.errors import DataError
from x3d_det.io.safe_pickle import load_plain_pickle


def test_other_dtypes_are_refused_by_name(tmp_path):
    for array, words in (
        (np.array([None]), "dtype O8"),
        (np.array(["2020-01-01"], "M8[D]"), "dtype M8"),
        (np.zeros(1, "f8,i4"), "dtype V12"),
        (np.zeros(1, np.longdouble), f"dtype f{np.dtype(np.longdouble).itemsize}"),
    ):
        assert f"holds an array of {words}; only" in error_of(tmp_path, pickle.dumps(array, 2))


def test_arrays_must_have_their_bytes(tmp_path):
    assert load_bytes(tmp_path, array_pickle(b"(I2\nt", bytes(16))).tolist() == [0, 0]
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
        assert words in error_of(tmp_path, array_pickle(shape, data))


def test_dtypes_must_be_what_they_say(tmp_path):
    wide = array_pickle(b"(I0\nt", b"", b"S999999999", b"(I3\nS'|'\nNNNI999999999\nI1\nI0\ntb")
    assert load_bytes(tmp_path, wide).shape == (0,)  # no item, no memory
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
        assert words in error_of(tmp_path, array_pickle(b"(I0\nt", b"", dtype, state))
    text = array_pickle(b"(I1\nt", b"\xff\xff\xff\xff", b"U1", b"(I3\nS'<'\nNNNI4\nI4\nI8\ntb")
    assert "text array with impossible characters" in error_of(tmp_path, text)
    assert "values other than 0 and 1" in error_of(
        tmp_path, array_pickle(b"(I1\nt", b"\x02", b"b1")
    )


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
        assert words in error_of(tmp_path, content), content


def test_files_that_cannot_be_read(tmp_path):
    assert error_of(tmp_path, b"").endswith("is empty (0 bytes).")
    assert "has 11 bytes; at most 10 are read" in error_of(
        tmp_path, b"\x80\x04" * 5 + b".", max_bytes=10
    )
    for content in (
        b"v,0902,0.1,0.2,0.3,0.4,,0.9\n",
        b"PK\x03\x04rest",
        b"\x1f\x8b\x08\x00",
        b"{}\n",
    ):
        text = error_of(tmp_path, content)
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
        error_of(tmp_path, content[:length])


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
