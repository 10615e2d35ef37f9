"""The keyframes with most errors, and those errors in words."""

from collections.abc import Sequence

import numpy as np

from x3d_det.evaluation.analysis.errors import FALSE_KINDS, KIND_TITLES
from x3d_det.evaluation.analysis.fates import Fate, Fates
from x3d_det.evaluation.analysis.result import WorstKeyframe
from x3d_det.evaluation.keyframe_index import KeyframeIndex
from x3d_det.keyframes import Keyframe

_SHOWN = 6  # actions named in one reason


def worst_keyframes(
    fates: Fates,
    confident: np.ndarray,
    *,
    index: KeyframeIndex,
    names: Sequence[str],
    number: int,
) -> tuple[WorstKeyframe, ...]:
    """Return the keyframes with most errors, the worst first, equal ones by film and second.

    An error is a confident false detection, or an annotation that no confident detection
    matched. Scores are not summed: they mean different things from model to model.

    Args:
        fates: what became of each detection.
        confident: (D,) bool.
        index: of the keyframes.
        names: of the classes.
        number: at most so many; keyframes without an error are never among them.
    """
    is_matched = fates.fates == Fate.MATCHED
    false = np.flatnonzero(confident & ~is_matched)
    found = np.zeros(len(fates.truth), bool)
    found[fates.annotations[confident & is_matched]] = True
    missed = np.flatnonzero(~found)
    errors = np.bincount(fates.keyframes[false], minlength=fates.num_keyframes)
    errors += np.bincount(fates.truth.keyframes[missed], minlength=fates.num_keyframes)

    chosen = np.flatnonzero(errors)
    video_names = np.array(index.video_names, dtype=object)[index.videos[chosen]]
    order = np.lexsort((index.seconds[chosen], video_names.astype(str), -errors[chosen]))
    teller = _Teller(fates, false, missed, names)
    return tuple(
        teller.tell(
            int(keyframe),
            Keyframe(index.video_names[index.videos[keyframe]], float(index.seconds[keyframe])),
        )
        for keyframe in chosen[order[:number]]
    )


class _Teller:
    """Puts the errors of a keyframe into words."""

    def __init__(
        self, fates: Fates, false: np.ndarray, missed: np.ndarray, names: Sequence[str]
    ) -> None:
        self.fates = fates
        self.false = false
        self.missed = missed
        self.names = names
        matched = np.flatnonzero(fates.fates == Fate.MATCHED)
        self.score_of_truth = np.full(len(fates.truth), np.nan)
        self.score_of_truth[fates.annotations[matched]] = fates.scores[matched]

    def tell(self, number: int, keyframe: Keyframe) -> WorstKeyframe:
        fates = self.fates
        false = self.false[fates.keyframes[self.false] == number]
        missed = self.missed[fates.truth.keyframes[self.missed] == number]
        reasons = [reason for key in FALSE_KINDS if (reason := self._false(key, false))]
        weak = missed[fates.is_found[missed]]
        if len(weak):
            reasons.append(_reason("Found with a low score", self._found_words(weak)))
        for key, has_box in (("no_box", False), ("not_reported", True)):
            rows = missed[~fates.is_found[missed] & (fates.has_box[missed] == has_box)]
            if len(rows):
                words = [self.names[index] for index in fates.truth.classes[rows]]
                reasons.append(_reason(KIND_TITLES[key], words))
        return WorstKeyframe(
            keyframe=keyframe,
            num_errors=len(false) + len(missed),
            num_annotations=int((fates.truth.keyframes == number).sum()),
            num_persons=int((fates.persons.keyframes == number).sum()),
            reasons=tuple(reasons),
        )

    def _false(self, key: str, false: np.ndarray) -> str:
        rows = false[self.fates.fates[false] == FALSE_KINDS[key]]
        rows = rows[np.argsort(-self.fates.scores[rows], kind="stable")]
        words = [
            f"{self.names[index]} {score:.2f}"
            for index, score in zip(self.fates.classes[rows], self.fates.scores[rows], strict=True)
        ]
        return _reason(KIND_TITLES[key], words) if words else ""

    def _found_words(self, rows: np.ndarray) -> list[str]:
        return [
            f"{self.names[self.fates.truth.classes[row]]} {self.score_of_truth[row]:.2f}"
            for row in rows
        ]


def _reason(title: str, words: Sequence[str]) -> str:
    more = f", and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return f"{title}: {', '.join(words[:_SHOWN])}{more}"
