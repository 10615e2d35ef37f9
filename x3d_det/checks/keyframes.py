"""Do the files of a split, and the two splits, speak of the same videos and keyframes?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from x3d_det.checks.findings import Finding, Severity, listed, shown, some
from x3d_det.checks.tables import SplitTables
from x3d_det.evaluation.frame_ap import iou_of_pairs
from x3d_det.evaluation.rules import rules_named
from x3d_det.io.ava_csv import COORDINATES
from x3d_det.keyframes import Keyframe, format_timestamp

_LOW_RECALL = 0.5
ANNOTATED, EMPTY, DETECTED, EXCLUDED = range(4)
"""Places of a split's tables in its index."""


def keyframe_findings(
    split: SplitTables, *, score_threshold: float, rules: str | None = None
) -> Iterator[Finding]:
    """Yield what does not fit between the files of one split.

    Args:
        split: its tables.
        score_threshold: least person score that is used.
        rules: name of the evaluation's rules, for the split that is evaluated.
    """
    yield from _exclusions(split)
    yield from _empty_and_annotated(split)
    if rules is not None:
        yield from _rules(split, rules)
    if split.person_boxes is not None:
        yield from _videos_of_boxes(split)
        if len(split.person_boxes):
            yield from _threshold(split, score_threshold)


def leaks(train: SplitTables, val: SplitTables) -> Iterator[Finding]:
    """Yield the videos that both splits annotate: what is learnt by heart scores well."""
    rows, other = train.annotations.rows, val.annotations.rows
    if shown(train.files.annotations) == shown(val.files.annotations):
        text = (
            "the same file is annotations of train and val: the score would be that of known "
            "answers; give each split its own videos."
        )
        path = shown(val.files.annotations)
        yield Finding(severity="warning", kind="leak", path=path, text=text)
        return
    keys = ["video_id", "timestamp"]
    firsts = other.drop_duplicates("video_id")
    both = firsts[firsts["video_id"].isin(rows["video_id"].unique())]
    for video_id, line in zip(both["video_id"], both["line"], strict=True):
        here = other.loc[other["video_id"] == video_id, keys].drop_duplicates()
        there = rows[rows["video_id"] == video_id]
        shared = int(here["timestamp"].isin(there["timestamp"]).sum())
        yield Finding(
            severity="error" if shared else "warning",
            kind="leak",
            path=shown(val.files.annotations),
            line=int(line),
            text=(
                f"video {video_id} is also in {shown(train.files.annotations)}:"
                f"{there['line'].iloc[0]}, with {shared:,} of its {len(here):,} keyframes: the "
                "score would be that of known answers; keep a video in one split."
            ),
        )


@dataclass(frozen=True)
class Overlap:
    """How well person boxes lie on annotated ones.

    Args:
        num_boxes: annotated boxes on keyframes that are not excluded.
        num_found: those that a person box overlaps by 0.5 or more.
    """

    num_boxes: int
    num_found: int

    @property
    def recall(self) -> float:
        """Share found, NaN where there is no box."""
        return self.num_found / self.num_boxes if self.num_boxes else float("nan")


def overlap(split: SplitTables, *, score_threshold: float, min_iou: float = 0.5) -> Overlap:
    """Return how many annotated boxes have a person box above the threshold on them."""
    counts_F = ~split.has(EXCLUDED)
    truth, detected = split.boxes, split.detected
    truth = truth[counts_F[truth["keyframe"].to_numpy()]]
    detected = detected[detected["score"].to_numpy() >= score_threshold]
    detected = detected.sort_values("keyframe", kind="stable")
    keyframes_M = truth["keyframe"].to_numpy()
    found_keyframes = detected["keyframe"].to_numpy()
    starts_M = np.searchsorted(found_keyframes, keyframes_M, side="left")
    counts_M = np.searchsorted(found_keyframes, keyframes_M, side="right") - starts_M
    boxes_P = np.repeat(np.arange(len(truth)), counts_M)
    ends_M = np.cumsum(counts_M)
    rows_P = np.arange(len(boxes_P)) - np.repeat(ends_M - counts_M - starts_M, counts_M)
    iou_P = iou_of_pairs(
        [truth[name].to_numpy()[boxes_P] for name in COORDINATES],
        [detected[name].to_numpy()[rows_P] for name in COORDINATES],
    )
    return Overlap(len(truth), len(np.unique(boxes_P[iou_P >= min_iou])))


def _exclusions(split: SplitTables) -> Iterator[Finding]:
    if split.exclusions is None or split.files.exclusions is None:
        return
    rows, path = split.exclusions, shown(split.files.exclusions)
    lines, keyframes = rows["line"].to_numpy(), split.index.keyframes[EXCLUDED]

    def make(row: int) -> Finding:
        places = np.flatnonzero(split.index.keyframes[ANNOTATED] == keyframes[row])
        annotated = int(split.annotations.rows["line"].iloc[int(places[0])])
        text = (
            f"{split.keyframe(keyframes[row])} is excluded but annotated "
            f"({shown(split.files.annotations)}:{annotated}): its rows are not evaluated; remove "
            "one or the other."
        )
        return _warning("exclusion", path, int(lines[row]), text)

    yield from listed(np.flatnonzero(split.has(ANNOTATED)[keyframes]), make)
    is_repeated = pd.Series(keyframes).duplicated().to_numpy()
    yield from listed(
        np.flatnonzero(is_repeated),
        lambda row: _warning(
            "exclusion",
            path,
            int(lines[row]),
            f"{split.keyframe(keyframes[row])} was excluded above; remove one of the lines.",
        ),
    )
    known = set(split.annotations.rows["video_id"].unique())
    known |= set(split.annotations.empty_keyframes["video_id"].unique())
    if split.person_boxes is not None:
        known |= set(split.person_boxes["video_id"].unique())
    yield from _strangers(
        rows, known, "exclusion", path, "is in no other file of this split; correct or remove it."
    )


def _empty_and_annotated(split: SplitTables) -> Iterator[Finding]:
    keyframes = split.index.keyframes[EMPTY]
    lines = split.annotations.empty_keyframes["line"].to_numpy()
    first_line = split.boxes.groupby("keyframe")["line"].min()

    def make(row: int) -> Finding:
        text = (
            f"{split.keyframe(keyframes[row])} is named as empty here, but has boxes from line "
            f"{first_line[keyframes[row]]} on; remove this line, or those."
        )
        path = shown(split.files.annotations)
        return _warning("empty_keyframe", path, int(lines[row]), text)

    yield from listed(np.flatnonzero(split.has(ANNOTATED)[keyframes]), make)


def _rules(split: SplitTables, name: str) -> Iterator[Finding]:
    """Yield the rows that the rules do not know: those of two columns, fractions of a second."""
    rules, path = rules_named(name), shown(split.files.annotations)
    empty = split.annotations.empty_keyframes
    remedy = "set evaluation.rules=activitynet2020"
    if len(empty) and not rules.keyframe_rows:
        text = (
            f"a row of two columns names a keyframe without boxes ({len(empty):,} such lines); "
            f"the rules {name} do not know such rows, and the evaluation of a config leaves them "
            f"out. Scored as a file on its own, they are an error: then {remedy}, or remove them."
        )
        yield Finding(
            severity="note", kind="rules", path=path, line=int(empty["line"].min()), text=text
        )
    tables = [(split.annotations.rows, path)]
    if split.person_boxes is not None and split.files.uses_person_boxes:
        tables.append((split.person_boxes, shown(split.files.person_boxes or "")))
    if split.exclusions is not None:
        tables.append((split.exclusions, shown(split.files.exclusions or "")))
    for rows, where in tables:
        seconds = rows["timestamp"].to_numpy()
        fractions = np.flatnonzero(seconds != np.floor(seconds))
        if len(fractions) and not rules.fractional_seconds:
            text = (
                f"the second {seconds[fractions[0]]:g} has a fraction ({len(fractions):,} such "
                f"rows); the rules {name} know whole seconds only: {remedy}, or round them."
            )
            line = int(rows["line"].iloc[int(fractions[0])])
            yield Finding(severity="error", kind="rules", path=where, line=line, text=text)


def _videos_of_boxes(split: SplitTables) -> Iterator[Finding]:
    assert split.person_boxes is not None
    assert split.files.person_boxes is not None
    path, annotations = shown(split.files.person_boxes), shown(split.files.annotations)
    annotated = set(split.annotations.rows["video_id"].unique())
    named = annotated | set(split.annotations.empty_keyframes["video_id"].unique())
    yield from _strangers(
        split.person_boxes,
        named,
        "unknown_video",
        path,
        f"has person boxes here, but no row in {annotations}: all its detections would count as "
        "false; correct the id, or remove its rows.",
    )
    yield from _strangers(
        split.annotations.rows,
        set(split.person_boxes["video_id"].unique()),
        "unknown_video",
        annotations,
        f"is annotated here, but {path} has no person box for it: all its annotations would be "
        "missed; correct the id, or detect persons in it.",
    )


def _threshold(split: SplitTables, score_threshold: float) -> Iterator[Finding]:
    assert split.files.person_boxes is not None
    path, scores = shown(split.files.person_boxes), split.detected["score"].to_numpy()
    used: Severity = "error" if split.files.uses_person_boxes else "warning"
    is_above = scores >= score_threshold
    if not is_above.any():
        best = int(scores.argmax())
        text = (
            f"none of the {len(scores):,} person boxes has a score of "
            f"boxes.score_threshold = {score_threshold:g} or more; the highest is "
            f"{scores[best]:g}, in line {int(split.detected['line'].iloc[best])}: lower the "
            "threshold, or detect again."
        )
        yield Finding(severity=used, kind="threshold", path=path, text=text)
        return
    yield from _without_boxes(split, is_above, score_threshold)
    fit = overlap(split, score_threshold=score_threshold)
    if fit.num_boxes and fit.recall < _LOW_RECALL:
        text = (
            f"only {fit.num_found:,} of {fit.num_boxes:,} annotated boxes ({fit.recall:.1%}) have "
            "a person box on them (IoU 0.5): are both files of the same videos and seconds, and "
            "are the columns x1, y1, x2, y2 in this order?"
        )
        yield Finding(severity="warning", kind="overlap", path=path, text=text)


def _without_boxes(
    split: SplitTables, is_above: np.ndarray, score_threshold: float
) -> Iterator[Finding]:
    """Yield one finding for all annotated keyframes that have no person box to score."""
    lacks_F = split.has(ANNOTATED) & ~split.has(EXCLUDED)
    num_annotated = int(lacks_F.sum())
    lacks_F[split.index.keyframes[DETECTED][is_above]] = False
    if not lacks_F.any():
        return
    rows = np.flatnonzero(lacks_F[split.index.keyframes[ANNOTATED]])
    keyframes = pd.unique(split.index.keyframes[ANNOTATED][rows])
    lines = split.annotations.rows["line"].to_numpy()
    text = (
        f"{len(keyframes):,} of {num_annotated:,} annotated keyframes have no person box of score "
        f"{score_threshold:g} or more in {shown(split.files.person_boxes or '')}: their persons "
        f"are missed whatever the model does: {some(_texts(split, keyframes))}; lower "
        "boxes.score_threshold, or detect persons on them."
    )
    path = shown(split.files.annotations)
    severity: Severity = "warning" if split.files.uses_person_boxes else "note"
    yield Finding(
        severity=severity, kind="without_boxes", path=path, line=int(lines[rows[0]]), text=text
    )


def _texts(split: SplitTables, keyframes: Iterable[int]) -> list[str]:
    named: list[Keyframe] = [split.keyframe(int(number)) for number in keyframes]
    return [f"{key.video_id} at {format_timestamp(key.timestamp)}" for key in named]


def _strangers(
    rows: pd.DataFrame, known: set[str], kind: str, path: str, text: str
) -> Iterator[Finding]:
    """Yield a warning for each video of `rows` that is not known, at its first line."""
    counts = rows["video_id"].value_counts()
    firsts = rows.drop_duplicates("video_id")
    firsts = firsts[~firsts["video_id"].isin(known)]
    videos, lines = firsts["video_id"].tolist(), firsts["line"].tolist()
    yield from listed(
        range(len(videos)),
        lambda place: _warning(
            kind,
            path,
            lines[place],
            f"video {videos[place]} ({counts[videos[place]]:,} rows) {text}",
        ),
    )


def _warning(kind: str, path: str, line: int, text: str) -> Finding:
    return Finding(severity="warning", kind=kind, path=path, line=line, text=text)
