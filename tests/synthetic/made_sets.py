"""Folders of made sets: which files they hold, and whether two are the same."""

import hashlib
import json
from pathlib import Path

import av
import numpy as np


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of all files, by their paths from the folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pictures(path: Path) -> np.ndarray:
    """Return all frames of a video: (T, H, W, 3) uint8 RGB."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def assert_same_set(found: Path, expected: Path) -> None:
    """Compare all bytes of two made sets.

    Videos of other bytes must show the same, all but for the last bits of the coding: on a busy
    machine x264 (in PyAV 18.1) now and then codes the very same frames otherwise, in a pair that
    was looked at by 0.01 of 255 on average, where one picture differs from the next by 6.
    """
    digests_found, digests_expected = digests(found), digests(expected)
    assert digests_found.keys() == digests_expected.keys()
    others = {name for name in digests_found if digests_found[name] != digests_expected[name]}
    videos = {name for name in others if name.endswith(".mp4")}
    for name in videos:
        one, other = (pictures(folder / name).astype(np.float32) for folder in (found, expected))
        assert np.abs(one - other).mean(axis=(1, 2, 3)).max() < 0.5, name
    if others - videos:
        assert others - videos == {"manifest.json"}
        assert _without(videos, found) == _without(videos, expected)


def _without(videos: set[str], folder: Path) -> dict[str, object]:
    """Return the manifest without the hashes of these videos."""
    manifest: dict[str, dict[str, str]] = json.loads((folder / "manifest.json").read_text())
    hashes = {name: value for name, value in manifest["sha256"].items() if name not in videos}
    return {**manifest, "sha256": hashes}
