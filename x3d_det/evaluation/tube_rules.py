"""How JHMDB-21, UCF101-24 and MultiSports are scored: what their public programs differ in.

| | jhmdb, ucf101 | multisports |
| --- | --- | --- |
| width of a box | x2 - x1 + 1 | x2 - x1 |
| duration of a tube, in frames | last - first + 1 | last - first |
| the best annotation is taken already | the next best is looked at | the detection is false |
| area under precision and recall | trapezoids, from precision 1 | precision made monotone |
| a class without annotation | counts as 0 | left out of the mean |
| classes left out | none | six |

The IoU of two tubes is the mean IoU of their boxes over the frames they share, times the share
of those frames in all that either has. A detection is true from the threshold on (`>=`).
A consequence of MultiSports' durations: tubes that share a single frame have IoU 0.

Source, jhmdb and ucf101: vkalogeiton/caffe a431461, act-detector-scripts/ACT.py (`frameAP`,
`videoAP`) and ACT_utils.py (`iou2d`, `iou3dt`, `pr_to_ap`); Python 3 with the same rules:
MCG-NJU/MOC-Detector 45c3fd0, src/ACT.py, whose `videpAP_050_095` gives the ten thresholds.
ACT divides by zero where a class without annotation has detections; where it has none, its AP
is 0 and counts, and we take 0 for both. ACT keeps precision and recall in float32, we in
float64. `videoAP` there first thins its own tubes out (`nms3dt` at 0.3), which here belongs to
linking (`tubes.LinkOptions`). Another published scorer of UCF101-24, in MATLAB
(gurkirt/corrected-UCF101-Annots 5de776b, evaluation/get_PR_curve.m), needs an IoU above the
threshold, takes the monotone area and moves detections by a pixel; it is not offered.
Source, multisports: MCG-NJU/MultiSports a29e291, evaluate_multisports.py (`frameAP`, `videoAP`,
`videoAP_all`, `iou3dt_voc`, `pr_to_ap_voc`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from x3d_det.errors import DataError, did_you_mean

_UPPER = tuple(0.5 + 0.05 * step for step in range(10))
_LOWER = tuple(0.05 + 0.05 * step for step in range(9))
_TENTHS = tuple(0.1 + 0.1 * step for step in range(9))

REPORTED_IOUS = (0.2, 0.5, 0.75)
"""Thresholds at which video-mAP is reported by itself."""


@dataclass(frozen=True, kw_only=True)
class TubeRules:
    """One data set's rules.

    Args:
        name: key in `TUBE_RULES`.
        extra_pixel: added to x2 - x1 and y2 - y1 for the sides of a box.
        extra_frame: added to last - first for the duration of a tube.
        second_choice: a detection whose best annotation is taken may find the next best.
        area: how precision and recall become AP.
        counts_empty_classes: a class without annotation counts as 0 in the mean.
        ignored: names of labels that are not evaluated.
        averages: name -> IoU thresholds over which video-mAP is averaged.
    """

    name: str
    extra_pixel: float
    extra_frame: int
    second_choice: bool
    area: Literal["trapezoid", "monotone"]
    counts_empty_classes: bool
    ignored: frozenset[str] = frozenset()
    averages: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: {"0.50:0.95": _UPPER})


def _act(name: str) -> TubeRules:
    return TubeRules(
        name=name,
        extra_pixel=1.0,
        extra_frame=1,
        second_choice=True,
        area="trapezoid",
        counts_empty_classes=True,
    )


TUBE_RULES: dict[str, TubeRules] = {
    rules.name: rules
    for rules in (
        _act("jhmdb"),
        _act("ucf101"),
        TubeRules(
            name="multisports",
            extra_pixel=0.0,
            extra_frame=0,
            second_choice=False,
            area="monotone",
            counts_empty_classes=False,
            ignored=frozenset(
                (
                    "aerobic kick jump",
                    "aerobic off axis jump",
                    "aerobic butterfly jump",
                    "aerobic balance turn",
                    "basketball save",
                    "basketball jump ball",
                )
            ),
            averages={"0.50:0.95": _UPPER, "0.05:0.45": _LOWER, "0.10:0.90": _TENTHS},
        ),
    )
}
"""Rules by name; `jhmdb` and `ucf101` are the same program's."""


def tube_rules_named(name: str) -> TubeRules:
    """Return the rules of a name.

    Raises:
        DataError: there are none of that name.
    """
    if name not in TUBE_RULES:
        allowed = ", ".join(TUBE_RULES)
        hint = did_you_mean(name, TUBE_RULES)
        raise DataError(f"no tube rules named {name!r}; there are {allowed}{hint}.")
    return TUBE_RULES[name]
