"""A cut for tools/prepare_ava.py to make, and what it leaves: files, frames."""

from pathlib import Path

import av

CUT = ("--cut", "--cut-seconds", 1, 3)


def files_below(folder: Path) -> list[str]:
    """Return all files of a folder, as paths from it."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def frames_of(path: Path) -> list[float]:
    """Count frames and read their times with PyAV alone."""
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]
