"""The files of one split as tables, every fault of their rows noted, keyframes numbered.

Shape suffixes in this folder: F keyframes, N rows of a file, M boxes of it (rows with the same
keyframe and corners are one box), P pairs.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from x3d_det.checks.findings import Finding, Severity, of_error, of_row_faults, shown
from x3d_det.errors import X3DDetError
from x3d_det.evaluation.keyframe_index import KeyframeIndex, index_keyframes
from x3d_det.formats.person_boxes import read_person_boxes
from x3d_det.io.ava_csv import (
    COORDINATES,
    AvaAnnotations,
    check_annotations,
    check_exclusions,
    check_proposals,
)
from x3d_det.io.film_time import FilmTime
from x3d_det.keyframes import Keyframe

_KEYS = ["video_id", "timestamp"]
_BOX = ["keyframe", *COORDINATES]


@dataclass(frozen=True, kw_only=True)
class SplitFiles:
    """Where the tables of a split are, and what the config does with them."""

    name: str
    """`train` or `val`."""
    annotations: Path
    person_boxes: Path | None = None
    exclusions: Path | None = None
    uses_person_boxes: bool = False
    """Training or evaluation reads them; faults of an unused file are warnings."""
    uses_exclusions: bool = False
    time: FilmTime = field(default_factory=FilmTime)
    """What the timestamps of the tables count."""


@dataclass(frozen=True)
class SplitTables:
    """The rows of one split that are in order.

    Args:
        files: where they are.
        annotations: as `io.ava_csv.read_annotations` has it; no rows where there is no file.
        person_boxes: as `io.ava_csv.read_proposals` has it; None where there is no file.
        exclusions: keyframes left out; None where there is no file.
    """

    files: SplitFiles
    annotations: AvaAnnotations
    person_boxes: pd.DataFrame | None
    exclusions: pd.DataFrame | None

    @functools.cached_property
    def index(self) -> KeyframeIndex:
        """Keyframes of annotations, empty keyframes, person boxes and exclusions, in this order."""
        none = self.annotations.empty_keyframes.iloc[:0]
        tables = [self.annotations.rows, self.annotations.empty_keyframes]
        tables += [none if t is None else t for t in (self.person_boxes, self.exclusions)]
        return index_keyframes([table[_KEYS] for table in tables])

    @functools.cached_property
    def box_of_row(self) -> np.ndarray:
        """(N,) for each annotation row the number of its box."""
        return _box_numbers(self.annotations.rows, self.index.keyframes[0])

    @functools.cached_property
    def boxes(self) -> pd.DataFrame:
        """The annotated boxes (M rows): keyframe, x1, y1, x2, y2, line of the first row."""
        is_first = ~pd.Series(self.box_of_row).duplicated().to_numpy()
        rows = self.annotations.rows
        first = rows.loc[is_first, [*COORDINATES, "line"]].reset_index(drop=True)
        first.insert(0, "keyframe", self.index.keyframes[0][is_first])
        return first

    @functools.cached_property
    def detected(self) -> pd.DataFrame:
        """The person boxes with their keyframe, score and line; none where there is no file."""
        rows = self.person_boxes
        if rows is None:
            rows = pd.DataFrame(columns=[*COORDINATES, "score", "line"], dtype=np.float64)
        table = rows[[*COORDINATES, "score", "line"]].reset_index(drop=True)
        table.insert(0, "keyframe", self.index.keyframes[2])
        return table

    def keyframe(self, number: int) -> Keyframe:
        """Return video and second of a keyframe number."""
        index = self.index
        return Keyframe(index.video_names[index.videos[number]], float(index.seconds[number]))

    def has(self, table: int) -> np.ndarray:
        """Return (F,) whether a keyframe occurs in this table of the index."""
        occurs_F = np.zeros(self.index.size, np.bool_)
        occurs_F[self.index.keyframes[table]] = True
        return occurs_F

    def spans(self, chosen_F: np.ndarray) -> dict[str, tuple[float, float, int]]:
        """Return video id -> first second, last second and number of the chosen keyframes."""
        index = self.index
        table = pd.DataFrame({"video": index.videos[chosen_F], "second": index.seconds[chosen_F]})
        spans = table.groupby("video")["second"].agg(["min", "max", "size"])
        names = [index.video_names[video] for video in spans.index.to_numpy()]
        columns = (spans[name].tolist() for name in ("min", "max", "size"))
        return dict(zip(names, zip(*columns, strict=True), strict=True))


def read_split(files: SplitFiles) -> tuple[SplitTables, list[Finding]]:
    """Return the rows of a split's files that are in order, and every fault of the others."""
    findings: list[Finding] = []
    annotations = _no_annotations(files.annotations)
    if _is_there(files.annotations, f"the {files.name} annotations", "error", findings):
        try:
            annotations, faults = check_annotations(files.annotations)
            findings += of_row_faults(faults)
        except X3DDetError as error:
            findings += of_error(error, files.annotations, "unreadable_file")
        annotations = replace(
            annotations,
            rows=_in_seconds(annotations.rows, files, files.annotations, "error", findings),
            empty_keyframes=_in_seconds(
                annotations.empty_keyframes, files, files.annotations, "error", findings
            ),
        )
    person_boxes = exclusions = None
    used: Severity = "error" if files.uses_person_boxes else "warning"
    what = f"the {files.name} person boxes"
    if files.person_boxes is not None and _is_there(files.person_boxes, what, used, findings):
        person_boxes, found = read_checked_person_boxes(files.person_boxes, used)
        findings += found
        if person_boxes is not None:
            person_boxes = _in_seconds(person_boxes, files, files.person_boxes, used, findings)
    used = "error" if files.uses_exclusions else "warning"
    what = f"the {files.name} list of excluded keyframes"
    if files.exclusions is not None and _is_there(files.exclusions, what, used, findings):
        try:
            exclusions, faults = check_exclusions(files.exclusions)
            findings += of_row_faults(faults, used)
            exclusions = _in_seconds(exclusions, files, files.exclusions, used, findings)
        except X3DDetError as error:
            findings += of_error(error, files.exclusions, "unreadable_file", used)
    return SplitTables(files, annotations, person_boxes, exclusions), findings


def read_checked_person_boxes(
    path: Path, severity: Severity
) -> tuple[pd.DataFrame | None, Sequence[Finding]]:
    """Return the person boxes of a file that are in order, and the faults of the others.

    Args:
        path: csv, or another form of `formats`, of which one fault hides the rows.
        severity: of the faults.
    """
    try:
        if not str(path).lower().endswith((".csv", ".csv.gz")):
            return read_person_boxes(path), []
        rows, faults = check_proposals(path)
    except X3DDetError as error:
        return None, list(of_error(error, path, "unreadable_file", severity))
    return rows, list(of_row_faults(faults, severity))


def _in_seconds(
    table: pd.DataFrame, files: SplitFiles, path: Path, severity: Severity, findings: list[Finding]
) -> pd.DataFrame:
    """Return the rows in seconds of the film; those that number no frame become findings."""
    try:
        return files.time.in_seconds(table, path)
    except X3DDetError as error:
        findings += of_error(error, path, "frame_number", severity)
    known = table[files.time.is_known(table)].reset_index(drop=True)
    return files.time.in_seconds(known, path)


def _no_annotations(path: Path) -> AvaAnnotations:
    keys = pd.DataFrame(
        {"video_id": np.empty(0, object), "timestamp": np.empty(0), "line": np.empty(0, np.int64)}
    )
    rows = keys.assign(
        **dict.fromkeys(COORDINATES, 0.0), action_id=np.int64(0), person_id=np.int64(0)
    )
    return AvaAnnotations(rows, keys, str(path))


def _is_there(path: Path, what: str, severity: Severity, findings: list[Finding]) -> bool:
    if path.is_file():
        return True
    text = f"{what} are missing; put the file there, or name another in the data set's YAML."
    if path.exists():
        text = f"{what} should be here, but this is no regular file; name a file."
    elif severity == "warning":
        text = f"{what} are missing; this config does not need them."
    findings.append(Finding(severity=severity, kind="missing_file", path=shown(path), text=text))
    return False


def _box_numbers(rows: pd.DataFrame, keyframes: np.ndarray) -> np.ndarray:
    """Number boxes in the order of their first rows; rows of one box mostly follow each other."""
    if not len(rows):
        return np.empty(0, np.int64)
    columns = [keyframes, *(rows[name].to_numpy() for name in COORDINATES)]
    is_new = np.ones(len(rows), np.bool_)
    is_new[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    runs = pd.DataFrame({name: column[is_new] for name, column in zip(_BOX, columns, strict=True)})
    numbers = runs.groupby(_BOX, sort=False).ngroup().to_numpy()
    return numbers[np.cumsum(is_new) - 1]
