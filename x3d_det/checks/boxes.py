"""Boxes of one file that cannot all be meant: almost equal ones, persons with two ids."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from x3d_det.checks.findings import Finding, listed, shown
from x3d_det.checks.tables import SplitTables
from x3d_det.io.ava_csv import COORDINATES

NEAR = 1e-3
"""Boxes that differ by no more than this in every corner are rounded forms of one box."""

_ROUNDING = 1e-9  # 0.201 - 0.2 is not quite 0.001


def box_findings(split: SplitTables) -> Iterator[Finding]:
    """Yield what is doubtful among the annotated boxes, then among the person boxes."""
    yield from _near_duplicates(split, split.boxes, shown(split.files.annotations))
    yield from _two_person_ids(split)
    yield from _persons_twice(split)
    if split.files.person_boxes is not None:
        yield from _near_duplicates(split, split.detected, shown(split.files.person_boxes))


def near_pairs(boxes: pd.DataFrame) -> np.ndarray:
    """Return (P, 2) the rows of boxes of one keyframe that are almost, but not quite, equal.

    Args:
        boxes: keyframe, x1, y1, x2, y2; equal boxes occur once.
    """
    keyframes = boxes["keyframe"].to_numpy()
    corners = [boxes[name].to_numpy() for name in COORDINATES]
    order = np.lexsort((corners[0], keyframes))
    keyframes, corners = keyframes[order], [corner[order] for corner in corners]
    pairs = [np.empty((0, 2), np.int64)]
    # Sorted by x1, the second box of a pair stands few places behind the first: each round
    # compares every box with the one `step` places on, until no x1 is near enough.
    for step in range(1, len(order)):
        near = keyframes[step:] == keyframes[:-step]
        near &= corners[0][step:] - corners[0][:-step] <= NEAR + _ROUNDING
        if not near.any():
            break
        first = np.flatnonzero(near)
        for corner in corners[1:]:
            first = first[np.abs(corner[first + step] - corner[first]) <= NEAR + _ROUNDING]
        pairs.append(np.stack([order[first], order[first + step]], axis=1))
    found = np.sort(np.concatenate(pairs), axis=1)
    return found[np.lexsort((found[:, 0], found[:, 1]))]


def _near_duplicates(split: SplitTables, boxes: pd.DataFrame, path: str) -> Iterator[Finding]:
    pairs = near_pairs(boxes)
    lines = boxes["line"].to_numpy()

    def make(pair: int) -> Finding:
        first, second = sorted(pairs[pair].tolist(), key=lambda row: lines[row])
        text = (
            f"the box {_box(boxes, second)} of {split.keyframe(boxes['keyframe'].iloc[second])} is "
            f"within {NEAR:g} of {_box(boxes, first)} in line {lines[first]} but not equal to it: "
            "they count as two persons; give both rows the same corners, or remove one."
        )
        return Finding(
            severity="warning",
            kind="near_duplicate",
            path=path,
            line=int(lines[second]),
            text=text,
        )

    yield from listed(range(len(pairs)), make)


def _two_person_ids(split: SplitTables) -> Iterator[Finding]:
    rows = split.annotations.rows
    pairs = pd.DataFrame(
        {"box": split.box_of_row, "person": rows["person_id"].to_numpy()}
    ).drop_duplicates()
    repeated = pairs.index[pairs.duplicated("box")].to_numpy()
    is_first = ~pairs.duplicated("box")
    first_row = pd.Series(pairs.index[is_first], index=pairs["box"][is_first])

    def make(row: int) -> Finding:
        first = rows.loc[first_row[split.box_of_row[row]]]
        text = (
            f"person id {rows['person_id'].iloc[row]} has the box {_box(rows, row)} of "
            f"{split.keyframe(split.index.keyframes[0][row])}, which is person "
            f"{first['person_id']}'s in line {first['line']}: equal boxes are one person here; "
            "give both rows one id, or each person a box."
        )
        return _finding(split, "two_persons", row, text)

    yield from listed(repeated, make)


def _persons_twice(split: SplitTables) -> Iterator[Finding]:
    rows = split.annotations.rows
    table = pd.DataFrame(
        {
            "keyframe": split.index.keyframes[0],
            "person": rows["person_id"].to_numpy(),
            "box": split.box_of_row,
        }
    )
    table = table[table["person"] >= 0].drop_duplicates()
    person = ["keyframe", "person"]
    is_repeated = table.duplicated(person)
    firsts = table[~is_repeated].reset_index(names="row").set_index(person)["row"]

    def make(row: int) -> Finding:
        first = rows.loc[firsts[tuple(table.loc[row, person])]]
        text = (
            f"person {rows['person_id'].iloc[row]} of "
            f"{split.keyframe(split.index.keyframes[0][row])} has the box {_box(rows, row)} here "
            f"and another in line {first['line']}; a person has one box on a keyframe: correct "
            "the id or the box."
        )
        return _finding(split, "person_twice", row, text)

    yield from listed(table.index[is_repeated].to_numpy(), make)


def _finding(split: SplitTables, kind: str, row: int, text: str) -> Finding:
    return Finding(
        severity="warning",
        kind=kind,
        path=shown(split.files.annotations),
        line=int(split.annotations.rows["line"].iloc[row]),
        text=text,
    )


def _box(rows: pd.DataFrame, row: int) -> str:
    return ", ".join(f"{rows[name].iloc[row]:g}" for name in COORDINATES)
