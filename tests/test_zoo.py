"""The zoo: what is listed agrees with our models, and files come whole, verified, once."""

import dataclasses
import functools
import hashlib
import logging
import multiprocessing
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_server import Answer, Server, serving

from x3d_det.errors import CheckpointError
from x3d_det.io.download import DownloadError
from x3d_det.models import X3D_SPECS
from x3d_det.models.complexity import classifier_complexity
from x3d_det.zoo import (
    ZOO,
    PublishedScore,
    cache,
    default_cache,
    entries,
    take_copy,
    weights_path,
    zoo_entry,
)

CONTENT = b"PK\x03\x04" + bytes(range(256)) * 8
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = "x3d_m_kinetics400"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("x3d_det.io.download.time.sleep", lambda seconds: None)


# What the zoo says


_complexity = functools.cache(classifier_complexity)  # many entries are of one model


@pytest.mark.parametrize(
    "name",
    [
        # L takes a second or two, and tests/models holds its counts as well
        pytest.param(name, marks=[pytest.mark.slow] if entry.model == "l" else [])
        for name, entry in ZOO.items()
    ],
)
def test_costs_are_those_of_our_model_in_that_layout(name: str):
    entry = ZOO[name]
    spec = dataclasses.replace(
        X3D_SPECS[entry.model], num_frames=entry.num_frames, crop_size=entry.crop_size
    )
    # PyTorchVideo alone has no BatchNorm on the shortcut of res2's first block
    has_norm = entry.layout != "pytorchvideo"
    found = _complexity(spec, num_classes=entry.num_classes, shortcut_norm_when_same_width=has_norm)
    assert (found.multiply_adds, found.parameters) == (entry.multiply_adds, entry.parameters)


def test_clips_are_those_of_the_specs_where_the_publisher_keeps_to_them():
    for entry in ZOO.values():
        spec = X3D_SPECS[entry.model]
        assert entry.crop_size == spec.crop_size
        if entry.layout != "x3d_multigrid" or entry.name.endswith("_fair"):
            assert entry.num_frames == spec.num_frames
            assert entry.sampling_stride == spec.sampling_stride


def test_every_entry_is_complete_and_distinct():
    layouts = {"pyslowfast", "pytorchvideo", "mmaction2", "x3d_multigrid", "efficient_x3d"}
    for name, entry in ZOO.items():
        assert entry.name == name
        assert re.fullmatch(rf"x3d_{entry.model}_{entry.dataset}(_[a-z0-9]+)*", name)
        assert re.fullmatch(r"https://[a-z.]+/\S+\.(pyth|pth|pt)", entry.url)
        assert entry.url.endswith(f"/{entry.file_name}")
        assert re.fullmatch(r"https://github\.com/\S+/blob/[0-9a-f]{40}/\S+\.md", entry.source)
        assert entry.scores
        assert entry.licence in ("Apache-2.0", "MIT")
        assert entry.sha256 is None or entry.sha256 in entry.file_name
    assert {entry.layout for entry in ZOO.values()} == layouts
    places = {str(entry.relative_path).lower() for entry in ZOO.values()}
    assert len(places) == len(ZOO), "two files would share a place where capitals do not count"
    assert len({entry.url for entry in ZOO.values()}) == len(ZOO)


def test_the_layouts_are_those_that_checkpoints_know():
    from x3d_det.checkpoints import LAYOUTS

    assert {entry.layout for entry in ZOO.values()} <= set(LAYOUTS)


def test_scores_in_words():
    score = PublishedScore(protocol="10 x 3 views", top1=75.94, top5=92.72)
    assert score.text() == "75.94 % top-1, 92.72 % top-5 (10 x 3 views)"
    assert PublishedScore(protocol="each frame", mean_ap=17.71).text() == "17.71 % mAP (each frame)"


# Names and paths


def test_a_path_comes_back_as_it_is(tmp_path: Path):
    file = tmp_path / "own weights"
    file.write_bytes(b"")
    assert weights_path(file) == file
    assert weights_path(str(file)) == file


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("x3d_m_kinetics4000", "'x3d_m_kinetics4000'.*did you mean x3d_m_kinetics400?"),
        ("m", "no name of the zoo; known are x3d_xs_kinetics400, x3d_s_kinetics400"),
        ("runs/model.safetensors", "runs/model.safetensors: does not exist"),
        ("x3d_m_kinetics400.pyth", "does not exist.*did you mean x3d_m_kinetics400?"),
        (".", r"weights \.: is a folder"),
    ],
)
def test_what_is_neither_name_nor_file(given: str, expected: str):
    with pytest.raises(CheckpointError, match=expected):
        weights_path(given)


def test_the_cache_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("X3D_DET_WEIGHTS", str(tmp_path / "w"))
    assert default_cache() == tmp_path / "w"
    monkeypatch.delenv("X3D_DET_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "x3d_det" / "weights"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "x3d_det" / "weights"


# Downloads


def test_the_publishers_own_url_is_asked_where_there_is_no_mirror(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("X3D_DET_WEIGHTS_MIRROR", raising=False)
    url = server.add("/published/x3d_m.pyth", CONTENT)
    moved = dataclasses.replace(ZOO[NAME], url=url)
    monkeypatch.setattr(entries, "ZOO", {NAME: moved})
    assert weights_path(NAME, cache=tmp_path).read_bytes() == CONTENT


def test_a_broken_download_is_resumed_recorded_and_kept(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, no_waiting: None
):
    server.add("/pyslowfast/x3d_m.pyth", CONTENT, Answer(drop_after=700), Answer(status=503))
    with caplog.at_level(logging.WARNING, "x3d_det"):
        path = weights_path(NAME, cache=tmp_path, mirror=server.base)
    assert path == tmp_path / "pyslowfast" / "x3d_m.pyth"
    assert path.read_bytes() == CONTENT
    assert server.gets("/pyslowfast/x3d_m.pyth") == [None, "bytes=700-", "bytes=700-"]
    record = path.with_name("x3d_m.pyth.sha256")
    assert record.read_text() == f"{DIGEST}  x3d_m.pyth\n"
    assert f"{DIGEST}, was recorded in {record}" in caplog.text
    asked = len(server.requests)
    assert weights_path(NAME, cache=tmp_path, mirror=server.base) == path
    assert len(server.requests) == asked


def test_another_file_than_at_first_is_refused(server: Server, tmp_path: Path):
    server.add("/pyslowfast/x3d_m.pyth", CONTENT)
    path = weights_path(NAME, cache=tmp_path, mirror=server.base + "/")
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(
        DownloadError, match=f"stands already, but is another file.*expected {DIGEST}"
    ):
        weights_path(NAME, cache=tmp_path, mirror=server.base)
    path.unlink()
    server.add("/pyslowfast/x3d_m.pyth", CONTENT + b"!")
    with pytest.raises(DownloadError, match=rf"{DIGEST}.*What it must be stands in {path}\.sha256"):
        weights_path(NAME, cache=tmp_path, mirror=server.base)
    assert not path.exists()


def test_a_publishers_hash_is_held_to_at_the_first_use(server: Server, tmp_path: Path):
    entry = ZOO["x3d_m_kinetics400_mmaction2"]
    server.add(f"/mmaction2/{entry.file_name}", CONTENT)
    with pytest.raises(
        DownloadError, match=r"expected 3f42382a.*download_weights.py x3d_m_k.* --from FILE"
    ):
        weights_path(entry.name, cache=tmp_path, mirror=server.base)
    assert list((tmp_path / "mmaction2").glob("x3d*")) == []


def test_a_page_in_place_of_the_file_is_not_recorded(server: Server, tmp_path: Path):
    server.add("/pyslowfast/x3d_m.pyth", b"<!DOCTYPE html><p>please log in")
    with pytest.raises(DownloadError, match=r"begins with b'<!DOCTYPE html>.*it was removed"):
        weights_path(NAME, cache=tmp_path, mirror=server.base)
    assert list((tmp_path / "pyslowfast").glob("x3d_m*")) == []
    own = tmp_path / "pyslowfast" / "x3d_m.pyth"
    own.write_bytes(b"of the user")
    with pytest.raises(DownloadError, match=r"begins with b'of the user', which no weights"):
        weights_path(NAME, cache=tmp_path, mirror=server.base)
    assert own.read_bytes() == b"of the user"


def test_a_cache_serves_as_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = tmp_path / "first" / "pyslowfast" / "x3d_m.pyth"
    first.parent.mkdir(parents=True)
    first.write_bytes(CONTENT)
    monkeypatch.setenv("X3D_DET_WEIGHTS_MIRROR", str(tmp_path / "first"))
    monkeypatch.setenv("X3D_DET_WEIGHTS", str(tmp_path / "second"))
    path = weights_path(NAME)
    assert path == tmp_path / "second" / "pyslowfast" / "x3d_m.pyth"
    assert path.read_bytes() == CONTENT
    with pytest.raises(DownloadError, match=str(tmp_path / "first" / "pyslowfast" / "x3d_s.pyth")):
        weights_path("x3d_s_kinetics400")


def test_a_users_copy(tmp_path: Path):
    copy, cache = tmp_path / "down 100%.pyth", tmp_path / "cache"
    copy.write_bytes(CONTENT)
    path = take_copy(zoo_entry(NAME), copy, cache=cache)
    assert path.read_bytes() == CONTENT
    assert take_copy(zoo_entry(NAME), copy, cache=cache) == path
    copy.write_bytes(CONTENT + b"!")
    with pytest.raises(DownloadError, match=f"{path}: stands already, and is another.*{copy}"):
        take_copy(zoo_entry(NAME), copy, cache=cache)
    with pytest.raises(CheckpointError, match=r"gone\.pyth: no such file; name a copy of https:"):
        take_copy(zoo_entry(NAME), tmp_path / "gone.pyth", cache=cache)


def _weights_in_a_process(cache: str, mirror: str) -> str:
    return str(weights_path(NAME, cache=cache, mirror=mirror))


def test_processes_that_want_the_same_file_take_turns(server: Server, tmp_path: Path):
    server.add("/pyslowfast/x3d_m.pyth", CONTENT, Answer(pause_seconds=0.5))
    with multiprocessing.get_context("fork").Pool(3) as pool:
        paths = pool.starmap(_weights_in_a_process, [(str(tmp_path), server.base)] * 3)
    assert paths == [str(tmp_path / "pyslowfast" / "x3d_m.pyth")] * 3
    assert server.gets("/pyslowfast/x3d_m.pyth") == [None]


def test_a_read_only_cache_serves_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "pyslowfast" / "x3d_m.pyth"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    path.with_name("x3d_m.pyth.sha256").write_text(f"{DIGEST}  x3d_m.pyth\n")

    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache, "open", refuse, raising=False)
    assert weights_path(NAME, cache=tmp_path) == path
