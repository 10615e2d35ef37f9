"""Detections ranked once, so that many average precisions cost little.

Legend: D detections, K actions.
"""

from dataclasses import dataclass

import numpy as np

from x3d_det.evaluation.frame_ap import area_of_ranks


@dataclass(frozen=True)
class PrecisionRecall:
    """A precision-recall curve at the true detections, best score first, thinned.

    Args:
        recall: shares of the annotations, rising.
        precision: the largest precision at this recall or a higher one; the area under
            it is the average precision.
        score: of the detection with which the recall is reached.
    """

    recall: tuple[float, ...]
    precision: tuple[float, ...]
    score: tuple[float, ...]


class Ranking:
    """Detections class by class, best first; equal scores as the evaluator has them.

    Args:
        classes: (D,) 0 to K - 1, keyframe after keyframe.
        scores: (D,).
        num_classes: K.
    """

    def __init__(self, classes: np.ndarray, scores: np.ndarray, num_classes: int) -> None:
        by_class = np.argsort(classes.astype(np.min_scalar_type(num_classes)), kind="stable")
        self.bounds = np.concatenate([[0], np.cumsum(np.bincount(classes, minlength=num_classes))])
        self.order = np.empty(len(classes), np.int32 if len(classes) < 1 << 31 else np.int64)
        for start, stop in zip(self.bounds[:-1], self.bounds[1:], strict=True):
            rows = by_class[start:stop]
            # Of equal scores the later row ranks higher: a stable rising sort, reversed.
            self.order[start:stop] = rows[_stable_order(scores[rows])[::-1]]

    def average_precision(
        self, kept: np.ndarray, is_true: np.ndarray, num_annotations: np.ndarray
    ) -> np.ndarray:
        """Return (K,) average precision, NaN where a class has no annotation.

        Args:
            kept: (D,) bool, ranked: the detections that count.
            is_true: (D,) bool, ranked: those that are true, all of them kept.
            num_annotations: (K,).
        """
        kept_places, true_places = np.flatnonzero(kept), np.flatnonzero(is_true)
        ranks = np.searchsorted(kept_places, true_places) + 1
        before = np.searchsorted(kept_places, self.bounds[:-1])
        bounds = np.searchsorted(true_places, self.bounds)
        result = np.full(len(num_annotations), np.nan)
        for index in np.flatnonzero(num_annotations):
            of_class = ranks[bounds[index] : bounds[index + 1]] - before[index]
            result[index] = area_of_ranks(of_class, int(num_annotations[index]))
        return result

    def curves(
        self, is_true: np.ndarray, scores: np.ndarray, num_annotations: np.ndarray, max_points: int
    ) -> list[PrecisionRecall]:
        """Return a curve for each class; of at most `max_points`, the first and last among them.

        Args:
            is_true: (D,) bool, ranked.
            scores: (D,) not ranked.
            num_annotations: (K,).
            max_points: 2 or more.
        """
        curves = []
        for index, number in enumerate(num_annotations.tolist()):
            start, stop = self.bounds[index], self.bounds[index + 1]
            places = np.flatnonzero(is_true[start:stop])
            found = np.arange(1, len(places) + 1)
            precision = np.maximum.accumulate((found / (places + 1))[::-1])[::-1]
            shown = np.arange(len(places))
            if len(shown) > max_points:
                shown = np.linspace(0, len(places) - 1, max_points).round().astype(np.int64)
            curves.append(
                PrecisionRecall(
                    recall=tuple((found[shown] / max(number, 1)).tolist()),
                    precision=tuple(precision[shown].tolist()),
                    score=tuple(scores[self.order[start:stop][places[shown]]].tolist()),
                )
            )
        return curves


def _stable_order(values: np.ndarray) -> np.ndarray:
    """Return `np.argsort(values, kind="stable")`, several times quicker; no value is NaN.

    NumPy's plain sorts use the processor's vectors and its stable ones of floats do not.
    """
    order = np.argsort(values)
    rising = values[order]
    is_new = rising[1:] != rising[:-1]
    if not is_new.all():
        first_key = np.concatenate([[0], np.cumsum(is_new)]) * len(values)
        order = np.sort(first_key + order) - first_key  # equal values by their place
    return order
