"""The official programs' results on files kept beside the repository.

Recorded from ActivityNet be7854e (2018), 3fee089 (2019), 82304fa (2020) and PySlowFast
287ec00 with a stable sort in place of numpy's default one; per_class holds without
tolerance where no scores are equal, and with that sort where some are. 1e-12 leaves
room for another order of summation only. Of MMAction2 see `test_mmaction2_rules.py`.
"""

import json
import math
import os
from pathlib import Path

import pytest

from x3d_det.evaluation import RULES, evaluate_files

CASES = [
    *("micro/m01_perfect", "micro/m02_duplicate_low_score_first", "micro/m04_frame_absent_from_gt"),
    *("micro/m05_excluded_keyframe", "micro/m06_unknown_class", "micro/m08_empty_predictions"),
    *("micro/m10_iou_at_threshold", "micro/m11_more_than_fifty", "micro/m15_equal_scores"),
    *("micro/m18_order_forward", "micro/m22_odd_video_ids"),
    *("small/s01_plain", "small/s02_all_classes_shuffled", "small/s03_two_decimals"),
    *("real/r01_slowfast_ava22_one_video", "real/r02_same_with_distinct_scores"),
    *("real/r03_mmaction2_unit_test", "large/l01_ava_v1_all_videos"),
]


def _file(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    return None


def test_no_case_is_forgotten(shared_dir):
    root = shared_dir / "ava" / "eval_cases"
    there = {os.path.relpath(path.parent, root) for path in root.glob("*/*/expected.json")}
    assert there == set(CASES)


@pytest.mark.parametrize("rules", [name for name in RULES if name != "mmaction2"])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_official_program(shared_dir, case, rules):
    folder = shared_dir / "ava" / "eval_cases" / case
    expected = json.loads((folder / "expected.json").read_text())["protocols"]
    expected = expected[rules.replace("activitynet", "activitynet_")]
    report = evaluate_files(
        _file(folder, "gt.csv") or shared_dir / "ava" / "annotations" / "ava_test_v1.0.csv",
        _file(folder, "pred.csv"),
        label_map_path=_file(folder, "label_map.pbtxt"),
        exclusions_path=_file(folder, "excluded.csv"),
        rules=rules,
    )
    assert report.mean_ap == pytest.approx(expected["mAP"], abs=1e-12)
    assert {str(key) for key in report.per_class} == expected["per_class"].keys()
    for action_id, ap in report.per_class.items():
        official = expected["per_class"][str(action_id)]
        if official is None:
            assert math.isnan(ap)
        else:
            assert ap == pytest.approx(official, abs=1e-12)
