"""mAP over parts of an evaluation: by the size of persons, and by how many there are.

Sizes follow COCO: annotations of another size are ignored, with the detections that
match them and with the false detections of another size. Numbers of persons part the
keyframes: each part is an evaluation of its own.

Source of the sizes' rule: cocodataset.org/#detection-eval and pycocotools, where an
annotation outside the range is ignored. Difference: which annotation a detection looks
at stays as in the whole evaluation, where COCO tries the counted ones first.
"""

import numpy as np

from x3d_det.evaluation.analysis.fates import Fate, Fates
from x3d_det.evaluation.analysis.ranking import Ranking
from x3d_det.evaluation.analysis.result import PartResult, mean_of_known

# The side of a person doubles from bound to bound: a tenth, a fifth, two fifths and four
# fifths of the frame's. On the 14 x 14 features of a 224-pixel crop these are 1.4, 2.8, 5.6
# and 11 cells. The median person of AVA covers a quarter of the frame (v1.0 test: 0.247;
# v2.1 val: 0.231), so COCO's bounds (0.3 % and 3 % of its pictures) would leave nearly all
# of AVA in one part.
SIZE_BOUNDS = (0.01, 0.04, 0.16, 0.64)
SIZE_NAMES = ("below 1 %", "1 to 4 %", "4 to 16 %", "16 to 64 %", "64 % and more")
PERSON_NAMES = ("1 person", "2 persons", "3 persons", "4 persons", "5 and more")


def by_size(fates: Fates, ranking: Ranking, is_counted: np.ndarray) -> tuple[PartResult, ...]:
    """Return mAP for each size of the annotated box, as a share of the frame."""
    of_truth = np.digitize(fates.persons.areas, SIZE_BOUNDS).astype(np.int8)[fates.persons.of_row]
    of_row = np.digitize(fates.boxes.areas, SIZE_BOUNDS).astype(np.int8)[fates.boxes.of_row]
    matched = np.flatnonzero(fates.fates == Fate.MATCHED)
    of_row[matched] = of_truth[fates.annotations[matched]]
    return _parts(fates, ranking, is_counted, SIZE_NAMES, of_truth, of_row)


def by_persons(
    fates: Fates, ranking: Ranking, is_counted: np.ndarray
) -> tuple[tuple[PartResult, ...], int]:
    """Return mAP for each number of annotated boxes, and the detections where there is none."""
    numbers = np.bincount(fates.persons.keyframes, minlength=fates.num_keyframes)
    part = (np.minimum(numbers, len(PERSON_NAMES)) - 1).astype(np.int8)
    of_row = part[fates.keyframes]
    of_truth = part[fates.truth.keyframes]
    parts = _parts(fates, ranking, is_counted, PERSON_NAMES, of_truth, of_row)
    return parts, int((of_row < 0).sum())


def _parts(
    fates: Fates,
    ranking: Ranking,
    is_counted: np.ndarray,
    names: tuple[str, ...],
    of_truth: np.ndarray,
    of_row: np.ndarray,
) -> tuple[PartResult, ...]:
    """Return one result a part, from the part of each annotation and of each detection."""
    ranked, is_matched = of_row[ranking.order], (fates.fates == Fate.MATCHED)[ranking.order]
    results = []
    for number, name in enumerate(names):
        kept = ranked == number
        is_true = kept & is_matched
        annotated = np.bincount(
            fates.truth.classes[of_truth == number], minlength=fates.num_classes
        )
        precision = ranking.average_precision(kept, is_true, annotated)[is_counted]
        results.append(
            PartResult(
                name=name,
                mean_ap=mean_of_known(precision.tolist()),
                num_classes=int((annotated[is_counted] > 0).sum()),
                num_annotations=int(annotated.sum()),
                num_detections=int(kept.sum()),
                num_matched=int(is_true.sum()),
            )
        )
    return tuple(results)
