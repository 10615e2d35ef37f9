"""Kinds of errors, and the mAP that mending each would give.

An oracle mends one kind and everything is ranked again: a false detection goes away; a
poor box is drawn as annotated, and so becomes true with its own score where its
annotation is still missed, and goes away where it is not; a missed annotation is no
longer counted as something to find, for nobody knows with which score it would have
been found. An action with nothing left to find has AP 1, or 0 while a false detection
of it is left. Mended together, the kinds give AP 1 for each annotated action.

Source: TIDE (Bolya et al., ECCV 2020, arXiv:2008.08115, Sec. 2.3), whose oracles these
are. Differences: TIDE turns a wrong class into the right one; a person of AVA has several
actions and each box a score for all of them, so there is no single right one, and the
false claim goes away. TIDE's missed objects are two kinds here.
"""

import math
from dataclasses import dataclass

import numpy as np

from x3d_det.evaluation.analysis.fates import Fate, Fates
from x3d_det.evaluation.analysis.ranking import Ranking
from x3d_det.evaluation.analysis.result import ErrorKind, mean_of_known

_FALSE_KINDS = {
    "wrong_action": (
        Fate.WRONG_ACTION,
        "Wrong action",
        "The box lies on an annotated person (IoU 0.5 or more) who does not do this action. "
        "Mended: the detection goes away.",
    ),
    "poor_box": (
        Fate.POOR_BOX,
        "Poor box",
        "The box lies beside a person who does this action (IoU 0.1 to 0.5). Mended: the box is "
        "drawn as annotated.",
    ),
    "wrong_action_beside": (
        Fate.WRONG_ACTION_BESIDE,
        "Wrong action, poor box",
        "The box lies beside persons (IoU 0.1 to 0.5) of whom none does this action. Mended: the "
        "detection goes away.",
    ),
    "duplicate": (
        Fate.DUPLICATE,
        "Duplicate",
        "The person and the action are right, but another detection had found them already. "
        "Mended: the detection goes away.",
    ),
    "background": (
        Fate.BACKGROUND,
        "Background",
        "The box overlaps no annotated person (IoU below 0.1). Mended: the detection goes away.",
    ),
}
_MISSED_KINDS = {
    "no_box": (
        "No box",
        "A missed annotation that no detected box overlaps by 0.5: the person detector's miss. "
        "Mended: it no longer counts as something to find.",
    ),
    "not_reported": (
        "Not reported",
        "A missed annotation on which a detected box lies, without a detection of its action: "
        "left out, or beyond the limit of the rules. Mended: it no longer counts as something to "
        "find.",
    ),
}
FALSE_KINDS = {key: fate for key, (fate, _, _) in _FALSE_KINDS.items()}
"""Keys of the kinds of false detections, with their fates."""
KIND_TITLES = {
    **{key: title for key, (_, title, _) in _FALSE_KINDS.items()},
    **{key: title for key, (title, _) in _MISSED_KINDS.items()},
}
"""Names of all kinds."""


@dataclass(frozen=True)
class _Mended:
    """What an oracle leaves: detections that stay, true ones, annotations to find."""

    kept: np.ndarray
    is_true: np.ndarray
    num_annotations: np.ndarray


class Oracle:
    """Mends errors and ranks again.

    Args:
        fates: what became of each detection.
        ranking: of the same detections.
        is_counted: (K,) bool: the classes over which the mean runs.
    """

    def __init__(self, fates: Fates, ranking: Ranking, *, is_counted: np.ndarray) -> None:
        self.is_counted = is_counted
        self._fates = fates
        self._ranking = ranking
        self._ranked_fates = fates.fates[ranking.order]
        self._becomes_true = fates.mended()
        self._ranked_becomes_true = self._becomes_true[ranking.order]
        self._annotations = np.bincount(fates.truth.classes, minlength=fates.num_classes)

    def average_precision(self, kinds: frozenset[str] = frozenset()) -> np.ndarray:
        """Return (K,) AP with these kinds of errors mended; NaN where a class does not count."""
        left = self._mended(kinds)
        result = self._ranking.average_precision(left.kept, left.is_true, left.num_annotations)
        emptied = np.flatnonzero((self._annotations > 0) & (left.num_annotations == 0))
        bounds = self._ranking.bounds
        for index in emptied:
            has_false = left.kept[bounds[index] : bounds[index + 1]].any()
            result[index] = 0.0 if has_false else 1.0
        return np.where(self.is_counted, result, np.nan)

    def mean_ap(self, kinds: frozenset[str] = frozenset()) -> float:
        """Return the mean AP with these kinds of errors mended."""
        return mean_of_known(self.average_precision(kinds).tolist())

    def _mended(self, kinds: frozenset[str]) -> _Mended:
        fates = self._fates
        kept = np.ones(len(self._ranked_fates), bool)
        is_true = self._ranked_fates == Fate.MATCHED
        for key in kinds & FALSE_KINDS.keys():
            kept &= self._ranked_fates != FALSE_KINDS[key]
        missed = ~fates.is_found
        if "poor_box" in kinds:
            kept |= self._ranked_becomes_true
            is_true |= self._ranked_becomes_true
            missed[fates.annotations[self._becomes_true]] = False
        forgiven = np.zeros(len(missed), bool)
        for key in kinds & _MISSED_KINDS.keys():
            forgiven |= missed & (fates.has_box == (key == "not_reported"))
        left = fates.truth.classes[~forgiven]
        return _Mended(kept, is_true, np.bincount(left, minlength=fates.num_classes))


def error_kinds(
    fates: Fates, oracle: Oracle, confident: np.ndarray, *, mean_ap: float
) -> tuple[ErrorKind, ...]:
    """Return the kinds of errors in the order in which a detector's makers meet them.

    Args:
        fates: what became of each detection.
        oracle: for the same.
        confident: (D,) bool, detections that score high.
        mean_ap: with nothing mended.
    """
    numbers = np.bincount(fates.fates, minlength=len(Fate))
    confident_numbers = np.bincount(fates.fates[confident], minlength=len(Fate))
    missed = ~fates.is_found
    facts: list[tuple[str, str, str, int, int]] = []
    for key, (fate, title, meaning) in _FALSE_KINDS.items():
        facts.append((key, title, meaning, int(numbers[fate]), int(confident_numbers[fate])))
    for key, (title, meaning) in _MISSED_KINDS.items():
        number = int((missed & (fates.has_box == (key == "not_reported"))).sum())
        facts.append((key, title, meaning, number, number))
    kinds: list[ErrorKind] = []
    before: frozenset[str] = frozenset()
    for key, title, meaning, number, num_confident in facts:
        so_far = before | {key}
        last = kinds[-1].mean_ap_so_far if kinds else mean_ap
        kinds.append(
            ErrorKind(
                key=key,
                title=title,
                meaning=meaning,
                number=number,
                num_confident=num_confident,
                mean_ap_alone=oracle.mean_ap(frozenset([key])) if number else mean_ap,
                mean_ap_so_far=oracle.mean_ap(so_far) if number else last,
            )
        )
        before = so_far
    return tuple(kinds)


def confident_score(fates: Fates) -> float:
    """Return the score from which on as many detections are shown as there are annotations."""
    number = min(len(fates.truth), len(fates.scores))
    if not number:
        return math.nan
    return float(np.partition(fates.scores, -number)[-number])
