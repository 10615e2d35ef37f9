"""What the analysis of a score holds."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from x3d_det.evaluation.analysis.ranking import PrecisionRecall
from x3d_det.keyframes import Keyframe


@dataclass(frozen=True, kw_only=True)
class ClassAnalysis:
    """One action.

    Args:
        action_id: as in the label map.
        name: of the action.
        group: AVA's, or "".
        ap: average precision; NaN without annotations.
        ceiling: share of the annotations that any detected box overlaps by 0.5, whatever
            its action: the recall that the person boxes allow; NaN without annotations.
        num_annotations: annotated boxes.
        num_detections: detections that took part.
        num_matched: true ones.
        num_no_box: annotations that no detected box overlaps by 0.5.
        num_not_reported: missed annotations that a detected box does overlap by 0.5.
        num_false: false detections by kind (`ErrorKind.key`).
        curve: precision and recall.
    """

    action_id: int
    name: str
    group: str
    ap: float
    ceiling: float
    num_annotations: int
    num_detections: int
    num_matched: int
    num_no_box: int
    num_not_reported: int
    num_false: Mapping[str, int]
    curve: PrecisionRecall


@dataclass(frozen=True, kw_only=True)
class PartResult:
    """mAP over a part of the evaluation.

    Args:
        name: of the part.
        mean_ap: mean over the actions with annotations in it; NaN where there is none.
        num_classes: those actions.
        num_annotations: annotations in the part.
        num_detections: detections that count in it.
        num_matched: true ones.
    """

    name: str
    mean_ap: float
    num_classes: int
    num_annotations: int
    num_detections: int
    num_matched: int


@dataclass(frozen=True, kw_only=True)
class ErrorKind:
    """One kind of error and what mending it would give.

    Args:
        key: short name, for files.
        title: for people.
        meaning: what counts as it, and how it is mended.
        number: false detections or missed annotations of this kind.
        num_confident: of false detections, those with `AvaAnalysis.confident_score` or
            more; of missed annotations, all.
        mean_ap_alone: mAP if this kind alone were mended.
        mean_ap_so_far: mAP if this kind and all before it were mended.
    """

    key: str
    title: str
    meaning: str
    number: int
    num_confident: int
    mean_ap_alone: float
    mean_ap_so_far: float


@dataclass(frozen=True, kw_only=True)
class WorstKeyframe:
    """A keyframe with many errors.

    Args:
        keyframe: film and second.
        num_errors: confident false detections, and annotations that no confident
            detection matched.
        num_annotations: on it.
        num_persons: annotated boxes on it.
        reasons: the errors in words.
    """

    keyframe: Keyframe
    num_errors: int
    num_annotations: int
    num_persons: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AvaAnalysis:
    """Why a frame-mAP is what it is.

    Args:
        rules: name of the rule set.
        mean_ap: mean AP over the actions with annotations; NaN where there is none.
        mean_ceiling: mean of the actions' ceilings over the same actions.
        confident_score: score of the N-th best detection, N the number of annotations:
            from it on, as many detections are shown as there is to find. NaN without
            detections or annotations.
        num_annotations, num_detections, num_matched: over all actions.
        classes: one an action of the label map, rising id.
        groups: mAP of AVA's groups.
        sizes: mAP by the share of the frame that an annotated box covers.
        persons: mAP by the number of annotated boxes on the keyframe.
        num_detections_without_person: detections on keyframes without annotation, which
            are in none of `persons`.
        errors: the kinds of errors; their numbers add up to all false detections and all
            missed annotations.
        worst: the keyframes with most errors, worst first.
    """

    rules: str
    mean_ap: float
    mean_ceiling: float
    confident_score: float
    num_annotations: int
    num_detections: int
    num_matched: int
    classes: tuple[ClassAnalysis, ...]
    groups: tuple[PartResult, ...]
    sizes: tuple[PartResult, ...]
    persons: tuple[PartResult, ...]
    num_detections_without_person: int
    errors: tuple[ErrorKind, ...]
    worst: tuple[WorstKeyframe, ...]

    @property
    def mean_ap_all_mended(self) -> float:
        """mAP with every error mended: 1, or NaN where there is no annotation."""
        return self.errors[-1].mean_ap_so_far

    @property
    def num_false(self) -> int:
        """False detections."""
        return self.num_detections - self.num_matched

    @property
    def num_missed(self) -> int:
        """Missed annotations."""
        return self.num_annotations - self.num_matched

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; NaN becomes None."""
        plain = _plain(asdict(self))
        assert isinstance(plain, dict)
        return plain


def mean_of_known(values: list[float]) -> float:
    """Return the mean of the values that are not NaN; NaN where there is none."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
