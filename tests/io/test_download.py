"""io/download.py: a file arrives whole and verified, or not at all, whatever the server does."""

import hashlib
import socket

import pytest
import requests
from downloads import CONTENT, DROP, SHA256, fetch, names
from http_server import Answer

from x3d_det.io import partial_file
from x3d_det.io.download import DownloadError, download, remote_size
from x3d_det.io.remote import Fault, _redirected, shown


def test_a_file_arrives_with_its_hash_and_nothing_else(server, tmp_path):
    seen = []
    path = tmp_path / "new" / "a.bin"
    done = fetch(
        server.add("/a.bin", CONTENT),
        path,
        progress=lambda had, total: seen.append((had, total)),
        sha256=SHA256,
        num_bytes=len(CONTENT),
    )
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["a.bin"]
    assert (done.path, done.num_bytes, done.sha256) == (path, 262_144, SHA256)
    assert (done.num_resumed_bytes, done.num_tries) == (0, 1)
    # The client reads 65,536 bytes at a time.
    assert seen == [(65_536 * n, 262_144) for n in (1, 2, 3, 4)]


def test_an_empty_file_is_a_file(server, tmp_path):
    assert fetch(server.add("/e", b""), tmp_path / "e").num_bytes == 0
    assert names(tmp_path) == ["e"]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_passing_faults_are_tried_again(server, tmp_path, status):
    url = server.add("/a.bin", CONTENT, Answer(status=status), Answer(status=status))
    assert fetch(url, tmp_path / "a.bin", sha256=SHA256).num_tries == 3


def test_waits_double_and_the_servers_wish_is_kept(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("x3d_det.io.download.time.sleep", waits.append)
    asks = Answer(status=503, headers={"Retry-After": "7"})
    faults = [Answer(status=500), Answer(status=500), asks, Answer(status=500)]
    fetch(server.add("/a", CONTENT, *faults), tmp_path / "a", first_wait_seconds=1)
    assert waits == [1, 2, 7, 8]


def test_after_the_last_try_the_error_names_url_cause_and_place(server, tmp_path):
    url = server.add("/a.bin", CONTENT, *[Answer(status=500)] * 9)
    with pytest.raises(DownloadError) as caught:
        fetch(url, tmp_path / "a.bin", num_tries=3)
    text = str(caught.value)
    assert text == (
        f"{url}: the server answers 500 (Internal Server Error); tried 3 times. Nothing of it is "
        f"here yet. Start again later, or put the file by hand at {tmp_path / 'a.bin'}."
    )
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_final_answers_are_asked_once(server, tmp_path, status):
    url = server.add("/a.bin", CONTENT, Answer(status=status))
    with pytest.raises(DownloadError, match=rf"answers {status} .*tried 1 time\."):
        fetch(url, tmp_path / "a.bin")
    assert len(server.requests) == 1
    assert names(tmp_path) == []


def test_a_truncated_body_is_a_broken_one_although_the_connection_ends_politely(server, tmp_path):
    url = server.add("/a.bin", CONTENT, Answer(drop_after=0), Answer(drop_after=70_000))
    fetch(url, tmp_path / "a.bin", sha256=SHA256)
    assert server.gets("/a.bin") == [None, None, "bytes=70000-"]


def test_a_wrong_length_that_hides_a_truncation_is_seen_by_size_and_hash(server, tmp_path):
    short = Answer(length=1000)
    with pytest.raises(DownloadError, match=r"bytes: expected 262144, found 1000\. Nothing of it"):
        fetch(server.add("/a", CONTENT, short), tmp_path / "a", num_bytes=len(CONTENT))
    with pytest.raises(DownloadError, match=f"SHA-256: expected {SHA256}, found "):
        fetch(server.add("/b", CONTENT, short), tmp_path / "b", sha256=SHA256)
    assert names(tmp_path) == []


def test_an_unknown_length_is_refused_unless_size_or_hash_tells(server, tmp_path):
    unknown = Answer(no_length=True)
    with pytest.raises(DownloadError, match="does not say how long the file is"):
        fetch(server.add("/a", CONTENT, unknown), tmp_path / "a")
    fetch(server.add("/b", CONTENT, unknown), tmp_path / "b", sha256=SHA256[:8])
    cut = Answer(no_length=True, length=5000)
    fetch(server.add("/c", CONTENT, cut), tmp_path / "c", num_bytes=len(CONTENT))
    assert server.gets("/c") == [None, "bytes=5000-"]
    assert names(tmp_path) == ["b", "c"]
    assert (tmp_path / "c").read_bytes() == CONTENT


def test_chunks_tell_their_end(server, tmp_path):
    broken = Answer(chunked=True, drop_after=100_000)
    fetch(server.add("/a", CONTENT, broken, Answer(chunked=True)), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_wrong_hash_leaves_nothing_and_names_both(server, tmp_path):
    url = server.add("/a.bin", b"other")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(DownloadError, match=f"SHA-256: expected deadbeef, found {found}.*by hand"):
        fetch(url, tmp_path / "a.bin", sha256="DEADBEEF")
    assert names(tmp_path) == []
    assert len(server.requests) == 1


def test_s3s_etag_is_checked_as_md5_and_no_other_servers(server, tmp_path):
    spoilt = Answer(etag='"' + "0" * 32 + '"')
    fetch(server.add("/a", CONTENT, spoilt), tmp_path / "a")
    server.software = "AmazonS3"
    with pytest.raises(DownloadError, match=f"MD5: expected {'0' * 32}, found "):
        fetch(server.add("/b", CONTENT, spoilt), tmp_path / "b")
    parts = Answer(etag='"' + "0" * 32 + '-3"')
    fetch(server.add("/c", CONTENT, parts), tmp_path / "c")
    assert names(tmp_path) == ["a", "c"]


@pytest.mark.parametrize("value", ["", "1234567", "x" * 64, "0" * 65])
def test_a_hash_that_is_none_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match="8 to 64 hexadecimal digits"):
        download("http://127.0.0.1:1/a", tmp_path / "a", sha256=value)


def test_a_standing_file_is_kept_or_refused_but_never_replaced(server, tmp_path):
    url = server.add("/a.bin", CONTENT)
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    assert fetch(url, path, sha256=SHA256, num_bytes=len(CONTENT)).num_tries == 0
    path.write_bytes(b"mine")
    assert fetch(url, path).num_bytes == 4
    with pytest.raises(DownloadError, match=r"stands already.*4 bytes.*expected 262144 bytes"):
        fetch(url, path, num_bytes=len(CONTENT))
    with pytest.raises(DownloadError, match=f"stands already.*expected {SHA256}.*Move it away"):
        fetch(url, path, sha256=SHA256)
    assert path.read_bytes() == b"mine"
    with pytest.raises(DownloadError, match="is no file"):
        fetch(url, tmp_path)
    assert server.requests == []


def test_redirects_are_followed_and_the_range_goes_along(server, tmp_path):
    target = server.add("/deep/b.bin", CONTENT, DROP)
    url = server.add("/a", b"", *[Answer(location="/deep/b.bin")] * 2)
    fetch(url, tmp_path / "a", sha256=SHA256)
    assert server.gets("/deep/b.bin") == [None, "bytes=100000-"]
    assert target.endswith("/deep/b.bin")


def test_endless_redirects_end(server, tmp_path):
    url = server.add("/a", b"")
    server.files["/a"].default = Answer(location="/a")
    with pytest.raises(DownloadError, match="more than 10 redirects"):
        fetch(url, tmp_path / "a")


def test_redirects_to_files_and_from_https_to_http_are_refused(server, tmp_path):
    url = server.add("/a", b"", Answer(location="file:///etc/passwd"))
    with pytest.raises(DownloadError, match=r"redirected to file:///etc/passwd.*not followed"):
        fetch(url, tmp_path / "a")
    with pytest.raises(Fault, match="redirected to http://b/x, which is not https"):
        _redirected("https://a/x", "http://user:secret@b/x")
    assert _redirected("https://a/x", "/y") == "https://a/y"
    assert _redirected("http://a/x", "https://b/y") == "https://b/y"


def test_an_answer_compressed_unasked_is_refused_but_a_stored_gz_is_taken(server, tmp_path):
    packed = Answer(headers={"Content-Encoding": "gzip"})
    with pytest.raises(DownloadError, match=r"sends it compressed \(gzip\)"):
        fetch(server.add("/a.csv", CONTENT, packed), tmp_path / "a.csv")
    fetch(server.add("/a.tar.gz", CONTENT, packed), tmp_path / "a.tar.gz", sha256=SHA256)


def test_what_cannot_be_reached_says_why(server, tmp_path):
    with pytest.raises(DownloadError, match=r"cannot be reached \(Connection refused\); tried 2"):
        fetch("http://127.0.0.1:1/a", tmp_path / "a", num_tries=2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the call, says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        with pytest.raises(DownloadError, match=r"no answer within 0\.1 s; tried 1 time"):
            fetch(url, tmp_path / "a", num_tries=1, timeout_seconds=0.1)


@pytest.mark.parametrize("url", ["ftp://a/b", "s3://bucket/key"])
def test_other_schemes_are_named(tmp_path, url):
    with pytest.raises(DownloadError, match=r"is not one of http, https, file"):
        fetch(url, tmp_path / "a")


def test_passwords_stay_out_of_messages_and_notes(server, tmp_path):
    url = server.add("/a", CONTENT, DROP).replace("http://", "http://me:secret@")
    with pytest.raises(DownloadError) as caught:
        fetch(url, tmp_path / "a", num_tries=1)
    assert "secret" not in str(caught.value)
    assert "secret" not in (tmp_path / "a.part.json").read_text()
    assert shown("https://me:secret@a.b:8/c?d") == "https://a.b:8/c?d"


@pytest.mark.parametrize("as_url", [True, False])
def test_local_files_are_copied_by_the_same_rules(tmp_path, as_url):
    source = tmp_path / "a file.bin"
    source.write_bytes(CONTENT)
    url = source.as_uri() if as_url else str(source)
    target = tmp_path / "out" / "b"
    done = fetch(url, target, sha256=SHA256)
    assert (done.num_bytes, target.read_bytes()) == (262_144, CONTENT)
    assert source.exists()
    with pytest.raises(DownloadError, match="SHA-256: expected 00000000"):
        fetch(url, tmp_path / "c", sha256="0" * 8)
    with pytest.raises(DownloadError, match="there is no such file"):
        fetch(url + "x", tmp_path / "c")
    assert remote_size(url) == 262_144


def test_a_file_larger_than_the_free_disk_is_refused_at_once(server, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(partial_file.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DownloadError, match="262,144 bytes are still to come, 1,000 are free"):
        fetch(server.add("/a", CONTENT), tmp_path / "a")
    assert names(tmp_path) == []


def test_a_folder_that_is_a_file_is_named(server, tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(
        DownloadError, match=r"f/a\.part: cannot be written: Not a directory|File e"
    ):
        fetch(server.add("/a", CONTENT), tmp_path / "f" / "a")


def test_remote_size_asks_without_fetching(server):
    url = server.add("/a", CONTENT)
    assert remote_size(url) == 262_144
    assert [method for method, *_ in server.requests] == ["HEAD"]
    server.head_status = 405
    assert remote_size(url) == 262_144
    assert server.gets("/a") == ["bytes=0-0"]
    server.head_status = 503
    with pytest.raises(DownloadError, match="answers 503"):
        remote_size(url, num_tries=2, first_wait_seconds=0.01)
    server.head_status = None
    with pytest.raises(DownloadError, match="answers 404"):
        remote_size(server.base + "/none")


def test_requests_never_take_compressed_bytes(server, tmp_path, monkeypatch):
    asked = []
    original = requests.request

    def spy(method, url, **options):
        asked.append(options["headers"]["Accept-Encoding"])
        return original(method, url, **options)

    monkeypatch.setattr(requests, "request", spy)
    fetch(server.add("/a", CONTENT), tmp_path / "a")
    assert asked == ["identity"]
