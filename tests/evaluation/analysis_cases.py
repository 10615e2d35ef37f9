"""Small evaluations for the tests of the analysis, and the same things told by slow loops."""

import numpy as np
import pandas as pd

from x3d_det.io.ava_csv import AvaAnnotations
from x3d_det.io.label_map import LabelMap

KEY = ["video_id", "timestamp", "x1", "y1", "x2", "y2"]
TWO_ACTIONS = LabelMap({12: "stand", 14: "walk"})


def annotations(rows) -> AvaAnnotations:
    """Return annotations from (video, second, x1, y1, x2, y2, action) rows."""
    table = pd.DataFrame(rows, columns=[*KEY, "action_id"]).astype({"timestamp": float})
    table = table.astype(dict.fromkeys(KEY[2:], float)).astype({"action_id": np.int64})
    table["person_id"] = np.int64(-1)
    table["line"] = np.arange(1, len(table) + 1)
    return AvaAnnotations(table, table.iloc[:0][["video_id", "timestamp", "line"]], "truth.csv")


def detections(rows) -> pd.DataFrame:
    """Return detections from (video, second, x1, y1, x2, y2, action, score) rows."""
    table = pd.DataFrame(rows, columns=[*KEY, "action_id", "score"])
    table = table.astype(dict.fromkeys(["timestamp", *KEY[2:], "score"], float))
    return table.astype({"action_id": np.int64})


def random_rows(seed, *, num_keyframes=6, scores=None):
    """Return rows of annotations and detections: near boxes, far ones, repeated ones."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for second in range(902, 902 + num_keyframes):
        for _ in range(rng.integers(0, 4)):
            low = rng.uniform(0, 0.5, 2)
            box = np.concatenate([low, low + rng.uniform(0.05, 0.5, 2)]).round(3)
            actions = rng.choice([1, 2, 3, 4], rng.integers(1, 4), replace=False)
            truth += [("v", second, *box, action) for action in actions]
            for _ in range(rng.integers(0, 4)):
                near = (box + rng.normal(0, 0.06, 4)).round(3)
                found += [("v", second, *near, a) for a in range(1, 6) if rng.random() < 0.8]
        if rng.random() < 0.5:
            low = rng.uniform(0, 0.5, 2)
            found.append(("v", second, *low, *(low + 0.2), int(rng.integers(1, 5))))
    values = rng.random(len(found)) if scores is None else rng.choice(scores, len(found))
    return truth, [(*row, score) for row, score in zip(found, values, strict=True)]


def iou(a, b):
    """Return the IoU of two boxes."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    areas = (a[3] - a[1]) * (a[2] - a[0]) + (b[3] - b[1]) * (b[2] - b[0])
    return shared / (areas - shared)


def fates_in_loops(truth, found, action_ids, *, by_score):
    """Return kinds of detections, nearest annotations, found annotations, those with a box.

    A detection's kind is None where it takes no part.
    """
    order = range(len(found))
    if by_score:
        order = sorted(order, key=lambda place: -found[place][7])
    kinds, nearest, taken, with_box = [None] * len(found), [None] * len(found), set(), set()
    for place in order:
        video, second, *box, action, _ = found[place]
        if action not in action_ids or box[0] >= box[2] or box[1] >= box[3]:
            continue
        here = [g for g, row in enumerate(truth) if row[:2] == (video, second)]
        overlaps = {g: iou(box, truth[g][2:6]) for g in here}
        with_box |= {g for g in here if overlaps[g] >= 0.5}
        own = [g for g in here if truth[g][6] == action]
        best = max(own, key=lambda g: (overlaps[g], -g), default=None)
        if best is not None and overlaps[best] >= 0.1:
            nearest[place] = best
        if best is not None and overlaps[best] >= 0.5:
            kinds[place] = "duplicate" if best in taken else "matched"
            taken.add(best)
        elif any(overlaps[g] >= 0.5 for g in here):
            kinds[place] = "wrong_action"
        elif nearest[place] is not None:
            kinds[place] = "poor_box"
        elif any(overlaps[g] >= 0.1 for g in here):
            kinds[place] = "wrong_action_beside"
        else:
            kinds[place] = "background"
    return kinds, nearest, taken, with_box


def mended_map_in_loops(truth, found, action_ids, fates, mended):
    """Return mAP with the kinds `mended` mended; scores must differ."""
    kinds, nearest, taken, with_box = fates
    drawn = {}
    if "poor_box" in mended:
        for place in sorted(range(len(found)), key=lambda place: -found[place][7]):
            if kinds[place] == "poor_box" and nearest[place] not in taken:
                drawn.setdefault(nearest[place], place)
    forgiven = {
        g
        for g in range(len(truth))
        if g not in taken
        and g not in drawn
        and ("not_reported" if g in with_box else "no_box") in mended
    }
    values = []
    for action in action_ids:
        rows = [g for g, row in enumerate(truth) if row[6] == action]
        if not rows:
            continue
        total = len([g for g in rows if g not in forgiven])
        mine = [p for p, row in enumerate(found) if row[6] == action and kinds[p] is not None]
        mine = [p for p in mine if kinds[p] not in mended or p in drawn.values()]
        flags = [
            kinds[p] == "matched" or p in drawn.values()
            for p in sorted(mine, key=lambda place: -found[place][7])
        ]
        if not total:
            values.append(0.0 if mine else 1.0)
            continue
        precision = [sum(flags[: rank + 1]) / (rank + 1) for rank in range(len(flags))]
        values.append(sum(max(precision[rank:]) / total for rank, flag in enumerate(flags) if flag))
    return sum(values) / len(values)
