"""tools/download_weights.py as a user runs it; the web is a server on loopback, or a folder."""

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from http_server import serving

from x3d_det.zoo import ZOO

CONTENT = b"PK\x03\x04 weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = "x3d_m_kinetics400"


@pytest.fixture(scope="module")
def main(repository: Path) -> Callable[[list[str]], int]:
    path = repository / "tools" / "download_weights.py"
    spec = importlib.util.spec_from_file_location("download_weights", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_two_files_of_a_mirror(run_tool, tmp_path: Path):
    with serving() as server:
        server.add("/w/pyslowfast/x3d_m.pyth", CONTENT)
        server.add("/w/pytorchvideo/X3D_M.pyth", CONTENT + b"!")
        names = [NAME, "x3d_m_kinetics400_pytorchvideo"]
        options = ["--mirror", f"{server.base}/w", "--output-dir", str(tmp_path)]
        done = run_tool("download_weights.py", *names, *options)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    path = tmp_path / "pyslowfast" / "x3d_m.pyth"
    assert first == f"{NAME}: {path} (0.0 MB, SHA-256 {DIGEST})"
    assert second.startswith(f"x3d_m_kinetics400_pytorchvideo: {tmp_path}/pytorchvideo/X3D_M.pyth")
    assert "no SHA-256 is published for x3d_m.pyth" in done.stderr


def test_a_copy_goes_to_the_cache(main, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("X3D_DET_WEIGHTS", str(tmp_path / "cache"))
    copy = tmp_path / "copy.bin"
    copy.write_bytes(CONTENT)
    assert main([NAME, "--from", str(copy)]) == 0
    path = tmp_path / "cache" / "pyslowfast" / "x3d_m.pyth"
    assert capsys.readouterr().out.startswith(f"{NAME}: {path} (")
    assert path.read_bytes() == CONTENT
    assert main([NAME, "--list"]) == 0
    assert capsys.readouterr().out.startswith(f"{NAME}  (in the cache)\n")


def test_the_list(main, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("X3D_DET_WEIGHTS", str(tmp_path / "none"))
    assert main(["--list"]) == 0
    out = capsys.readouterr().out
    for entry in ZOO.values():
        assert f"{entry.name}\n    X3D-{entry.model.upper()}, {entry.num_classes} classes" in out
        assert f"    {entry.url}\n    stated by {entry.source}\n" in out
    assert "16 x 5 frames of 224 px, 4.73 GMACs, 3.79 M parameters" in out
    assert "75.1 % top-1 (10 x 1 views); 76.2 % top-1 (10 x 3 views)" in out
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ([], 2, "give a NAME, or --list"),
        (["--from", "f"], 2, "give the one NAME that FILE is a copy of"),
        ([NAME, "x3d_s_kinetics400", "--from", "f"], 2, "give the one NAME"),
        ([NAME, "--from", "f", "--mirror", "m"], 2, "not allowed with"),
        (["x3d_m_kinetic400"], 1, "did you mean x3d_m_kinetics400?"),
        ([NAME, "--from", "gone.pyth"], 1, "gone.pyth: no such file"),
        ([NAME, "--mirror", "no/folder"], 1, "no/folder/pyslowfast/x3d_m.pyth"),
        ([NAME, "--output-dir", "f/x"], 1, "output folder f/x cannot be written to"),
    ],
)
def test_faults(main, arguments, code, expected, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("X3D_DET_WEIGHTS", str(tmp_path / "cache"))
    (tmp_path / "f").write_bytes(CONTENT)
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.out == ""
