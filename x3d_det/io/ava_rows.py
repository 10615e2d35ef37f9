"""Rows of AVA's csv files as columns of numbers, by the fast reader of pyarrow.

The fast reader knows only whether a file is in order. Where it is not, or holds
rows of several forms, `ava_lines` reads it line by line and names every fault.
"""

import gzip
import os
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from x3d_det.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

COORDINATES = ("x1", "y1", "x2", "y2")
CLIP_TOLERANCE = 1e-3
"""Coordinates this far outside [0, 1] are rounding and are clipped; further ones are faults."""

MAX_PERSON_ID = 1 << 53
"""Beyond it float64 no longer tells whole numbers apart."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""A decimal number as csv files write it: no blanks, no underscores, no nan."""

WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
"""A whole number: decimal digits alone, where arrow would take `0x1f` too."""

BLANKS = " \t"
"""What may stand round a number."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True)
class RowForm:
    """What the rows of one kind of file hold.

    Args:
        kind: for messages, as in "annotations".
        columns: the whole row's column names, the first six being video_id,
            timestamp and the box; only `video_id, timestamp` for a list of keyframes.
        widths: numbers of columns that a row may have; the last column may be
            left out, and 2 is a row that only names a keyframe.
    """

    kind: str
    columns: tuple[str, ...]
    widths: tuple[int, ...]

    @property
    def tail(self) -> str | None:
        """Name of the eighth column."""
        return self.columns[7] if len(self.columns) > 7 else None


_BOX = ("video_id", "timestamp", *COORDINATES)
ANNOTATIONS = RowForm("annotations", (*_BOX, "action_id", "person_id"), (2, 7, 8))
DETECTIONS = RowForm("detections", (*_BOX, "action_id", "score"), (2, 7, 8))
PROPOSALS = RowForm("person boxes", (*_BOX, "label", "score"), (8,))
KEYFRAMES = RowForm("keyframes", ("video_id", "timestamp"), (2,))


@dataclass
class RawTable:
    """Columns of one file, rows in the file's order.

    Args:
        video_names: the ids that occur, each once.
        video_codes: (N,) int32, index into `video_names`.
        timestamps: (N,) float64, seconds.
        boxes: x1, y1, x2, y2, each (N,) float64.
        labels: (N,) int64, the seventh column; -1 where it is empty (person boxes).
        tails: (N,) float64, the eighth column, NaN where a row has none.
        lines: (N,) int64, 1-based line numbers.
        keyframe_rows: rows of two columns: (video id, timestamp, line).
        unreadable_person_lines: lines whose person id is no number (tolerant reading).
    """

    video_names: list[str]
    video_codes: np.ndarray
    timestamps: np.ndarray
    boxes: list[np.ndarray]
    labels: np.ndarray
    tails: np.ndarray
    lines: np.ndarray
    keyframe_rows: list[tuple[str, float, int]] = field(default_factory=list)
    unreadable_person_lines: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.lines)


def empty_table() -> RawTable:
    """Return a table of no rows."""
    floats = np.empty(0)
    whole = np.empty(0, np.int64)
    return RawTable([], np.empty(0, np.int32), floats, [floats] * 4, whole, floats, whole)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return a file's bytes, unpacked where its name ends in `.gz`.

    Raises:
        DataError: it cannot be read or unpacked.
    """
    try:
        if str(path).endswith(".gz"):
            with gzip.open(path) as packed:
                return packed.read()
        with open(path, "rb") as file:
            return file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path} cannot be unpacked ({error}): it is damaged, cut short or no gzip file; "
            "copy or make it again."
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}.") from error


def read_fast(path: str | os.PathLike[str], form: RowForm) -> RawTable | None:
    """Return the file's rows, or None where only the line-by-line reader can tell.

    None says: some line has another number of columns, or is blank, quoted, not
    UTF-8 or not a number. Values are not checked. Decimal numbers are rounded
    correctly, as Python's `float` does.
    """
    import pyarrow as pa

    first_line = _first_line(path)
    width = first_line.count(b",") + 1
    if width == 2 or width not in form.widths or first_line.startswith(_BYTE_ORDER_MARK):
        return None
    columns = form.columns[:width]
    types: dict[str, pa.DataType] = dict.fromkeys(columns, pa.float64())
    types["video_id"] = pa.dictionary(pa.int32(), pa.string())
    types[columns[6]] = pa.dictionary(pa.int32(), pa.string())
    keyframe_rows: list[tuple[str, float, int]] = []
    try:
        try:
            table = _read_arrow(path, columns, types)
        except pa.ArrowInvalid:
            if 2 not in form.widths or not _is_utf8(path):
                return None
            table = _read_arrow(path, columns, types, keyframe_rows)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, EOFError):
        return None  # the line-by-line reader finds and names the fault
    arrays = [table.column(name) for name in columns]
    del table
    return _to_numpy(arrays, keyframe_rows, may_lack_label=form is PROPOSALS)


def _first_line(path: str | os.PathLike[str]) -> bytes:
    try:
        if str(path).endswith(".gz"):
            with gzip.open(path) as packed:
                return packed.readline(1 << 16)
        with open(path, "rb") as file:
            return file.readline(1 << 16)
    except (EOFError, zlib.error, OSError):
        return b""  # read_bytes says what is wrong with it


def _is_utf8(path: str | os.PathLike[str]) -> bool:
    try:
        read_bytes(path).decode("utf-8")
    except (UnicodeDecodeError, DataError):
        return False
    return True


def _read_arrow(
    path: str | os.PathLike[str],
    columns: tuple[str, ...],
    types: "dict[str, pa.DataType]",
    keyframe_rows: list[tuple[str, float, int]] | None = None,
) -> "pa.Table":
    """Return the arrow table of a file.

    Args:
        path: the file.
        columns: of its rows.
        types: of the columns.
        keyframe_rows: where rows of two columns are put (video id, timestamp, line);
            None makes them an error. Only a single thread knows their lines.

    Raises:
        pa.ArrowInvalid: a row of another width, or not of the types.
    """
    from pyarrow import csv

    def take(row: csv.InvalidRow) -> str:
        video_id, _, second = row.text.partition(",")
        if keyframe_rows is None or row.actual_columns != 2 or '"' in row.text:
            return "error"
        second = second.strip(BLANKS)
        if not NUMBER.fullmatch(second):
            return "error"
        keyframe_rows.append((video_id, float(second), row.number))
        return "skip"

    return csv.read_csv(
        str(path),
        read_options=csv.ReadOptions(
            column_names=list(columns), use_threads=keyframe_rows is None, block_size=_BLOCK_BYTES
        ),
        parse_options=csv.ParseOptions(
            quote_char=False,
            ignore_empty_lines=False,
            invalid_row_handler=None if keyframe_rows is None else take,
        ),
        convert_options=csv.ConvertOptions(
            column_types=types, null_values=[], strings_can_be_null=False
        ),
    )


def _to_numpy(
    arrays: list, keyframe_rows: list[tuple[str, float, int]], *, may_lack_label: bool
) -> RawTable | None:
    """Unpack arrow columns one by one, letting each go before the next is copied."""
    import pyarrow as pa

    arrays.reverse()
    videos = arrays.pop().unify_dictionaries().combine_chunks()
    if videos.null_count:
        return None
    names = videos.dictionary.to_pylist()
    if any('"' in name for name in names):
        return None
    codes = videos.indices.to_numpy()
    del videos
    columns: list[np.ndarray] = []
    while arrays:
        column = arrays.pop()
        if column.null_count:
            return None
        if len(columns) == 5:
            labels = _labels(column, may_lack_label=may_lack_label)
            if labels is None:
                return None
            columns.append(labels)
        else:
            columns.append(column.to_numpy())
        del column
        pa.default_memory_pool().release_unused()
    if len(columns) > 6 and np.isnan(columns[6]).any():
        return None  # written as "nan": not the same as absent
    tails = columns[6] if len(columns) > 6 else np.full(len(codes), np.nan)
    lines = np.arange(1, len(codes) + len(keyframe_rows) + 1, dtype=np.int64)
    if keyframe_rows:
        lines = np.delete(lines, [line - 1 for *_, line in keyframe_rows])
    return RawTable(names, codes, columns[0], columns[1:5], columns[5], tails, lines, keyframe_rows)


def _labels(column: "pa.ChunkedArray", *, may_lack_label: bool) -> np.ndarray | None:
    """Return the whole numbers of a column of few different texts; an empty one is -1."""
    encoded = column.unify_dictionaries().combine_chunks()
    values = []
    for text in encoded.dictionary.to_pylist():
        number = text.strip(BLANKS)
        if not number and may_lack_label:
            values.append(-1)
        elif WHOLE.fullmatch(number):
            values.append(int(number))
        else:
            return None
    return np.array(values, np.int64)[encoded.indices.to_numpy()]
