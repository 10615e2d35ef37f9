"""io/files.py: a file is whole or not there."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from x3d_det.errors import X3DDetError
from x3d_det.io import files
from x3d_det.io.files import atomic_write, remove_stale_temporaries, sha256_file


def in_process(code: str, repository: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_bytes_and_text_arrive_and_the_old_file_is_replaced(tmp_path):
    path = tmp_path / "a.bin"
    for content in (b"", b"one", b"another"):
        with atomic_write(path) as file:
            file.write(content)
        assert path.read_bytes() == content
    with atomic_write(tmp_path / "ä.txt", "w") as file:
        file.write("é\n")
    assert (tmp_path / "ä.txt").read_bytes() == "é\n".encode()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.bin", "ä.txt"]


def test_the_new_file_shows_only_at_the_end(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_an_error_in_the_block_keeps_the_old_file_and_is_not_changed(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    for error in (KeyError("x"), KeyboardInterrupt(), OSError(5, "no", "/another/file")):
        with pytest.raises(type(error)) as found, atomic_write(path) as file:  # noqa: PT012
            file.write(b"new")
            raise error
        assert found.value is error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_with_path_and_bytes(tmp_path, repository):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import resource, sys\n"
        "from x3d_det.io.files import atomic_write\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    with atomic_write(sys.argv[1]) as file:\n"
        "        file.write(bytes(300_000))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    result = in_process(code, repository, path)
    line = result.stdout.strip()
    assert line.startswith(f"X3DDetError cannot write {path}: File too large (after 100,000 bytes;")
    assert "bytes free there" in line
    assert "\n" not in line
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_space_while_flushing_to_the_disk(tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    path = tmp_path / "a.bin"
    with (
        pytest.raises(X3DDetError, match=r"a\.bin: No space left on device \(after 3 bytes"),
        atomic_write(path) as file,
    ):
        file.write(b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    with (
        pytest.raises(X3DDetError, match=r"nowhere/a\.bin: No such file or directory"),
        atomic_write(tmp_path / "nowhere" / "a.bin") as file,
    ):
        file.write(b"new")


def test_a_read_only_folder_is_named(tmp_path, repository):
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"old")
    folder.chmod(0o555)
    tmp_path.chmod(0o755)
    code = (
        "import os, sys\n"
        "from x3d_det.io.files import atomic_write\n"
        "os.chdir(sys.argv[1])\n"
        "if os.getuid() == 0: os.setuid(65534)\n"  # root may write anywhere
        "try:\n"
        "    with atomic_write('locked/a.bin') as file: file.write(b'new')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    result = in_process(code, repository, tmp_path)
    folder.chmod(0o755)
    assert result.stdout.startswith("X3DDetError cannot write locked/a.bin: Permission denied")
    assert (folder / "a.bin").read_bytes() == b"old"
    assert [p.name for p in folder.iterdir()] == ["a.bin"]


def test_another_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'a'"), atomic_write(tmp_path / "x", "a"):
        pass


def test_sha256_of_a_file_equals_hashlib(tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(data)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_a_killed_writer_leaves_the_old_file_and_its_rest_is_removed(tmp_path, repository):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import os, sys\n"
        "from x3d_det.io.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write(b'new'); file.flush(); os.kill(os.getpid(), 9)\n"
    )
    assert in_process(code, repository, path).returncode == -9
    assert path.read_bytes() == b"old"
    rest = [p for p in tmp_path.iterdir() if p != path]
    assert len(rest) == 1
    assert remove_stale_temporaries(tmp_path) == rest
    assert list(tmp_path.iterdir()) == [path]
