"""Detections as tables: parquet and npz beside csv, the reader chosen by the file's suffix.

Columns, one row a detection, names as in `read_detections`:

| column | parquet | npz |
| --- | --- | --- |
| video_id | text (plain or dictionary) | text, or whole numbers that index `video_names` |
| timestamp | seconds of the film, any number | the same |
| x1, y1, x2, y2 | any number, fractions of the frame | the same |
| action_id | whole numbers | the same |
| score | any number; a null is a row without one | any number |

Where there is no column `score`, no row has one.
Further columns are ignored. Rows of two columns, which csv files may have, do not exist here.
"""

import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from x3d_det.errors import DataError
from x3d_det.io.ava_csv import read_detections, write_detections
from x3d_det.io.ava_rows import COORDINATES
from x3d_det.io.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".npz")
"""What a file of detections may end in; any other ending is read as csv."""

_NUMBERS = ("timestamp", *COORDINATES, "action_id", "score")
_VIDEOS = ("video_id", "video_names")
_SHOWN_ROWS = 20


def read_detection_table(path: str | os.PathLike[str]) -> "pd.DataFrame":
    """Return the detections of a file: parquet and npz by their suffix, anything else as csv.

    Returns:
        As `read_detections`; of parquet and npz without `line`.

    Raises:
        DataError: the file cannot be read; a column is missing or of another type; a
            number is not finite; a row has no video id.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".parquet":
        return _read_parquet(path)
    return _read_npz(path) if suffix == ".npz" else read_detections(path)


def write_detection_table(rows: "pd.DataFrame", path: str | os.PathLike[str]) -> None:
    """Write detections so that reading them gives the same numbers, to the last bit.

    Args:
        rows: video_id, timestamp, x1, y1, x2, y2, action_id, score.
        path: the file; its suffix says in which form.

    Raises:
        DataError: a column is missing, a number not finite, an id not whole.
        X3DDetError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".parquet", ".npz"):
        write_detections(rows, path)
        return
    import pandas as pd

    for name in ("video_id", *_NUMBERS):
        if name not in rows.columns:
            have = ", ".join(str(column) for column in rows.columns) or "none"
            raise DataError(f"{path}: the table to write has no column {name}; it has {have}.")
    codes, names = pd.factorize(rows["video_id"])
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        raise DataError(f"{path}: row {row} has no video id; every row needs one.")
    texts = [str(name) for name in names]
    numbers = {name: rows[name].to_numpy() for name in _NUMBERS}
    _check_numbers(path, numbers)
    if suffix == ".parquet":
        _write_parquet(path, codes, texts, numbers)
        return
    with atomic_write(path, "wb") as file:
        small = codes.astype(np.min_scalar_type(max(len(texts) - 1, 0)))
        np.savez(file, video_names=np.array(texts, str), video_id=small, **numbers)  # type: ignore[arg-type]


def _write_parquet(
    path: str | os.PathLike[str], codes: np.ndarray, names: list[str], numbers: dict
) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    videos = pa.DictionaryArray.from_arrays(codes.astype(np.int32), pa.array(names, pa.string()))
    with atomic_write(path, "wb") as file:
        # The scores differ nearly all: a dictionary of them would only cost time.
        parquet.write_table(
            pa.table({"video_id": videos, **numbers}),
            file,
            use_dictionary=["video_id", *_NUMBERS[:-1]],
        )


def _read_parquet(path: str | os.PathLike[str]) -> "pd.DataFrame":
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, read_dictionary=["video_id"]) as file:
            names = file.schema_arrow.names
            _require_columns(path, names)
            wanted = [name for name in _NUMBERS if name in names]
            table = file.read(["video_id", *wanted])
            codes, videos = _text_codes(path, table.column("video_id"))
            columns = {name: _numbers(path, name, table.column(name)) for name in wanted}
    except (pa.ArrowException, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DataError(
            f"cannot read {path} as parquet: {reason}; copy or make the file again."
        ) from error
    return _frame(path, codes, videos, columns)


def _text_codes(
    path: str | os.PathLike[str], column: "pa.ChunkedArray"
) -> tuple[np.ndarray, list[str]]:
    """Return each row's index into the video ids, -1 where it has none, and the ids."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    if not (
        pa.types.is_string(column.type.value_type)
        or pa.types.is_large_string(column.type.value_type)
    ):
        raise DataError(
            f"{path}: the column video_id holds {column.type.value_type}; it must be text."
        )
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # no rows at all
        return np.empty(0, np.int32), []
    codes = whole.indices.fill_null(-1) if whole.null_count else whole.indices
    return codes.to_numpy(zero_copy_only=False), whole.dictionary.to_pylist()


def _numbers(path: str | os.PathLike[str], name: str, column: "pa.ChunkedArray") -> np.ndarray:
    """Return a column's values; a null score is NaN, any other null a fault."""
    import pyarrow as pa

    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise DataError(f"{path}: the column {name} holds {kind}; it must be numbers.")
    if column.null_count and name != "score":
        row = int(np.argmax(column.is_null().to_numpy()))
        raise DataError(
            f"{path}, row {row}: {name} is null ({column.null_count:,} such rows); only a score "
            "may be."
        )
    if column.null_count:
        values = column.cast(pa.float64())
        found = values.drop_null().to_numpy()
        _check_numbers(path, {name: found})
        return values.to_numpy(zero_copy_only=False)
    values = column.to_numpy()
    _check_finite(path, name, values)
    return values


def _read_npz(path: str | os.PathLike[str]) -> "pd.DataFrame":
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            _require_columns(path, list(members))
            wanted = [name for name in (*_VIDEOS, *_NUMBERS) if name in members]
            columns = {name: _npz_array(file, archive, members[name]) for name in wanted}
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, struct.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"cannot read {path} as npz: {error}; it is damaged, cut short or holds objects: "
            "copy it or make it again from plain arrays."
        ) from error
    codes, videos = _npz_videos(path, columns.pop("video_id"), columns.pop("video_names", None))
    for name, values in columns.items():
        if values.shape != codes.shape:
            raise DataError(
                f"{path}: the column {name} is shaped {values.shape}, video_id {codes.shape}; "
                "all must be (N,)."
            )
        if not np.issubdtype(values.dtype, np.integer) and values.dtype.kind != "f":
            raise DataError(f"{path}: the column {name} holds {values.dtype}; it must be numbers.")
    _check_numbers(path, columns)
    return _frame(path, codes, videos, columns)


def _npz_array(file: IO[bytes], archive: zipfile.ZipFile, name: str) -> np.ndarray:
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        with archive.open(info) as member:
            return np.lib.format.read_array(member, allow_pickle=False)
    # As written: straight from the file, five times quicker than through zipfile, which
    # would take a check sum on the way.
    file.seek(info.header_offset)
    name_bytes, extra_bytes = struct.unpack("<26xHH", file.read(30))
    file.seek(name_bytes + extra_bytes, os.SEEK_CUR)
    return np.lib.format.read_array(file, allow_pickle=False)


def _npz_videos(
    path: str | os.PathLike[str], videos: np.ndarray, texts: np.ndarray | None
) -> tuple[np.ndarray, list[str]]:
    import pandas as pd

    if videos.ndim != 1:
        raise DataError(f"{path}: the column video_id is shaped {videos.shape}; it must be (N,).")
    if videos.dtype.kind == "U":
        codes, names = pd.factorize(videos)
        return codes.astype(np.int32), names.tolist()
    if videos.dtype.kind not in "iu":
        raise DataError(
            f"{path}: the column video_id holds {videos.dtype}; it must be text, or whole numbers "
            "that index video_names."
        )
    if texts is None or texts.dtype.kind != "U" or texts.ndim != 1:
        raise DataError(f"{path}: video_id holds numbers, so video_names must hold their texts.")
    names = texts.tolist()
    low, high = (int(videos.min()), int(videos.max())) if len(videos) else (0, -1)
    if low < 0 or high >= len(names):
        raise DataError(
            f"{path}: video_id has {low if low < 0 else high}; video_names has {len(names)} texts, "
            f"so 0 to {len(names) - 1} are allowed."
        )
    if len(set(names)) < len(names):
        raise DataError(f"{path}: video_names repeats a text; each must be there once.")
    return videos.astype(np.int32), names


def _require_columns(path: str | os.PathLike[str], names: list[str]) -> None:
    for name in ("video_id", *_NUMBERS[:-1]):
        if name not in names:
            raise DataError(f"{path} has no column {name}; it has {', '.join(names) or 'none'}.")


def _check_numbers(path: str | os.PathLike[str], columns: dict[str, np.ndarray]) -> None:
    for name, values in columns.items():
        _check_finite(path, name, values)


def _check_finite(path: str | os.PathLike[str], name: str, values: np.ndarray) -> None:
    if name == "action_id" and values.dtype.kind == "f":
        raise DataError(f"{path}: the column action_id holds {values.dtype}; it must be integers.")
    with np.errstate(invalid="ignore", over="ignore"):
        if values.dtype.kind != "f" or np.isfinite(values.sum(dtype=np.float64)):
            return
    rows = np.flatnonzero(~np.isfinite(values))
    if not len(rows):
        return
    shown = ", ".join(f"{row}: {values[row]}" for row in rows[:_SHOWN_ROWS].tolist())
    raise DataError(
        f"{path}: {name} must be a finite number; {len(rows):,} rows are not ({shown}"
        f"{', ...' if len(rows) > _SHOWN_ROWS else ''}; rows count from 0)."
    )


def _frame(
    path: str | os.PathLike[str],
    codes: np.ndarray,
    names: list[str],
    columns: dict[str, np.ndarray],
) -> "pd.DataFrame":
    import pandas as pd

    missing = codes < 0
    if missing.any():
        raise DataError(
            f"{path}, row {int(np.argmax(missing))}: there is no video id "
            f"({int(missing.sum()):,} such rows)."
        )
    columns.setdefault("score", np.full(len(codes), np.nan))
    types = dict.fromkeys(_NUMBERS, np.float64) | {"action_id": np.int64}
    data = {name: columns[name].astype(kind, copy=False) for name, kind in types.items()}
    videos = pd.Categorical.from_codes(codes, pd.Index(names, dtype=object))
    rows = pd.DataFrame({"video_id": videos, **data}, copy=False)
    rows.attrs["path"] = str(path)
    rows.attrs["num_unscored"] = int(np.isnan(data["score"]).sum())
    rows.attrs["keyframe_lines"] = ()
    return rows
