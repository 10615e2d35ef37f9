"""What an evaluation was given: its tables, their files, and what the rules refuse."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from x3d_det.errors import DataError
from x3d_det.evaluation.rules import AvaRules
from x3d_det.evaluation.selection import Selection
from x3d_det.io.ava_csv import COORDINATES, AvaAnnotations

_SHOWN_LINES = 20


@dataclass(frozen=True)
class Sources:
    """The tables of one evaluation and where they came from, for messages."""

    annotations: AvaAnnotations
    detections: pd.DataFrame
    exclusions: pd.DataFrame
    rules: AvaRules

    @property
    def tables(self) -> list[pd.DataFrame]:
        """Annotations, empty keyframes, exclusions, detections."""
        empty = self.annotations.empty_keyframes
        return [self.annotations.rows, empty, self.exclusions, self.detections]

    def _name(self, table: pd.DataFrame) -> str:
        if table is self.detections or table is self.exclusions:
            default = "detections" if table is self.detections else "exclusions"
            return str(table.attrs.get("path", default))
        return self.annotations.path

    def _where(self, table: pd.DataFrame, row: int) -> str:
        name = self._name(table)
        if "line" in table.columns:
            return f"{name}:{table['line'].iloc[row]}"
        return f"{name}, row {row}"

    def files(self, label_map_name: str) -> dict[str, str]:
        """Return what was read, by role."""
        files = {"annotations": self.annotations.path, "detections": self._name(self.detections)}
        if len(self.exclusions):
            files["exclusions"] = self._name(self.exclusions)
        if label_map_name:
            files["label_map"] = label_map_name
        return files

    def check(self) -> None:
        """Raise DataError for what the program of these rules stops at."""
        rows = self.annotations.rows
        for table, last in ((rows, []), (self.detections, ["score"])):
            for name in ("video_id", "timestamp", *COORDINATES, "action_id", *last):
                if name not in table.columns:
                    have = ", ".join(str(column) for column in table.columns)
                    raise DataError(f"{self._name(table)} has no column {name}; it has {have}.")
        if not self.rules.keyframe_rows:
            self._check_no_keyframe_rows()
        unreadable = self.annotations.unreadable_person_lines
        if self.rules.reads_eighth_column and unreadable:
            raise DataError(
                f"{self.annotations.path}:{unreadable[0]}: the person id is no number "
                f"({len(unreadable):,} such lines); the rules {self.rules.name} read it as one: "
                "correct it, or use the rules pyslowfast, which do not read it."
            )
        for table in self.tables:
            self._check_seconds(table)

    def _check_no_keyframe_rows(self) -> None:
        empty_lines = self.annotations.empty_keyframes["line"].tolist()
        detection_lines = self.detections.attrs.get("keyframe_lines", ())
        for path, lines in (
            (self.annotations.path, empty_lines),
            (self._name(self.detections), detection_lines),
        ):
            if len(lines):
                raise DataError(
                    f"{path}:{lines[0]}: a row of two columns names a keyframe without boxes "
                    f"({len(lines):,} such lines); the rules {self.rules.name} do not know such "
                    "rows: use the rules activitynet2020, or remove them."
                )

    def _check_seconds(self, table: pd.DataFrame) -> None:
        seconds = table["timestamp"].to_numpy(np.float64)
        # Rows of a keyframe follow each other: one number tells for all of them.
        heads = seconds[np.flatnonzero(np.append(len(seconds) > 0, seconds[1:] != seconds[:-1]))]
        if not np.isfinite(heads).all():
            row = int(np.argmax(~np.isfinite(seconds)))
            raise DataError(f"{self._where(table, row)}: the second is {seconds[row]}.")
        missing = table["video_id"].isna().to_numpy()
        if missing.any():
            raise DataError(f"{self._where(table, int(np.argmax(missing)))}: no video id.")
        if self.rules.fractional_seconds or (heads == np.floor(heads)).all():
            return
        bad = seconds != np.floor(seconds)
        row = int(np.argmax(bad))
        raise DataError(
            f"{self._where(table, row)}: the second {seconds[row]} has a fraction "
            f"({int(bad.sum()):,} such rows); the rules {self.rules.name} know whole seconds "
            "only: use the rules activitynet2020."
        )

    def scores(self) -> tuple[np.ndarray, int]:
        """Return the detections' scores, missing ones as 1.0, and how many were missing."""
        scores = self.detections["score"].to_numpy(np.float64)
        missing = np.isnan(scores)
        number = int(missing.sum())
        if not number:
            return scores, 0
        where = self._where(self.detections, int(np.argmax(missing)))
        if number != self.detections.attrs.get("num_unscored", 0):
            raise DataError(f"{where}: the score is not a number ({number:,} such rows).")
        if self.rules.needs_score:
            raise DataError(
                f"{where}: the row has no score ({number:,} such rows); the rules "
                f"{self.rules.name} need an eighth column with it. (The ActivityNet rules take "
                "1.0.)"
            )
        return np.where(missing, 1.0, scores), number

    def check_inverted(self, selection: Selection, reached: np.ndarray) -> None:
        """Raise DataError at an inverted box that the program of these rules stops at.

        Args:
            selection: the rows that count.
            reached: inverted annotations, by place in `selection.truth_rows`, that a
                detection had to be compared with.
        """
        if self.rules.stops_at_inverted:
            self._check_detected(selection)
        truth_rows = selection.truth_rows[reached]
        if not len(truth_rows):
            return
        rows = self.annotations.rows
        lines = []
        for row in truth_rows[:_SHOWN_LINES].tolist():
            box = ", ".join(f"{name} = {rows[name].iloc[row]}" for name in COORDINATES)
            lines.append(
                f"{self._where(rows, row)}: the annotated box is inverted ({box}); "
                "it must have x1 <= x2 and y1 <= y2: swap its corners or remove the row."
            )
        if len(truth_rows) > _SHOWN_LINES:
            lines.append(f"and {len(truth_rows) - _SHOWN_LINES:,} more inverted boxes.")
        raise DataError("\n".join(lines))

    def _check_detected(self, selection: Selection) -> None:
        x1, y1, x2, y2 = selection.found.boxes
        rows = np.flatnonzero((x1 > x2) | (y1 > y2))  # rounding makes no further ones
        if not len(rows):
            return
        rows = rows[np.isin(rows, selection.found_rows)]
        x1, y1, x2, y2 = (corner[rows] for corner in selection.found.boxes)
        if self.rules.frame.single_precision:
            x1, y1, x2, y2 = (corner.astype(np.float32) for corner in (x1, y1, x2, y2))
        bad = rows[(x1 > x2) | (y1 > y2)]
        if len(bad):
            row = int(bad[0])
            box = ", ".join(f"{name} = {self.detections[name].iloc[row]}" for name in COORDINATES)
            raise DataError(
                f"{self._where(self.detections, row)}: the detected box is inverted ({box}; "
                f"{len(bad):,} such rows); the rules {self.rules.name} stop at it: swap its "
                "corners, remove the row, or use other rules, which drop it."
            )
