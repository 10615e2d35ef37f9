"""All rule sets on one file: the numbers are each one's own, the causes counted by hand."""

import importlib.util
import json
import math

import pytest

from x3d_det.errors import X3DDetError
from x3d_det.evaluation import RULES, compare_files, evaluate_files, write_comparison
from x3d_det.evaluation import ava as ava_module
from x3d_det.io.detection_tables import read_detection_table, write_detection_table

WHOLE = "0,0,1,1"


def _compare(tmp_path, truth, found, excluded=""):
    paths = _write(tmp_path, truth, found, excluded)
    return compare_files(*paths[:2], exclusions_path=paths[2] if excluded else None)


def _write(tmp_path, truth, found, excluded=""):
    paths = [tmp_path / name for name in ("gt.csv", "pred.csv", "excluded.csv")]
    for path, text in zip(paths, (truth, found, excluded), strict=True):
        path.write_text(text)
    return paths


def _outcome(comparison, rules):
    return next(outcome for outcome in comparison.outcomes if outcome.rules == rules)


def _cause(comparison, rules, rule):
    return next(cause for cause in _outcome(comparison, rules).causes if cause.rule == rule)


def _rules_of(comparison, rules):
    return [cause.rule for cause in _outcome(comparison, rules).causes]


@pytest.mark.parametrize(
    "case", ["small/s02_all_classes_shuffled", "real/r01_slowfast_ava22_one_video"]
)
def test_real_files(shared_dir, case):
    folder = shared_dir / "ava" / "eval_cases" / case
    excluded = folder / "excluded.csv"
    excluded = excluded if excluded.exists() else None
    comparison = compare_files(folder / "gt.csv", folder / "pred.csv", exclusions_path=excluded)
    assert comparison.reference == "pyslowfast"
    means = {}
    for outcome in comparison.outcomes:
        alone = evaluate_files(
            folder / "gt.csv", folder / "pred.csv", exclusions_path=excluded, rules=outcome.rules
        )
        assert outcome.report.to_dict() == alone.to_dict()
        means[outcome.rules] = alone.mean_ap
        total = means["pyslowfast"] + sum(cause.change for cause in outcome.causes)
        assert total == pytest.approx(alone.mean_ap, abs=1e-12)
    assert list(means) == list(RULES)


def test_files_are_read_once(tmp_path, monkeypatch):
    calls = []
    for name in ("read_annotations", "read_detection_table"):
        reader = getattr(ava_module, name)
        monkeypatch.setattr(
            ava_module,
            name,
            lambda *args, _name=name, _reader=reader, **options: (
                calls.append(_name),
                _reader(*args, **options),
            )[1],
        )
    _compare(tmp_path, f"v,902,{WHOLE},12,0\n", f"v,902,{WHOLE},12,0.5\n")
    assert calls == ["read_annotations", "read_detection_table"]


def test_perfect_files_have_no_causes(tmp_path):
    comparison = _compare(tmp_path, f"v,902,{WHOLE},12,0\n", f"v,902,{WHOLE},12,0.5\n")
    assert all(outcome.causes == () for outcome in comparison.outcomes)
    assert "mmaction2: no difference" in comparison.summary_lines()


def test_order_of_matching(tmp_path):
    # Two keyframes; on the first the weaker row comes first and takes the box under pyslowfast.
    truth = f"v,902,{WHOLE},12,0\nv,903,{WHOLE},12,0\n"
    found = f"v,902,0,0,1,0.9,12,0.1\nv,902,{WHOLE},12,0.9\nv,903,{WHOLE},12,0.5\n"
    cause = _cause(_compare(tmp_path, truth, found), "activitynet2018", "matching")
    assert cause.counts == {"keyframes": 1, "detections": 1}
    # Ranks: false, true, true of 2: 2/3 at both; by score true, true, false: 1.
    assert cause.change == pytest.approx(1 / 3)
    assert cause.text == (
        "1 keyframe matched by falling score instead of in row order, with another result "
        "(1 detection true now that were false)"
    )


def test_limit_of_fifty(tmp_path):
    # 60 rows of action 11 beat the only row of action 12.
    truth = f"v,902,{WHOLE},11,0\nv,902,{WHOLE},12,0\n"
    found = "".join(f"v,902,{WHOLE},11,{0.9 - i / 100:.2f}\n" for i in range(60))
    found += f"v,902,{WHOLE},12,0.1\n"
    comparison = _compare(tmp_path, truth, found)
    cause = _cause(comparison, "activitynet2019", "limit")
    assert cause.counts == {"detections": 11, "keyframes": 1, "lost_matches": 1}
    assert cause.change == -0.5
    assert "dropped 11 detections on 1 keyframe (1 of them true)" in cause.text
    assert _rules_of(comparison, "activitynet2018") == []


def test_keyframes_and_classes(tmp_path):
    # 903 is named by an unknown action, 904 by nothing; action 80 has no detection.
    truth = f"v,902,{WHOLE},12,0\nv,902,{WHOLE},80,0\nv,903,{WHOLE},2,0\n"
    found = "".join(f"v,{second},{WHOLE},12,0.{second}\n" for second in (902, 903, 904))
    comparison = _compare(tmp_path, truth, found)
    named = _cause(comparison, "activitynet2020", "keyframes")
    assert named.counts == {"detections": 1, "keyframes": 1}
    assert named.text == (
        "1 keyframe that the annotation file does not name: their 1 detection are ignored"
    )
    assert named.change == pytest.approx((1 / 2 - 1 / 3) / 2)
    known = _cause(comparison, "mmaction2", "keyframes")
    assert known.counts == {"detections": 2, "keyframes": 2}
    assert known.change == pytest.approx((1 - 1 / 3) / 2)
    classes = _cause(comparison, "mmaction2", "undetected")
    assert (classes.counts, classes.change) == ({"actions": 1}, 0.5)
    assert classes.text == "1 class without a detection left out of the mean"
    assert _rules_of(comparison, "mmaction2") == ["keyframes", "undetected"]


def test_exclusions(tmp_path):
    truth = f"v,902,{WHOLE},12,0\nv,903,{WHOLE},12,0\n"
    found = f"v,902,{WHOLE},12,0.5\nv,903,0,0,0.1,0.1,12,0.9\n"
    comparison = _compare(tmp_path, truth, found, "v,903\n")
    unused = _cause(comparison, "activitynet2020", "exclusions")
    assert unused.counts == {"annotations": 1, "detections": 1}
    assert unused.change == pytest.approx(0.25 - 1)  # of two found one, at rank 2
    assert unused.text == (
        "the exclusion list is not used: 1 annotation and 1 detection on its 1 keyframe count"
    )
    missed = _cause(comparison, "mmaction2", "excluded_annotations")
    assert (missed.counts, missed.change) == ({"annotations": 1}, -0.5)
    assert missed.text == "1 annotation on 1 excluded keyframe count as misses"


def test_boxes_without_area(tmp_path):
    truth, found = f"v,902,{WHOLE},12,0\n", f"v,902,0.5,0,0.5,1,12,0.9\nv,902,{WHOLE},12,0.5\n"
    cause = _cause(_compare(tmp_path, truth, found), "mmaction2", "empty_boxes")
    assert (cause.counts, cause.change) == ({"detections": 1}, -0.5)
    assert cause.text == "1 detection whose box has no area take part"


def test_low_scores_return_from_2018(tmp_path):
    truth, found = f"v,902,{WHOLE},12,0\n", f"v,902,{WHOLE},12,-11\n"
    comparison = _compare(tmp_path, truth, found)
    cause = _cause(comparison, "activitynet2018", "low_scores")
    assert (cause.counts, cause.change) == ({"detections": 1}, -1.0)
    assert cause.text == "1 detection with a score of -10 or less dropped"


def test_single_precision(tmp_path):
    # IoU 0.5 in decimals: just below in float64, not below in float32.
    truth, found = "v,902,0.1,0,0.5,1,12,0\n", "v,902,0.1,0,0.3,1,12,0.9\n"
    cause = _cause(_compare(tmp_path, truth, found), "mmaction2", "precision")
    assert abs(cause.change) == 1.0
    assert cause.counts["keyframes"] == 1


def test_equal_scores_rank_by_the_annotations(tmp_path):
    truth = f"v,902,{WHOLE},12,0\nv,903,0,0,0.1,0.1,12,0\n"
    found = f"v,903,{WHOLE},12,0.5\nv,902,{WHOLE},12,0.5\n"
    cause = _cause(_compare(tmp_path, truth, found), "mmaction2", "rank_order")
    assert (cause.counts, cause.change) == ({}, -0.25)
    assert cause.text == "equal scores rank by the annotation file's order of keyframes"


def test_rules_that_cannot_take_the_file(tmp_path):
    truth, found = f"v,902.5,{WHOLE},12,0\n", f"v,902.5,{WHOLE},12,0.5\n"
    comparison = _compare(tmp_path, truth, found)
    assert comparison.reference == "activitynet2020"
    refused = _outcome(comparison, "mmaction2")
    assert refused.report is None
    assert "the second 902.5 has a fraction" in refused.refusal
    lines = comparison.summary_lines()
    assert any(
        line.startswith("mmaction2 ") and "cannot take these files" in line for line in lines
    )
    assert comparison.to_dict()["rules"]["pyslowfast"]["mAP"] is None


def test_no_rules_can_take_the_file(tmp_path):
    # The annotated box is inverted and a detection lies near it: all five stop.
    comparison = _compare(tmp_path, "v,902,0.9,0,0.1,1,12,0\n", f"v,902,{WHOLE},12,0.5\n")
    assert comparison.reference == ""
    assert {outcome.report for outcome in comparison.outcomes} == {None}
    assert comparison.files["annotations"].endswith("gt.csv")
    assert len(comparison.summary_lines()) == 1 + 2 * len(RULES)


def test_missing_scores_and_inverted_detections(tmp_path):
    truth, found = f"v,902,{WHOLE},12,0\n", f"v,902,{WHOLE},12\nv,902,1,0,0,1,12\n"
    comparison = _compare(tmp_path, truth, found)
    assert comparison.reference == "activitynet2018"
    assert "no score" in _outcome(comparison, "pyslowfast").refusal
    assert "is inverted" in _outcome(comparison, "mmaction2").refusal
    assert _outcome(comparison, "activitynet2019").causes == ()


def test_no_detections(tmp_path):
    comparison = _compare(tmp_path, f"v,902,{WHOLE},12,0\n", "")
    cause = _cause(comparison, "mmaction2", "undetected")
    assert math.isnan(cause.change)
    plain = comparison.to_dict()["rules"]["mmaction2"]
    assert (plain["mAP"], plain["change"], plain["causes"][0]["change"]) == (None, None, None)
    assert any(
        line.split()[:3] == ["mmaction2", "none", "none"] for line in comparison.summary_lines()
    )


def test_files_written(tmp_path):
    comparison = _compare(tmp_path, f"v,902,{WHOLE},12,0\n", f"v,902,{WHOLE},12,0.5\n")
    paths = write_comparison(comparison, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["compare.json", "compare.txt"]
    data = json.loads(paths[0].read_text())
    assert data["reference"] == "pyslowfast"
    assert {name: result["mAP"] for name, result in data["rules"].items()} == dict.fromkeys(
        RULES, 1.0
    )
    assert data["rules"]["mmaction2"]["per_class"]["12"] == 1.0
    assert paths[1].read_text().splitlines() == data["summary"] == comparison.summary_lines()
    (tmp_path / "file").write_text("")
    with pytest.raises(X3DDetError, match=r"cannot write the comparison into .*file"):
        write_comparison(comparison, tmp_path / "file")


@pytest.fixture(scope="module")
def run(repository):
    """Run the command's `main` with these options; return its exit code."""
    path = repository / "tools" / "evaluate_ava.py"
    spec = importlib.util.spec_from_file_location("evaluate_ava", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return lambda *options: tool.main([str(option) for option in options])


@pytest.mark.parametrize("form", ["csv", "parquet", "npz"])
def test_the_command_compares(run, tmp_path, capsys, form):
    truth, found, _ = _write(tmp_path, f"v,902,{WHOLE},12,0\n", f"v,902,{WHOLE},12,0.5\n")
    write_detection_table(read_detection_table(found), tmp_path / f"table.{form}")
    files = ("--annotations", truth, "--detections", tmp_path / f"table.{form}")
    out = tmp_path / "out"
    assert run(*files, "--rules", "all", "--output-dir", out) == 0
    assert json.loads((out / "compare.json").read_text())["rules"]["mmaction2"]["mAP"] == 1.0
    printed = capsys.readouterr().out
    assert "mmaction2          1.0000  +0.0000" in printed
    assert "compare.json, compare.txt" in printed
    assert run(*files, "--rules", "mmaction2", "--output-dir", out) == 0
    assert json.loads((out / "report.json").read_text())["rules"] == "mmaction2"


def test_the_command_fails_where_no_rules_take_the_file(run, tmp_path, capsys):
    truth, found, _ = _write(tmp_path, "v,902,0.9,0,0.1,1,12,0\n", f"v,902,{WHOLE},12,0.5\n")
    files = ("--annotations", truth, "--detections", found, "--output-dir", tmp_path / "out")
    assert run(*files, "--rules", "all") == 1
    assert "cannot take these files" in capsys.readouterr().out


def test_the_command_compares_files_alone(run, capsys):
    assert run("--config", "x3d_m_ava.yaml", "--checkpoint", "x", "--rules", "all") == 2
    assert "--rules all compares files" in capsys.readouterr().err
