"""Why person boxes score zero or low, in plain words."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from x3d_det.evaluation.frame_ap import iou_of_pairs
from x3d_det.evaluation.keyframe_index import KeyframeIndex
from x3d_det.io.ava_csv import COORDINATES

_MAX_VIDEOS = 50
_MAX_SECONDS = 1000
_MAX_PAIRS = 1_000_000
_MIN_IOU = 0.5


def explain_persons(
    index: KeyframeIndex,
    persons: pd.DataFrame,
    found: pd.DataFrame,
    all_found: pd.DataFrame,
    *,
    score_threshold: float,
    num_matched: int,
) -> tuple[str, ...]:
    """Return sentences on what keeps the score down; none where nothing is odd.

    Args:
        index: the keyframes.
        persons: annotated persons that count: keyframe, x1, y1, x2, y2.
        found: boxes that count, likewise, with score.
        all_found: all boxes of the file, likewise.
        score_threshold: for recall and precision.
        num_matched: persons found at IoU 0.5.
    """
    if not len(persons):
        return ("AP is not defined: no annotated person counts",)
    if not len(all_found):
        return ("AP is 0 because there is no person box",)
    apart = _keyframes_apart(index, persons, all_found)
    notes = [apart] if apart else []
    if not apart and not num_matched:
        notes.append(_no_overlap(persons, found))
    if len(found) and not (found["score"] >= score_threshold).any():
        notes.append(
            f"no box has a score of {score_threshold:g} or more; the highest is "
            f"{found['score'].max():.3g}: give a lower --threshold"
        )
    notes += _equal_scores(found)
    return tuple(notes)


def _keyframes_apart(
    index: KeyframeIndex, persons: pd.DataFrame, found: pd.DataFrame
) -> str | None:
    """Return why most annotated keyframes have no box, where a pattern tells, else None."""
    annotated = np.unique(persons["keyframe"])
    boxed = np.unique(found["keyframe"])
    common = np.intersect1d(annotated, boxed, assume_unique=True)
    if len(common) > 0.5 * len(annotated):
        return None
    videos = np.intersect1d(index.videos[annotated], index.videos[boxed])
    spans = f"(annotated {_span(index, annotated)}, boxes {_span(index, boxed)})"
    if not len(videos):
        return (
            "AP is 0 because annotations and boxes have no video in common: annotated is for "
            f"example {index.video_names[index.videos[annotated[0]]]!r}, boxes have "
            f"{index.video_names[index.videos[boxed[0]]]!r}"
        )
    offset, num_joined = _best_offset(index, annotated, boxed, videos)
    few = "no keyframe" if not len(common) else f"only {len(common):,} keyframes"
    if offset and num_joined > max(2 * len(common), 0.5 * min(len(annotated), len(boxed))):
        lower = "boxes" if offset > 0 else "annotations"
        return (
            f"annotations and boxes have {few} in common, but {num_joined:,} if {abs(offset):g} s "
            f"are added to the timestamps of the {lower} {spans}; AVA counts seconds from the "
            "start of the film"
        )
    if len(common):
        return None
    return f"AP is 0 because annotations and boxes have no keyframe in common {spans}"


def _best_offset(
    index: KeyframeIndex, annotated: np.ndarray, boxed: np.ndarray, videos: np.ndarray
) -> tuple[float, int]:
    """Return what to add to the boxes' seconds to meet most annotated ones, and how many."""
    differences = []
    for video in videos[:_MAX_VIDEOS]:
        ours, theirs = (
            index.seconds[keyframes[index.videos[keyframes] == video]][:_MAX_SECONDS]
            for keyframes in (annotated, boxed)
        )
        differences.append(np.round(ours[:, None] - theirs, 3).ravel())
    values, numbers = np.unique(np.concatenate(differences), return_counts=True)
    best = np.flatnonzero(numbers == numbers.max())
    offset = float(values[best[np.argmin(np.abs(values[best]))]])
    return offset, int(numbers.max())


def _no_overlap(persons: pd.DataFrame, found: pd.DataFrame) -> str:
    """Say how near the boxes come, and whether x and y are exchanged."""
    pairs = persons.merge(found, on="keyframe", suffixes=("", "_box")).iloc[:_MAX_PAIRS]
    annotated = [pairs[name].to_numpy() for name in COORDINATES]
    x1, y1, x2, y2 = (pairs[f"{name}_box"].to_numpy() for name in COORDINATES)
    best = iou_of_pairs([x1, y1, x2, y2], annotated).max()
    swapped = iou_of_pairs([y1, x1, y2, x2], annotated).max()
    hint = (
        "; with x and y exchanged they would: AVA's boxes are x1, y1, x2, y2"
        if swapped >= _MIN_IOU
        else ""
    )
    return (
        "AP is 0 because no box overlaps an annotated person by 0.5 on the common keyframes "
        f"(best overlap {best:.3f}){hint}"
    )


def _equal_scores(found: pd.DataFrame) -> Iterator[str]:
    scores = found["score"].to_numpy()
    if len(scores) > 1 and scores.min() == scores.max():
        yield (
            f"all {len(scores):,} boxes have the same score {scores[0]:g}: nothing ranks them, and "
            "AP hangs on the order of the keyframes"
        )


def _span(index: KeyframeIndex, keyframes: np.ndarray) -> str:
    seconds = index.seconds[keyframes]
    return f"{seconds.min():g} to {seconds.max():g}"
