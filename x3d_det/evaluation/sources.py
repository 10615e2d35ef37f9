"""What an evaluation was given: its tables, their files, and what the rules refuse."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from x3d_det.errors import DataError
from x3d_det.evaluation.rules import AvaRules
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
        bad = ~np.isfinite(seconds)
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError(f"{self._where(table, row)}: the second is {seconds[row]}.")
        missing = table["video_id"].isna().to_numpy()
        if missing.any():
            raise DataError(f"{self._where(table, int(np.argmax(missing)))}: no video id.")
        if self.rules.fractional_seconds:
            return
        bad = seconds != np.floor(seconds)
        if bad.any():
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

    def check_inverted(self, truth_rows: np.ndarray) -> None:
        """Raise DataError if a detection had to be compared with an inverted annotation."""
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
