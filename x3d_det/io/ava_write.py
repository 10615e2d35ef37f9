"""AVA's csv files written: whole or not at all, read back as they were."""

import contextlib
import gzip
import os
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from x3d_det.errors import DataError
from x3d_det.io.ava_rows import COORDINATES
from x3d_det.io.files import atomic_write
from x3d_det.keyframes import format_timestamp

if TYPE_CHECKING:
    import pandas as pd

    from x3d_det.io.ava_csv import AvaAnnotations


def write_annotations(
    annotations: "AvaAnnotations | pd.DataFrame",
    path: str | os.PathLike[str],
    *,
    decimals: int = 3,
) -> None:
    """Write annotations in AVA's form, empty keyframes as rows of two columns at the end.

    Args:
        annotations: what `read_annotations` returns, or its `rows` alone. Where no row
            has a person id (all -1 or no such column), seven columns are written.
        path: the file; `.gz` packs it.
        decimals: of the coordinates; AVA has 3, AVA-Kinetics 6.

    Raises:
        DataError: a column is missing, a number not finite, a video id not writable.
    """
    import pandas as pd

    if isinstance(annotations, pd.DataFrame):
        rows, empty = annotations, None
    else:
        rows, empty = annotations.rows, annotations.empty_keyframes
    columns = [*_keys_and_box(rows, path, decimals), _whole(rows, "action_id", path)]
    if "person_id" in rows.columns and (rows["person_id"] >= 0).any():
        columns.append(_whole(rows, "person_id", path))
    lines = [",".join(fields) for fields in zip(*columns, strict=True)]
    if empty is not None:
        lines += [",".join(fields) for fields in zip(*_keys(empty, path), strict=True)]
    _write_lines(lines, path)


def write_proposals(
    rows: "pd.DataFrame", path: str | os.PathLike[str], *, decimals: int = 3
) -> None:
    """Write person boxes in the form of LFB and PySlowFast, the label left empty.

    Args:
        rows: video_id, timestamp, x1, y1, x2, y2, score.
        path: the file; `.gz` packs it.
        decimals: of the coordinates; scores are written in full.

    Raises:
        DataError: as `write_annotations`.
    """
    scores = [repr(float(score)) for score in _finite(rows, "score", path)]
    columns = [*_keys_and_box(rows, path, decimals), [""] * len(rows), scores]
    _write_lines([",".join(fields) for fields in zip(*columns, strict=True)], path)


def write_exclusions(rows: "pd.DataFrame", path: str | os.PathLike[str]) -> None:
    """Write a list of keyframes: video_id and timestamp, four digits where whole.

    Raises:
        DataError: as `write_annotations`.
    """
    _write_lines([",".join(fields) for fields in zip(*_keys(rows, path), strict=True)], path)


def write_detections(rows: "pd.DataFrame", path: str | os.PathLike[str]) -> None:
    """Write detections so that reading them gives the same numbers, to the last bit.

    Args:
        rows: video_id, timestamp, x1, y1, x2, y2, action_id, score.
        path: the file; `.gz` packs it.

    Raises:
        DataError: as `write_annotations`.
    """
    import pyarrow as pa
    from pyarrow import csv

    videos, seconds = _key_columns(rows, path)
    columns = {"video_id": videos, "timestamp": seconds}
    columns |= {name: pa.array(_finite(rows, name, path)) for name in COORDINATES}
    columns["action_id"] = pa.array(_whole_numbers(rows, "action_id", path))
    columns["score"] = pa.array(_finite(rows, "score", path))
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    with _open(path) as file:
        csv.write_csv(pa.table(columns), file, options)


def _key_columns(rows: "pd.DataFrame", path: str | os.PathLike[str]) -> tuple[Any, Any]:
    """Return video ids and written timestamps as arrow arrays, each text made once."""
    import pandas as pd
    import pyarrow as pa

    for name in ("video_id", "timestamp"):
        _column(rows, name, path)
    codes, ids = pd.factorize(rows["video_id"])
    names = [str(name) for name in ids]
    for name in names:
        if not name or any(mark in name for mark in ',"\r\n\0'):
            raise DataError(
                f"{path}: the video id {name!r} cannot be written; it must not be empty "
                "nor hold commas, quotes or line breaks."
            )
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise DataError(f"{path}: row {row} has no video id; every row needs one.")
    stamp_codes, stamps = pd.factorize(_finite(rows, "timestamp", path))
    texts = [format_timestamp(float(stamp)) for stamp in stamps]
    return (
        pa.array(names, pa.string()).take(pa.array(codes)),
        pa.array(texts, pa.string()).take(pa.array(stamp_codes)),
    )


def _keys(rows: "pd.DataFrame", path: str | os.PathLike[str]) -> list[list[str]]:
    videos, seconds = _key_columns(rows, path)
    return [videos.to_pylist(), seconds.to_pylist()]


def _keys_and_box(
    rows: "pd.DataFrame", path: str | os.PathLike[str], decimals: int
) -> list[list[str]]:
    corners = [_finite(rows, name, path).tolist() for name in COORDINATES]
    return _keys(rows, path) + [[f"{value:.{decimals}f}" for value in column] for column in corners]


def _column(rows: "pd.DataFrame", name: str, path: str | os.PathLike[str]) -> "pd.Series":
    if name not in rows.columns:
        have = ", ".join(str(column) for column in rows.columns) or "none"
        raise DataError(f"{path}: the table to write has no column {name}; it has {have}.")
    return rows[name]


def _finite(rows: "pd.DataFrame", name: str, path: str | os.PathLike[str]) -> np.ndarray:
    values = _column(rows, name, path).to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        row = int(bad[0])
        raise DataError(
            f"{path}: {name} of row {row} is {values[row]}; only finite numbers can be written."
        )
    return values


def _whole_numbers(rows: "pd.DataFrame", name: str, path: str | os.PathLike[str]) -> np.ndarray:
    values = _column(rows, name, path).to_numpy()
    if not np.issubdtype(values.dtype, np.integer):
        raise DataError(f"{path}: {name} is of type {values.dtype}; it must be whole numbers.")
    return values


def _whole(rows: "pd.DataFrame", name: str, path: str | os.PathLike[str]) -> list[str]:
    return [str(value) for value in _whole_numbers(rows, name, path).tolist()]


def _write_lines(lines: list[str], path: str | os.PathLike[str]) -> None:
    with _open(path) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


@contextlib.contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Give a file of bytes, packed for `.gz` with no time inside: same rows, same bytes."""
    with atomic_write(path, "wb") as file:
        if str(path).endswith(".gz"):
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0, compresslevel=6) as packed:
                yield packed  # type: ignore[misc]
        else:
            yield file
