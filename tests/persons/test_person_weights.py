"""Published weights of person detectors, from a server on loopback."""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from detector_files import DETECTOR
from http_server import Server, serving

from x3d_det.errors import CheckpointError
from x3d_det.io.download import DownloadError
from x3d_det.io.published import PublishedFile
from x3d_det.persons import torchvision_detector
from x3d_det.persons.detector import PersonDetectorOptions
from x3d_det.persons.torchvision_detector import TorchvisionPersonDetector
from x3d_det.persons.weights import fetched_weights


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def test_published_weights_are_fetched_once_and_checked_ever_after(server: Server, tmp_path: Path):
    url = server.add("/w.pth", b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    published = PublishedFile(url=url, path=tmp_path / "cache" / "w.pth", sha256=digest[:8])
    file = fetched_weights(published)
    assert (file.path, file.sha256) == (published.path, digest)
    num_asked = len(server.requests)
    assert num_asked >= 1
    assert fetched_weights(published) == file
    assert len(server.requests) == num_asked, "a file that is there must not be fetched again"
    published.path.write_bytes(b"weightz")
    with pytest.raises(
        DownloadError, match=rf"{digest[:8]}.*put {published.url} at {published.path} by hand"
    ):
        fetched_weights(published)
    assert published.path.read_bytes() == b"weightz", "a user's file must not be removed"


def test_without_a_published_hash_the_first_one_counts(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    url = server.add("/w.pkl", b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    path = tmp_path / "w.pkl"
    published = PublishedFile(url=url, path=path, sha256=None)
    with caplog.at_level(logging.WARNING, "x3d_det"):
        fetched_weights(published)
    record = tmp_path / "w.pkl.sha256"
    assert record.read_text() == f"{digest}  w.pkl\n"
    assert f"the one found, {digest}, was recorded in {record}" in caplog.text
    caplog.clear()
    assert fetched_weights(published).sha256 == digest
    assert caplog.text == ""
    path.unlink()
    server.add("/w.pkl", b"others")
    with pytest.raises(DownloadError, match=f"{digest}.*What it must be stands in {record}"):
        fetched_weights(published)
    assert not path.exists()
    record.write_text("no hash")
    with pytest.raises(DownloadError, match=f"{record}: holds no SHA-256; delete it"):
        fetched_weights(published)
    record.unlink()
    path.write_bytes(b"weights")
    assert fetched_weights(published, sha256=digest[:10]).sha256 == digest
    with pytest.raises(CheckpointError, match="not 0123456789"):
        fetched_weights(published, sha256="0123456789")


def test_weights_that_cannot_be_had_end_in_one_message(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    url = f"{server.base}/gone.pth"
    path = tmp_path / "cache" / "gone.pth"
    published = PublishedFile(url=url, path=path, sha256="0" * 8)
    monkeypatch.setattr(torchvision_detector, "published_torchvision_weights", lambda _: published)
    with pytest.raises(DownloadError) as caught:
        TorchvisionPersonDetector(PersonDetectorOptions(model=DETECTOR))
    text = str(caught.value)
    assert "404" in text
    assert f"put {url} at {path} by hand, or name a copy of it with --weights" in text
    assert "\n" not in text
    assert not path.exists()
