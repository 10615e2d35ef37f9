"""evaluation/kinetics.py: accuracies by hand, by loops, and the files made of them."""

import csv
import io
import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from x3d_det.errors import DataError
from x3d_det.evaluation.kinetics import evaluate_kinetics
from x3d_det.evaluation.kinetics_chart import draw_confusion
from x3d_det.evaluation.kinetics_files import write_kinetics_report

BLUE, ORANGE = (47, 109, 179), (217, 116, 26)


@dataclass
class Video:
    name: str
    label: int
    scores_K: np.ndarray


def video(label: int, *scores: float, name: str = "v.mp4") -> Video:
    return Video(name, label, np.array(scores, dtype=np.float64))


def random_videos(num_videos: int, num_classes: int, *, steps: int | None = None) -> list[Video]:
    """Scores; with `steps` only so many values, so that ties abound."""
    rng = np.random.default_rng(num_classes)
    scores_VK = rng.random((num_videos, num_classes))
    if steps is not None:
        scores_VK = np.floor(scores_VK * steps) / steps
    labels = rng.integers(num_classes, size=num_videos)
    return [
        Video(f"{number}.mp4", int(label), scores_K)
        for number, (label, scores_K) in enumerate(zip(labels, scores_VK, strict=True))
    ]


def test_by_hand():
    report = evaluate_kinetics(
        [
            video(0, 0.7, 0.2, 0.05, 0.02, 0.02, 0.01, 0.0),  # right
            video(0, 0.1, 0.5, 0.4, 0.0, 0.0, 0.0, 0.0),  # third: wrong, among five
            video(0, 0.0, 0.5, 0.2, 0.1, 0.08, 0.07, 0.05),  # last
            video(1, 0.1, 0.6, 0.1, 0.1, 0.1, 0.0, 0.0),  # right
        ],
        "abcdefg",
    )
    assert report.top1 == 0.5
    assert report.top5 == 0.75
    assert report.mean_class_accuracy == pytest.approx((1 / 3 + 1) / 2)  # a, b; no other has videos
    assert report.ranks_V.tolist() == [0, 2, 6, 0]
    assert report.predictions_V.tolist() == [0, 1, 1, 1]
    assert report.confusion_KK[:2, :2].tolist() == [[1, 2], [0, 1]]
    a, b, c = report.classes[:3]
    assert (a.num_videos, a.num_right, a.num_right_top5, a.num_predicted) == (3, 1, 2, 1)
    assert (a.confused_with, a.num_confused, a.accuracy) == ("b", 2, pytest.approx(1 / 3))
    assert (b.num_predicted, b.confused_with, b.num_confused) == (3, None, 0)
    assert math.isnan(c.accuracy)
    [confusion] = report.confusions(10)
    assert (confusion.name, confusion.taken_for, confusion.num_videos) == ("a", "b", 2)
    lines = report.lines()
    assert lines[0] == "4 videos of 7 classes"
    assert lines[1].split() == ["top-1", "50.00"]
    assert "  2 of 3  a -> b" in lines
    assert lines[-1] == (
        "note: 5 of 7 classes have no video and are left out of the mean class accuracy: "
        "c, d, e, f, g"
    )


def test_a_tie_never_helps():
    """The first class, as argmax would take it, would be right by luck."""
    report = evaluate_kinetics([video(0, *[1 / 7] * 7), video(3, *[1 / 7] * 7)], "abcdefg")
    assert (report.top1, report.top5) == (0.0, 0.0)
    assert report.predictions_V.tolist() == [1, 0]
    assert report.num_tied == 2
    assert report.notes[0].startswith("2 of 2 videos score other classes exactly as high as")
    # five share the first place with the true class: still behind them
    report = evaluate_kinetics([video(6, 0.2, 0.2, 0.2, 0.2, 0.0, 0.0, 0.2)], "abcdefg")
    assert (report.ranks_V.tolist(), report.top5) == ([4], 1.0)


@pytest.mark.parametrize("steps", [None, 4])
def test_equals_loops(steps: int | None):
    videos = random_videos(200, 12, steps=steps)
    report = evaluate_kinetics(videos, [f"c{k}" for k in range(12)])
    for k in (1, 3, 5):
        right = 0
        for each in videos:
            others = [score for c, score in enumerate(each.scores_K) if c != each.label]
            right += sum(score >= each.scores_K[each.label] for score in others) < k
        assert report.top(k) == right / 200
    by_class = []
    for k in range(12):
        own = [v for v in videos if v.label == k]
        right = [all(v.scores_K[k] > s for c, s in enumerate(v.scores_K) if c != k) for v in own]
        by_class.append(sum(right) / len(right))
    assert report.mean_class_accuracy == pytest.approx(np.mean(by_class))
    assert report.confusion_KK.sum() == 200
    assert report.confusion_KK.trace() == round(200 * report.top1)


def test_laws():
    videos = random_videos(60, 9)
    report = evaluate_kinetics(videos, "abcdefghi")
    shuffled = evaluate_kinetics(videos[::-1], "abcdefghi")
    assert shuffled.accuracies() == report.accuracies()
    for each in videos:
        each.scores_K = np.exp(3 * each.scores_K)  # only the order counts
    assert evaluate_kinetics(videos, "abcdefghi").accuracies() == report.accuracies()
    for each in videos:
        each.scores_K[each.label] = 1e6
    assert set(evaluate_kinetics(videos, "abcdefghi").accuracies().values()) == {1.0}


def test_one_class_and_few_classes():
    report = evaluate_kinetics([video(0, 1.0)], ["only"])
    assert (report.top1, report.confusions(3)) == (1.0, [])
    assert report.notes == ("top-5 of 1 classes is always 100 %",)


@pytest.mark.parametrize(
    ("videos", "text"),
    [
        ([], "no video to evaluate"),
        ([video(0, 0.5, 0.5, name="a/x.mp4")], r"video a/x.mp4: scores shaped \(2,\) for 3 class"),
        ([video(3, 0.5, 0.3, 0.2)], r"label 3 is outside the 3 classes, 0 to 2"),
        ([video(0, 0.5, math.nan, 0.2, name="b/y.mp4")], "video b/y.mp4: a score is nan"),
        ([video(0, 0.5, math.inf, 0.2)], "a score is inf"),
    ],
)
def test_what_cannot_be_evaluated(videos: list[Video], text: str):
    with pytest.raises(DataError, match=text):
        evaluate_kinetics(videos, "abc")


def test_files(tmp_path):
    videos = random_videos(40, 6)
    names = ["a, b", 'say "so"', "ü", "d", "e", "unseen"]
    videos = [each for each in videos if each.label != 5]
    report = evaluate_kinetics(videos, names)
    files = write_kinetics_report(
        report, videos, tmp_path / "r.json", run={"views": "1 view"}, title="t", subtitle="s"
    )
    assert [path.name for path in files] == ["r.json", "per_class.csv", "confusion.png"]
    result = json.loads(files[0].read_text(encoding="utf-8"))
    assert list(result)[:2] == ["views", "num_videos"]
    assert result["top1"] == report.top1
    assert result["classes"][5]["accuracy"] is None
    again = [
        Video(entry["name"], entry["label"], np.array(entry["scores"]))
        for entry in result["videos"]
    ]
    assert evaluate_kinetics(again, names).accuracies() == report.accuracies()
    for entry, each in zip(result["videos"], videos, strict=True):
        np.testing.assert_allclose(entry["scores"], each.scores_K, rtol=1e-8)
        assert (entry["rank"] == 1) == (entry["predicted"] == each.label)
    rows = list(csv.DictReader(files[1].open(encoding="utf-8")))
    assert [row["class"] for row in rows] == names
    assert float(rows[1]["accuracy"]) == report.classes[1].accuracy
    assert rows[5]["accuracy"] == ""
    assert sum(int(row["predicted"]) for row in rows) == len(videos)


def picture(confusion_KK: np.ndarray) -> np.ndarray:
    names = [f"class {index}" for index in range(len(confusion_KK))]
    png = draw_confusion(confusion_KK, names, title="title", subtitle="accuracies")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(np.int64)


def count(pixels_HWC: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels_HWC - colour) <= 1).all(axis=2).sum())


def test_cells_are_blue_where_right_and_orange_where_wrong():
    right = np.eye(9, dtype=np.int64) * 7
    cell = 36 * 36  # pixels, of which the number and the frame take some
    pixels = picture(right)
    assert count(pixels, ORANGE) == 0
    assert 9 * cell * 0.6 < count(pixels, BLUE) < 9 * cell
    pixels = picture(np.roll(right, 1, axis=1))
    assert count(pixels, BLUE) == 0
    assert 9 * cell * 0.6 < count(pixels, ORANGE) < 9 * cell


def test_one_class_without_a_video_is_drawn():
    assert count(picture(np.zeros((1, 1), np.int64)), BLUE) == 0


def test_a_large_matrix_is_a_map_with_confused_classes_side_by_side():
    confusion_KK = np.eye(120, dtype=np.int64) * 50
    confusion_KK[0, 119], confusion_KK[119, 0] = 20, 20
    confusion_KK[0, 0] = confusion_KK[119, 119] = 30
    pixels = picture(confusion_KK)
    assert pixels.shape[0] < 1500  # pixels; cells with names would need 5000
    assert count(pixels, BLUE) >= 118 * 9 * 9  # a class is 10 x 10 pixels
    # (0, 119) would be the corner of the map; beside each other they are next to the diagonal
    is_map = np.arange(pixels.shape[1]) < 36 + 1200
    rows, columns = np.nonzero((pixels[..., 0] > pixels[..., 2] + 60) & is_map)
    assert len(rows) > 100
    assert np.abs((rows - 120) - (columns - 36)).max() < 30
