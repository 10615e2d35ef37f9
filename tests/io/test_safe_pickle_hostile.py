"""io/safe_pickle.py on hostile files: nothing that a file asks for is run, little memory taken."""

import copyreg
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pickle_files import array_pickle, error_of, load_bytes

from x3d_det.io import safe_pickle


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
        text = error_of(tmp_path, content)
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
    assert words in error_of(tmp_path, _hostile(tmp_path / "canary")[name])


def test_names_are_shown_on_one_short_line(tmp_path):
    text = error_of(tmp_path, b"\x80\x04\x8c\x03a\nb\x8c\xffx" + b"y" * 254 + b"\x93.")
    assert r"asks for 'a\nb.xyyy" in text
    assert len(text) < 400


def test_deep_nesting_and_loops(tmp_path):
    assert load_bytes(tmp_path, b"]" * 64 + b"a" * 63 + b".")
    assert "nested deeper than 64 levels" in error_of(tmp_path, b"]" * 65 + b"a" * 64 + b".")
    deep = b"\x80\x02" + b")" + b"\x85" * 200_000
    assert "nested deeper than 64 levels" in error_of(tmp_path, deep + b".")
    assert "no text, number or short tuple" in error_of(tmp_path, b"}" + deep[2:] + b"Ns.")
    assert "contains itself" in error_of(tmp_path, b"]p0\ng0\na.")


def test_many_small_steps_cannot_take_much(tmp_path, monkeypatch):
    laughs = b"\x80\x02](X\x01\x00\x00\x00xe" + b"q\x00](h\x00h\x00e" * 60 + b"."
    assert "until they take more than 2,147,483,648 bytes" in error_of(tmp_path, laughs)
    encode = b"\x80\x02](c_codecs\nencode\nq\x01(X\x00\x10\x00\x00" + b"x" * 4096
    encode += b"q\x02X\x06\x00\x00\x00latin1q\x03tR" + b"h\x01h\x02h\x03\x86R" * 100 + b"e."
    assert "builds more from the same bytes than it has" in error_of(tmp_path, encode)
    monkeypatch.setattr(safe_pickle, "_MAX_STEPS", 1000)
    assert len(load_bytes(tmp_path, b"](" + b"N" * 990 + b"e.")) == 990
    assert "more than 1,000 steps" in error_of(tmp_path, b"](" + b"N" * 1000 + b"e.")


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
        array_pickle(b"(I1000000000\nI1000000\nt", bytes(8)),
    ]
    tracemalloc.start()
    try:
        for content in contents:
            assert "damaged" in error_of(tmp_path, content)
        assert load_bytes(tmp_path, b"\x80\x02Nr\xff\xff\xff\xff.") is None  # LONG_BINPUT
        assert load_bytes(tmp_path, b"\x80\x04\x95" + huge + b"N.") is None  # FRAME
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
