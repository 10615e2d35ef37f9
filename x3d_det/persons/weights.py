"""Weights of person detectors: found or fetched, hashed, read without running anything in them.

A detector with half its weights gives boxes too, wrong ones. So a file that does not fill the
model exactly is refused.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file as load_safetensors
from torch import Tensor

from x3d_det.errors import CheckpointError
from x3d_det.io.files import sha256_file
from x3d_det.io.published import PublishedFile, fetch_published
from x3d_det.io.safe_pickle import load_plain_pickle
from x3d_det.io.torch_zip import load_torch_file
from x3d_det.io.weights import WeightsReport
from x3d_det.progress import ProgressLine

# What torch.save wrote before version 1.6 begins with this number, pickled.
_LEGACY_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_SUFFIXES = (".pth", ".pt", ".pkl", ".safetensors")


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """A file of weights on this machine, verified as far as anything is known of it."""

    path: Path
    sha256: str
    """64 hexadecimal digits, of the bytes that are there."""


def local_weights(path: str | Path, *, sha256: str | None = None) -> WeightsFile:
    """Return a user's own file.

    Args:
        path: of the file.
        sha256: what its SHA-256 must be, or begin with; None: anything.

    Raises:
        CheckpointError: it is missing, no file, of an unknown kind, or another than `sha256`.
    """
    path = Path(path)
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise CheckpointError(f"weights {path}: {found}; name a file with --weights.")
    if path.suffix.lower() not in _SUFFIXES:
        raise CheckpointError(
            f"weights {path}: the name ends in {path.suffix!r}; known are {', '.join(_SUFFIXES)}."
        )
    try:
        found = sha256_file(path)
    except OSError as error:
        raise CheckpointError(f"weights {path}: cannot be read: {error.strerror}.") from error
    if sha256 is not None and not found.startswith(sha256.lower()):
        raise CheckpointError(
            f"weights {path}: the SHA-256 is {found}, not {sha256}; it is another file or damaged."
        )
    return WeightsFile(path=path, sha256=found)


def fetched_weights(published: PublishedFile, *, sha256: str | None = None) -> WeightsFile:
    """Return a published file: the one kept here from before, else fetched from the web.

    Args:
        published: where it is on the web, and here.
        sha256: what its SHA-256 must be, or begin with, beside what is published or recorded.

    Raises:
        DownloadError: it cannot be had, or is another file; names URL, path, and the way out.
        CheckpointError: another than `sha256`.
    """
    label = f"downloading {published.path.name}"
    with ProgressLine(label, None, unit="MB", decimals=1) as line:
        fetch_published(
            published,
            sha256=sha256,
            other_way="name a copy of it with --weights",
            progress=lambda done, total: line.update(
                done / 1e6, total=None if total is None else total / 1e6
            ),
        )
    return local_weights(published.path, sha256=sha256)


def read_weights(path: Path) -> dict[str, Any]:
    """Return what a file of weights holds, on the CPU; nothing of it is run.

    Args:
        path: a .pth or .pt of torch.save, a .pkl of plain data, or a .safetensors.

    Raises:
        CheckpointError: damaged, unsafe, or no dict.
        DataError: a pickle that is damaged or asks for more than plain data.
    """
    suffix = path.suffix.lower()
    content: object
    if suffix == ".pkl":
        content = load_plain_pickle(path)
    elif suffix == ".safetensors":
        content = _read_safetensors(path)
    elif _is_legacy(path):
        content = _read_legacy(path)
    else:
        content = load_torch_file(path)
    if not isinstance(content, dict):
        raise CheckpointError(
            f"weights {path}: hold a {type(content).__name__}; names with arrays are needed."
        )
    return content


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_safetensors(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"weights {path}: damaged, or no safetensors file: {error}."
        ) from error


def _is_legacy(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(_LEGACY_TORCH_MAGIC)) == _LEGACY_TORCH_MAGIC


def _read_legacy(path: Path) -> object:
    """Read the format before torch 1.6: torchvision's oldest detector is still published in it."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage may surface as nearly any exception
        asked = re.search(r"GLOBAL (\S+)", str(error))
        fault = f"asks for {asked[1]}" if asked else "is damaged"
        raise CheckpointError(
            f"weights {path}: the file (of a torch before 1.6) {fault}; weights may hold tensors, "
            "numbers, text, lists and dicts only. It is refused and nothing of it was run."
        ) from error


def check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Let weights pass that are numbers.

    Raises:
        CheckpointError: one is NaN or infinite; such a detector finds nothing, and says nothing.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(f"weights {path}: {name} has values that are NaN or infinite.")


def check_fit(
    path: Path,
    model: str,
    *,
    names: Iterable[str],
    missing: Iterable[str],
    unexpected: Iterable[str],
    wrong_shape: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]],
) -> None:
    """Let weights pass that filled their model exactly.

    Args:
        path: of the file.
        model: its name, for the message.
        names: all weights of the model.
        missing: the model's that the file lacks.
        unexpected: the file's that the model lacks.
        wrong_shape: name to (shape in the file, shape in the model).

    Raises:
        CheckpointError: anything is missing, unexpected or of another shape.
    """
    lacking = {*missing, *wrong_shape}
    report = WeightsReport(
        matched=tuple(name for name in names if name not in lacking),
        missing=tuple(sorted(lacking.difference(wrong_shape))),
        unexpected=tuple(sorted(unexpected)),
        wrong_shape=dict(wrong_shape),
    )
    if not report.complete:
        raise CheckpointError(
            f"weights {path} do not fit model {model}: {report.text()}. A detector that is loaded "
            "in part finds rubbish, so the file is refused; name the model that it was made for."
        )
