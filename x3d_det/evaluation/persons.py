"""How well person boxes find AVA's annotated persons: COCO's AP, by pycocotools.

A person counts once, whatever the number of actions: rows of one keyframe whose four
coordinates are equal are one person (`data.proposals` has the same rule; they are never
rounded). IoU does not change when a picture is stretched, so boxes stay fractions of the
frame. COCO's sizes are areas in pixels, which need the videos; persons are grouped by their
share of the frame instead.

Legend: G persons, D boxes, T IoU thresholds, R points of recall.
Source: COCO's evaluator (pycocotools.cocoeval): greedy matching by falling score, the best
    free person first; precision at 101 points of recall. The boxes of Long-Term Feature
    Banks, arXiv:1812.05038, Sec. 4.1, have 93.9 AP@50 on AVA val.
"""

import contextlib
import importlib.metadata
import io
import itertools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from x3d_det.evaluation.keyframe_index import KeyframeIndex, index_keyframes
from x3d_det.evaluation.persons_explain import explain_persons
from x3d_det.evaluation.persons_report import PersonCounts, PersonReport, SizeGroup
from x3d_det.io.ava_csv import COORDINATES, AvaAnnotations

MAX_BOXES = 100
"""Boxes of a keyframe that COCO's rules look at, best first."""
IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
SIZE_BOUNDS = (0.0, 0.01, 0.1, math.inf)
"""Shares of the frame's area between which persons are grouped."""


def evaluate_persons(
    annotations: AvaAnnotations,
    boxes: pd.DataFrame,
    *,
    score_threshold: float = 0.8,
    exclusions: pd.DataFrame | None = None,
    count_unannotated: bool = False,
) -> PersonReport:
    """Score person boxes against the annotated persons.

    Args:
        annotations: rows, and keyframes named as empty; boxes on those are false.
        boxes: video_id, timestamp, x1, y1, x2, y2 (fractions of the frame), score (0 to 1).
        score_threshold: least score of the boxes for which recall and precision are told.
        exclusions: video_id and timestamp of keyframes that do not count.
        count_unannotated: boxes on keyframes that the annotations do not name are false;
            else they do not count, as in AVA's literature.
    """
    tables = _Tables(annotations, boxes, exclusions, count_unannotated)
    matched = _match(tables.persons, tables.found, tables.ranks)
    scores = tables.found["score"].to_numpy(np.float64)
    is_above = scores >= score_threshold
    is_person_found = matched.person_scores >= score_threshold
    counts = tables.counts(
        num_above=int(is_above.sum()),
        num_right_above=int((matched.is_right & is_above).sum()),
        num_right=int(matched.is_right.sum()),
        score_threshold=score_threshold,
    )
    notes = explain_persons(
        tables.index,
        tables.persons,
        tables.found,
        tables.all_found,
        score_threshold=score_threshold,
        num_matched=counts.persons_found,
    )
    return PersonReport(
        average_precision=dict(zip(IOU_THRESHOLDS, matched.average_precision, strict=True)),
        score_threshold=score_threshold,
        max_boxes=MAX_BOXES,
        counts=counts,
        sizes=_by_size(tables.persons, is_person_found),
        curves={
            iou: tuple(matched.precision_TR[IOU_THRESHOLDS.index(iou)].tolist())
            for iou in (0.5, 0.75)
        },
        counts_unannotated=count_unannotated,
        notes=notes,
        evaluator=f"pycocotools {importlib.metadata.version('pycocotools')}",
    )


class _Tables:
    """The persons and boxes that count, and what was left out.

    `persons` (video-sorted) and `found` have columns keyframe, x1, y1, x2, y2, and `score`.
    """

    def __init__(
        self,
        annotations: AvaAnnotations,
        boxes: pd.DataFrame,
        exclusions: pd.DataFrame | None,
        count_unannotated: bool,
    ) -> None:
        listed = boxes.iloc[:0] if exclusions is None else exclusions
        named = [annotations.rows, annotations.empty_keyframes]
        self.index: KeyframeIndex = index_keyframes([*named, listed, boxes])
        # pycocotools ranks equal scores by keyframe: file order must change nothing.
        self.ranks = self._ranks()
        truth_keyframes, empty_keyframes, excluded, found_keyframes = self.index.keyframes
        persons = _table(annotations.rows, truth_keyframes).drop_duplicates()
        self.all_found = _table(boxes, found_keyframes)
        self.all_found["score"] = boxes["score"].to_numpy(np.float64)

        self.is_annotated = np.zeros(self.index.size, bool)
        self.is_annotated[truth_keyframes] = True
        self.is_annotated[empty_keyframes] = True
        is_excluded = np.zeros(self.index.size, bool)
        is_excluded[excluded] = True
        self.is_annotated &= ~is_excluded
        is_counted = ~is_excluded if count_unannotated else self.is_annotated

        self.num_excluded_persons = int(is_excluded[persons["keyframe"]].sum())
        self.num_excluded_boxes = int(is_excluded[found_keyframes].sum())
        strange = ~self.is_annotated[found_keyframes] & ~is_excluded[found_keyframes]
        self.unannotated_keyframes = found_keyframes[strange]
        self.persons = self._sorted(persons[is_counted[persons["keyframe"]]])
        found = self._sorted(self.all_found[is_counted[found_keyframes]])
        place = found.groupby("keyframe", sort=False).cumcount()
        self.found = found[place < MAX_BOXES].reset_index(drop=True)
        self.num_over_limit = len(found) - len(self.found)

    def _ranks(self) -> np.ndarray:
        """Return each keyframe's place by video id and second."""
        by_name = np.argsort(np.argsort(np.array(self.index.video_names)))[self.index.videos]
        ranks = np.empty(self.index.size, np.int64)
        ranks[np.lexsort((self.index.seconds, by_name))] = np.arange(self.index.size)
        return ranks

    def _sorted(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows by keyframe, best score first."""
        keys = [table[name].to_numpy() for name in reversed(COORDINATES)]
        if "score" in table.columns:
            keys.append(-table["score"].to_numpy())
        rows = np.lexsort([*keys, self.ranks[table["keyframe"]]])
        return table.iloc[rows].reset_index(drop=True)

    def counts(
        self, *, num_above: int, num_right_above: int, num_right: int, score_threshold: float
    ) -> PersonCounts:
        """Return the counts, those of the matching given."""
        persons, found = self.persons["keyframe"], self.found["keyframe"]
        with_box = _flags(self.index.size, found)
        with_good_box = _flags(self.index.size, found[self.found["score"] >= score_threshold])
        without = self.is_annotated & ~with_box
        return PersonCounts(
            annotated_keyframes=int(self.is_annotated.sum()),
            annotated_keyframes_with_boxes=int((self.is_annotated & with_box).sum()),
            annotated_keyframes_above_threshold=int((self.is_annotated & with_good_box).sum()),
            persons=len(persons),
            persons_on_keyframes_without_boxes=int(without[persons].sum()),
            boxes=len(found),
            boxes_above_threshold=num_above,
            persons_found_above_threshold=num_right_above,
            persons_found=num_right,
            unannotated_keyframes=len(np.unique(self.unannotated_keyframes)),
            boxes_on_unannotated_keyframes=len(self.unannotated_keyframes),
            excluded_persons=self.num_excluded_persons,
            excluded_boxes=self.num_excluded_boxes,
            boxes_over_limit=self.num_over_limit,
            box_rows=len(self.all_found),
            highest_score=float(self.found["score"].max()) if len(found) else math.nan,
        )


def _flags(size: int, keyframes: pd.Series) -> np.ndarray:
    flags = np.zeros(size, bool)
    flags[keyframes] = True
    return flags


def _table(rows: pd.DataFrame, keyframes: np.ndarray) -> pd.DataFrame:
    corners = {name: rows[name].to_numpy(np.float64) for name in COORDINATES}
    return pd.DataFrame({"keyframe": keyframes, **corners})


def _by_size(persons: pd.DataFrame, is_found: np.ndarray) -> tuple[SizeGroup, ...]:
    """Return how many persons of each size were found."""
    share = ((persons["x2"] - persons["x1"]) * (persons["y2"] - persons["y1"])).to_numpy()
    groups = []
    for low, high in itertools.pairwise(SIZE_BOUNDS):
        inside = (share >= low) & (share < high)
        groups.append(SizeGroup(low, high, int(inside.sum()), int((inside & is_found).sum())))
    return tuple(groups)


@dataclass(frozen=True)
class _Matched:
    """What the matching gave.

    Args:
        average_precision: T floats, NaN where there is no person.
        precision_TR: at recall 0, 0.01 .. 1.
        is_right: (D,) the box is a person's at IoU 0.5.
        person_scores: (G,) score of the box that found the person at IoU 0.5, or -1.
    """

    average_precision: list[float]
    precision_TR: np.ndarray
    is_right: np.ndarray
    person_scores: np.ndarray


def _match(persons: pd.DataFrame, found: pd.DataFrame, ranks: np.ndarray) -> _Matched:
    """Run pycocotools over all keyframes, in the order of `ranks`, without its prints."""
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(_coco(persons, ranks), _coco(found, ranks), iouType="bbox")
        parameters = evaluator.params
        keyframes = np.concatenate([persons["keyframe"], found["keyframe"]])
        parameters.imgIds = np.unique(ranks[keyframes.astype(np.int64)]).tolist()
        parameters.catIds = [1]
        parameters.iouThrs = np.array(IOU_THRESHOLDS)
        parameters.maxDets = [MAX_BOXES]
        parameters.areaRng, parameters.areaRngLbl = [[0.0, math.inf]], ["all"]
        if len(persons):
            evaluator.evaluate()
            evaluator.accumulate()
    is_right = np.zeros(len(found), bool)
    person_scores = np.full(len(persons), -1.0)
    scores = found["score"].to_numpy(np.float64)
    for keyframe in evaluator.evalImgs if len(persons) else ():
        is_right[np.array(keyframe["dtIds"], int) - 1] = keyframe["dtMatches"][0] > 0
        boxes = keyframe["gtMatches"][0].astype(int)  # the first threshold is 0.5
        rows = np.array(keyframe["gtIds"], int)[boxes > 0] - 1
        person_scores[rows] = scores[boxes[boxes > 0] - 1]
    if not len(persons):
        nothing = np.full((len(IOU_THRESHOLDS), 101), np.nan)
        return _Matched([math.nan] * len(IOU_THRESHOLDS), nothing, is_right, person_scores)
    precision_TR = evaluator.eval["precision"][:, :, 0, 0, 0]
    return _Matched(precision_TR.mean(axis=1).tolist(), precision_TR, is_right, person_scores)


def _coco(table: pd.DataFrame, ranks: np.ndarray):  # type: ignore[no-untyped-def]
    """Return a table as pycocotools' COCO; ids count from 1, as it takes 0 for no match."""
    from pycocotools.coco import COCO

    corners = [table[name].to_numpy() for name in COORDINATES]
    boxes = np.stack([*corners[:2], corners[2] - corners[0], corners[3] - corners[1]], axis=1)
    images = ranks[table["keyframe"]].tolist()
    columns = [images, boxes.tolist(), (boxes[:, 2] * boxes[:, 3]).tolist()]
    columns.append(table["score"].tolist() if "score" in table.columns else [1.0] * len(table))
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image} for image in sorted(set(images))],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                "id": row, "image_id": image, "category_id": 1, "bbox": box, "area": area,
                "iscrowd": 0, "score": score,
            }
            for row, (image, box, area, score) in enumerate(
                zip(*columns, strict=True), start=1
            )
        ],
    }  # fmt: skip
    coco.createIndex()
    return coco
