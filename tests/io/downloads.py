"""A file to download, with little waiting, and what then lies in a folder."""

import hashlib
from pathlib import Path

from http_server import Answer

from x3d_det.io.download import download

CONTENT = bytes(range(256)) * 1024  # 262,144 bytes: four chunks of the client
SHA256 = hashlib.sha256(CONTENT).hexdigest()
DROP = Answer(drop_after=100_000)


def fetch(url: str, path: Path, **options):
    return download(url, path, **{"first_wait_seconds": 0.01, "timeout_seconds": 2, **options})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
