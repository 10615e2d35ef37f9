"""Scores of whole videos -> top-k accuracy, accuracy of each class, and what is taken for what.

Shape suffixes in this file: V videos, K classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from x3d_det.errors import DataError

TOP_K = 5
"""The second accuracy that papers give, beside top-1."""
_MAX_CONFUSIONS = 10
_MAX_NAMED = 5


class ScoredVideo(Protocol):
    """What is read of a video's scores; `engine.classify.VideoScores` has it."""

    @property
    def name(self) -> str:
        """For messages and tables."""

    @property
    def label(self) -> int:
        """The true class, 0 to K - 1."""

    @property
    def scores_K(self) -> np.ndarray:
        """Float64 (K,); only their order counts."""


@dataclass(frozen=True)
class ClassAccuracy:
    """How one class fared."""

    index: int
    name: str
    num_videos: int
    num_right: int
    """Videos of which this class has the highest score."""
    num_right_top5: int
    """Videos of which this class is among the five highest."""
    num_predicted: int
    """Videos of any class that were taken for this one."""
    confused_with: str | None
    """The other class for which its videos were taken most often."""
    num_confused: int
    """How many were."""

    @property
    def accuracy(self) -> float:
        """Share of its videos that are right, in [0, 1]; NaN without videos."""
        return self.num_right / self.num_videos if self.num_videos else math.nan


@dataclass(frozen=True)
class Confusion:
    """Videos of one class taken for another one."""

    name: str
    taken_for: str
    num_videos: int
    num_of_class: int
    """All videos of the class."""


@dataclass(frozen=True)
class KineticsReport:
    """Accuracies of one model on one list of videos."""

    class_names: tuple[str, ...]
    labels_V: np.ndarray
    """int64, the true classes."""
    predictions_V: np.ndarray
    """int64, the classes of the highest scores."""
    ranks_V: np.ndarray
    """int64, how many other classes score as high as the true one or higher; 0 is right."""
    num_tied: int
    """Videos on which other classes score exactly as high as the true one."""

    @property
    def num_videos(self) -> int:
        """V."""
        return len(self.labels_V)

    @property
    def top1(self) -> float:
        """Share of the videos whose true class has the highest score, in [0, 1]."""
        return self.top(1)

    @property
    def top5(self) -> float:
        """Share of the videos whose true class is among the five highest, in [0, 1]."""
        return self.top(TOP_K)

    def top(self, k: int) -> float:
        """Return the share of the videos whose true class is among the `k` highest."""
        return float((self.ranks_V < k).mean())

    @property
    def mean_class_accuracy(self) -> float:
        """Mean of the classes' top-1 accuracies in [0, 1], over the classes that have videos."""
        return float(np.mean([each.accuracy for each in self.classes if each.num_videos]))

    @cached_property
    def confusion_KK(self) -> np.ndarray:
        """int64 counts of videos: row = true class, column = predicted class."""
        counts_KK = np.zeros((len(self.class_names),) * 2, dtype=np.int64)
        np.add.at(counts_KK, (self.labels_V, self.predictions_V), 1)
        return counts_KK

    @cached_property
    def classes(self) -> tuple[ClassAccuracy, ...]:
        """Every class in the order of the model's outputs."""
        wrong_KK = self.confusion_KK.copy()
        np.fill_diagonal(wrong_KK, 0)
        right_top5_K = np.bincount(
            self.labels_V[self.ranks_V < TOP_K], minlength=len(self.class_names)
        )
        return tuple(
            ClassAccuracy(
                index=index,
                name=name,
                num_videos=int(self.confusion_KK[index].sum()),
                num_right=int(self.confusion_KK[index, index]),
                num_right_top5=int(right_top5_K[index]),
                num_predicted=int(self.confusion_KK[:, index].sum()),
                confused_with=self.class_names[wrong_KK[index].argmax()]
                if wrong_KK[index].any()
                else None,
                num_confused=int(wrong_KK[index].max(initial=0)),
            )
            for index, name in enumerate(self.class_names)
        )

    def confusions(self, most: int) -> list[Confusion]:
        """Return the pairs of classes confused most often, at most `most` of them."""
        wrong_KK = self.confusion_KK.copy()
        np.fill_diagonal(wrong_KK, 0)
        # stable: of equal counts the lower class first, on every platform
        order = np.argsort(-wrong_KK, axis=None, kind="stable")[:most]
        pairs = [divmod(int(place), len(self.class_names)) for place in order]
        return [
            Confusion(
                self.class_names[true],
                self.class_names[taken],
                int(wrong_KK[true, taken]),
                int(self.confusion_KK[true].sum()),
            )
            for true, taken in pairs
            if wrong_KK[true, taken]
        ]

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What to know before comparing the numbers with others."""
        notes = []
        if self.num_tied:
            notes.append(
                f"{self.num_tied:,} of {self.num_videos:,} videos score other classes exactly as "
                "high as the true one, which is ranked behind them"
            )
        if len(self.class_names) <= TOP_K:
            notes.append(f"top-{TOP_K} of {len(self.class_names)} classes is always 100 %")
        if empty := [each.name for each in self.classes if not each.num_videos]:
            named = ", ".join(empty[:_MAX_NAMED]) + (", ..." if len(empty) > _MAX_NAMED else "")
            notes.append(
                f"{len(empty)} of {len(self.class_names)} classes have no video and are left out "
                f"of the mean class accuracy: {named}"
            )
        return tuple(notes)

    def lines(self) -> list[str]:
        """Return the report as text, accuracies in %."""
        lines = [f"{self.num_videos:,} videos of {len(self.class_names)} classes"]
        for name, value in self.accuracies().items():
            lines.append(f"{name:>20} {100 * value:6.2f}")
        if confusions := self.confusions(_MAX_CONFUSIONS):
            lines += ["", "confused most often:"]
            lines += [
                f"  {each.num_videos:,} of {each.num_of_class:,}  {each.name} -> {each.taken_for}"
                for each in confusions
            ]
        return lines + [f"note: {note}" for note in self.notes]

    def accuracies(self) -> dict[str, float]:
        """Return the numbers that are published, in [0, 1], by name."""
        return {
            "top-1": self.top1,
            f"top-{TOP_K}": self.top5,
            "mean class accuracy": self.mean_class_accuracy,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the report for `json.dumps`, accuracies in [0, 1], null where undefined."""
        return {
            "num_videos": self.num_videos,
            "top1": self.top1,
            "top5": self.top5,
            "mean_class_accuracy": self.mean_class_accuracy,
            "notes": list(self.notes),
            "classes": [
                {
                    **vars(each),
                    "accuracy": None if math.isnan(each.accuracy) else each.accuracy,
                }
                for each in self.classes
            ],
        }


def evaluate_kinetics(scored: Sequence[ScoredVideo], class_names: Sequence[str]) -> KineticsReport:
    """Return the accuracies of scored videos.

    A tie never helps: the true class is ranked behind every class with the same score, so a
    model that gives all classes the same score gets 0 %. What is predicted then is the first
    of the other classes.

    Args:
        scored: one item a video, with K scores each.
        class_names: K names in the order of the scores.

    Raises:
        DataError: no video; another number of scores than names; a label without a name; a
            score that is not finite. Names the video.
    """
    names = tuple(class_names)
    if not scored:
        raise DataError("there is no video to evaluate; the list of videos is empty.")
    for video in scored:
        _check(video, names)
    scores_VK = np.stack([video.scores_K for video in scored])
    labels_V = np.array([video.label for video in scored], dtype=np.int64)
    videos_V = np.arange(len(scored))
    true_V1 = scores_VK[videos_V, labels_V][:, None]
    ranks_V = (scores_VK >= true_V1).sum(axis=1) - 1
    ties_V = (scores_VK == true_V1).sum(axis=1) > 1
    others_VK = scores_VK.copy()
    others_VK[videos_V, labels_V] = -np.inf
    predictions_V = np.where(ranks_V == 0, labels_V, others_VK.argmax(axis=1))
    return KineticsReport(names, labels_V, predictions_V, ranks_V, int(ties_V.sum()))


def _check(video: ScoredVideo, names: Sequence[str]) -> None:
    if video.scores_K.shape != (len(names),):
        raise DataError(
            f"video {video.name}: scores shaped {video.scores_K.shape} for {len(names)} class "
            "names; take the class names that the model was trained with."
        )
    if not 0 <= video.label < len(names):
        raise DataError(
            f"video {video.name}: label {video.label} is outside the {len(names)} classes, "
            f"0 to {len(names) - 1}."
        )
    if not np.isfinite(video.scores_K).all():
        strange = video.scores_K[~np.isfinite(video.scores_K)][0]
        raise DataError(
            f"video {video.name}: a score is {strange}; the model's weights or this video hold "
            "values that are not finite."
        )
