"""io/download.py: what came before a drop, a kill or a full disk is kept, and gone on from."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys

import pytest
from downloads import CONTENT, DROP, SHA256, fetch, names
from http_server import Answer

from x3d_det.io import partial_file
from x3d_det.io.download import DownloadError, part_path


def test_drops_on_the_way_cost_no_byte_twice(server, tmp_path):
    url = server.add("/a.bin", CONTENT, DROP, DROP)
    done = fetch(url, tmp_path / "a.bin", sha256=SHA256)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert done.num_tries == 3
    assert server.gets("/a.bin") == [None, "bytes=100000-", "bytes=200000-"]
    assert names(tmp_path) == ["a.bin"]


def test_a_connection_that_is_reset_is_taken_up_again(server, tmp_path):
    url = server.add("/a.bin", CONTENT, Answer(drop_after=100_000, reset=True))
    assert fetch(url, tmp_path / "a.bin", sha256=SHA256).num_tries == 2
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_later_call_goes_on_where_the_first_stopped(server, tmp_path):
    url = server.add("/a.bin", CONTENT, DROP)
    with pytest.raises(DownloadError, match=r"tried 1 time\. 100,000 bytes are kept in a\.bin\.p"):
        fetch(url, tmp_path / "a.bin", num_tries=1)
    assert names(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    done = fetch(url, tmp_path / "a.bin", sha256=SHA256)
    assert (done.num_resumed_bytes, done.num_tries) == (100_000, 1)
    assert server.gets("/a.bin")[-1] == "bytes=100000-"
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "second",
    [Answer(ignore_range=True), Answer(wrong_start=True)],
    ids=["ignores-range", "wrong-range"],
)
def test_a_server_that_does_not_go_on_is_read_from_the_start(server, tmp_path, second):
    url = server.add("/a.bin", CONTENT, DROP, second)
    done = fetch(url, tmp_path / "a.bin", sha256=SHA256)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert done.num_resumed_bytes == 0


@pytest.mark.parametrize("ignore_condition", [False, True])
def test_bytes_of_two_versions_are_never_joined(server, tmp_path, ignore_condition):
    url = server.add("/a.bin", CONTENT, DROP)
    with pytest.raises(DownloadError):
        fetch(url, tmp_path / "a.bin", num_tries=1)
    other = CONTENT[::-1]
    server.add("/a.bin", other, Answer(ignore_condition=ignore_condition))
    fetch(url, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == other


def test_a_weak_etag_is_no_condition_and_the_date_takes_its_place(server, tmp_path):
    url = server.add("/a.bin", CONTENT, DROP, etag='W/"x"')
    fetch(url, tmp_path / "a.bin", sha256=SHA256)
    assert server.gets("/a.bin") == [None, "bytes=100000-"]


def test_without_etag_and_date_every_try_starts_over(server, tmp_path):
    url = server.add("/a.bin", CONTENT, DROP, etag="")
    fetch(url, tmp_path / "a.bin", sha256=SHA256)
    assert server.gets("/a.bin") == [None, None]


def test_a_part_of_another_url_is_dropped(server, tmp_path):
    with pytest.raises(DownloadError):
        fetch(server.add("/a.bin", CONTENT, DROP), tmp_path / "x", num_tries=1)
    done = fetch(server.add("/b.bin", CONTENT[::-1]), tmp_path / "x")
    assert server.gets("/b.bin") == [None]
    assert (done.num_resumed_bytes, (tmp_path / "x").read_bytes()) == (0, CONTENT[::-1])


@pytest.mark.parametrize("notes", [b"", b"{", b"[]", b'{"url": 1, "version": {"x": 1}}', b"\xff"])
def test_a_part_without_readable_notes_is_dropped(server, tmp_path, notes):
    part_path(tmp_path / "x").write_bytes(b"wrong bytes")
    (tmp_path / "x.part.json").write_bytes(notes)
    fetch(server.add("/a.bin", CONTENT), tmp_path / "x", sha256=SHA256)
    assert names(tmp_path) == ["x"]


def test_a_file_that_has_become_shorter_answers_416_and_is_read_anew(server, tmp_path):
    url = server.add("/a.bin", CONTENT, DROP)
    with pytest.raises(DownloadError):
        fetch(url, tmp_path / "a.bin", num_tries=1)
    server.add("/a.bin", b"short", Answer(ignore_condition=True))
    fetch(url, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == b"short"


def test_a_complete_part_needs_no_request(server, tmp_path):
    """A kill between the last byte and the renaming."""
    url = server.add("/a.bin", CONTENT, DROP)
    with pytest.raises(DownloadError):
        fetch(url, tmp_path / "a.bin", num_tries=1)
    part_path(tmp_path / "a.bin").write_bytes(CONTENT)
    done = fetch(url, tmp_path / "a.bin", sha256=SHA256)
    assert (done.num_tries, done.num_resumed_bytes) == (0, 262_144)
    assert len(server.gets("/a.bin")) == 1


def test_a_long_file_in_many_pieces_is_not_given_up(server, tmp_path):
    """Nine drops, with two tries allowed: each went on by a megabyte."""
    content = os.urandom(1 << 20) * 10
    url = server.add("/a", content, *[Answer(drop_after=(1 << 20) + 7)] * 9)
    assert fetch(url, tmp_path / "a", num_tries=2).num_tries == 10
    assert (tmp_path / "a").read_bytes() == content


def test_a_server_that_starts_over_and_drops_each_time_is_given_up(server, tmp_path):
    content = bytes(3 << 20)
    url = server.add("/a", content)
    server.files["/a"].default = Answer(drop_after=2 << 20, ignore_range=True)
    # The first try got somewhere, the second not past it.
    with pytest.raises(DownloadError, match="tried 2 times"):
        fetch(url, tmp_path / "a", num_tries=2)


def test_a_silent_server_is_left_after_the_timeout_and_asked_for_the_rest(server, tmp_path):
    url = server.add("/a", CONTENT, Answer(pause_seconds=1.0))
    done = fetch(url, tmp_path / "a", timeout_seconds=0.2, sha256=SHA256)
    assert (done.num_tries, server.gets("/a")[1]) == (2, "bytes=131072-")


def test_a_local_copy_goes_on_too(tmp_path):
    source = tmp_path / "a"
    source.write_bytes(CONTENT)

    def stop(had: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(str(source), tmp_path / "b", progress=stop)
    assert part_path(tmp_path / "b").stat().st_size == 65_536
    assert fetch(str(source), tmp_path / "b", sha256=SHA256).num_resumed_bytes == 65_536


def test_a_full_disk_keeps_the_part_and_says_so_in_one_line(server, tmp_path, monkeypatch):
    url = server.add("/a", CONTENT)

    class Full:
        """The part's file on a disk with room for 100,000 bytes."""

        def __init__(self, file):
            self._file = file

        def __getattr__(self, name):
            return getattr(self._file, name)

        def write(self, data):
            room = 100_000 - self._file.tell()
            if room <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self._file.write(data[:room])

    def build(path, url, file, build=partial_file.PartialFile):
        return build(path, url, Full(file))

    monkeypatch.setattr("x3d_det.io.download.PartialFile", build)
    with pytest.raises(DownloadError, match="No space left on device") as caught:
        fetch(url, tmp_path / "a")
    assert "\n" not in str(caught.value)
    assert "Make room" in str(caught.value)
    monkeypatch.undo()
    assert part_path(tmp_path / "a").stat().st_size == 100_000
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert fetch(url, tmp_path / "a", sha256=SHA256).num_resumed_bytes == 100_000


def test_two_processes_do_not_write_one_part(server, tmp_path):
    part = part_path(tmp_path / "a")
    with open(part, "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match=r"a\.part: another process is writing it"):
            fetch(server.add("/a", CONTENT), tmp_path / "a")
    fetch(server.add("/a", CONTENT), tmp_path / "a", sha256=SHA256)


KILLED = """
import sys
from pathlib import Path
from x3d_det.io.download import download
download(sys.argv[1], Path(sys.argv[2]), progress=lambda had, total: print(had, flush=True))
"""


def test_a_killed_process_leaves_a_part_that_the_next_one_completes(
    server, tmp_path, repository, monkeypatch
):
    url = server.add("/a", CONTENT, Answer(pause_seconds=20))
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, url, str(tmp_path / "a")],
        env={**os.environ, "PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"65536\n"
    assert process.stdout.readline() == b"131072\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert names(tmp_path) == ["a.part", "a.part.json"]
    assert json.loads((tmp_path / "a.part.json").read_text())["url"] == url
    done = fetch(url, tmp_path / "a", sha256=SHA256)
    assert done.num_resumed_bytes == 131_072
    assert names(tmp_path) == ["a"]
