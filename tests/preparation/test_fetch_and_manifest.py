"""preparation/fetch.py, manifest.py: from the first place that has a file, and noted."""

import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ava_mirror import tarred, zipped
from http_server import Answer, Server, serving
from strange_zips import strange_zip

from x3d_det.errors import DataError
from x3d_det.io.download import DownloadError
from x3d_det.preparation import fetch as fetching
from x3d_det.preparation.catalog import Source, Wanted
from x3d_det.preparation.fetch import Fetcher, FetchSettings
from x3d_det.preparation.manifest import Manifest


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        yield running


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path, FetchSettings(num_tries=2, first_wait_seconds=0.01, timeout_seconds=2))


def wanted(*sources: Source) -> Wanted:
    return Wanted(path="annotations/a.txt", form="text", sources=sources)


def standing(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_the_first_place_that_has_it_is_taken(server, fetcher, tmp_path):
    places = wanted(
        Source(url=f"{server.base}/none"),
        Source(url=server.add("/a.zip", zipped({"b.txt": "no"})), member="a.txt"),
        Source(url=server.add("/b.zip", zipped({"a.txt": "yes"})), member="a.txt"),
        Source(url=server.add("/a.txt", b"never")),
    )
    assert fetcher.fetch(places) == f"{server.base}/b.zip"
    fetcher.remove_staging()
    assert standing(tmp_path) == ["annotations/a.txt"]
    assert (tmp_path / "annotations" / "a.txt").read_text() == "yes"
    assert server.gets("/a.txt") == []


def test_where_nobody_has_it_every_refusal_is_told(server, fetcher, tmp_path):
    places = wanted(
        Source(url=f"{server.base}/none"),
        Source(url=server.add("/a.zip", b"<html>"), member="a.txt"),
        Source(url=server.add("/b.zip", zipped({})), member="a.txt"),
    )
    with pytest.raises(DownloadError) as caught:
        fetcher.fetch(places)
    text = str(caught.value)
    assert "/none: the server answers 404" in text
    assert "is no archive that can be read" in text
    assert "holds no a.txt" in text
    assert f"the file belongs at {tmp_path / 'annotations' / 'a.txt'}" in text
    fetcher.remove_staging()
    assert standing(tmp_path) == []


def test_an_archive_is_fetched_once_and_its_failure_too(server, fetcher):
    good = Source(url=server.add("/a.tar.gz", tarred({"a.txt": "1", "b.txt": "2"})), member="a.txt")
    fetcher.fetch(wanted(good))
    fetcher.fetch(
        Wanted(path="b.txt", form="text", sources=(Source(url=good.url, member="b.txt"),))
    )
    assert len(server.gets("/a.tar.gz")) == 1
    bad = Source(url=f"{server.base}/none.zip", member="a.txt")
    for _ in range(2):
        with pytest.raises(DownloadError):
            fetcher.fetch(wanted(bad))
    assert len(server.gets("/none.zip")) == 1


@pytest.mark.parametrize("kind", ["locked", "method"])
def test_a_zip_that_python_cannot_unpack_is_refused(server, fetcher, kind):
    source = Source(url=server.add("/a.zip", strange_zip("a.txt", kind)), member="a.txt")
    with pytest.raises(DownloadError, match="is no archive that can be read"):
        fetcher.fetch(wanted(source))


def test_a_damaged_member_never_gets_the_name(server, fetcher, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:  # stored, so that the bytes lie open
        packed.writestr("a.txt", "x" * 1000)
    spoilt = buffer.getvalue().replace(b"xxxxx", b"xxyxx", 1)
    source = Source(url=server.add("/a.zip", spoilt), member="a.txt")
    with pytest.raises(DownloadError, match="Bad CRC-32"):
        fetcher.fetch(wanted(source))
    cut = Source(url=server.add("/a.tar.gz", tarred({"a.txt": "x" * 9000})[:-5]), member="a.txt")
    with pytest.raises(DownloadError, match="is no archive that can be read"):
        fetcher.fetch(wanted(cut))
    fetcher.remove_staging()
    assert standing(tmp_path) == []


def test_a_member_that_would_fill_the_disk_is_refused(server, fetcher, monkeypatch):
    monkeypatch.setattr(fetching, "_MAX_MEMBER_BYTES", 999)
    source = Source(url=server.add("/a.zip", zipped({"a.txt": "x" * 1000})), member="a.txt")
    with pytest.raises(DownloadError, match=r"a\.txt would unpack to 1,000 bytes"):
        fetcher.fetch(wanted(source))


def test_a_later_fetcher_goes_on_with_each_places_own_part(server, fetcher, tmp_path):
    content = os.urandom(300_000)
    drops = [Answer(drop_after=100_000), Answer(drop_after=50_000)]
    first = Source(url=server.add("/a", content, *drops))
    second = Source(url=f"{server.base}/none")
    with pytest.raises(DownloadError, match=r"150,000 bytes are kept.*404"):
        fetcher.fetch(wanted(first, second))
    assert len(standing(tmp_path)) == 2
    again = Fetcher(tmp_path, fetcher.settings)
    assert again.num_staged_bytes(wanted(first), again.locate(wanted(first))) == 150_000
    again.fetch(wanted(first, second))
    assert server.gets("/a")[-1] == "bytes=150000-"
    assert (tmp_path / "annotations" / "a.txt").read_bytes() == content


def test_records_are_kept_and_checked(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one")
    manifest = Manifest(tmp_path)
    assert manifest.check("a.txt", rehash=False) is None
    written = manifest.record("a.txt", origin="here", num_frames=3, cut={"settings": {"crf": 18}})
    again = Manifest(tmp_path)
    assert again.get("a.txt") == written
    assert again.check("a.txt", rehash=True) == written
    path.write_text("two!")
    with pytest.raises(DataError, match=r"a\.txt: is not as it was.*\(3 bytes, now 4\)"):
        again.check("a.txt", rehash=False)
    path.unlink()
    assert again.check("a.txt", rehash=False) is None


def test_a_touched_file_is_hashed_and_kept(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one")
    manifest = Manifest(tmp_path)
    manifest.record("a.txt", origin="here")
    os.utime(path, ns=(1, 1))
    assert manifest.check("a.txt", rehash=False) is not None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version": 2, "files": {}}', '{"version": 1, "files": {"a": {"x": 1}}}'],
)
def test_a_manifest_that_is_none_is_named(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json: is no manifest of this command"):
        Manifest(tmp_path)


def test_the_manifest_is_plain_json(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    Manifest(tmp_path).record("a", origin="by hand")
    record = json.loads((tmp_path / "manifest.json").read_text())["files"]["a"]
    assert record["sha256"].startswith("e3b0c44298fc1c14")
    assert (record["num_bytes"], record["origin"]) == (0, "by hand")
