"""Which person-score threshold suits a model: its boxes scored once, counted at several."""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from x3d_det.builders.ava import EvaluationData
from x3d_det.config.schema import ExperimentConfig
from x3d_det.engine import World, end_world
from x3d_det.engine.infer import KeyframeScores
from x3d_det.errors import ConfigError
from x3d_det.io.files import atomic_write
from x3d_det.models import X3DDetector
from x3d_det.runs.ava_evaluation import evaluate_scores, load_for_scoring, score_boxes

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ThresholdResult:
    """A model's result on the boxes of at least one person score."""

    threshold: float
    mean_ap: float
    """In [0, 1]; NaN where nothing is annotated."""
    num_boxes: int
    num_keyframes: int
    """Keyframes that still have a box."""


@dataclass(frozen=True)
class ThresholdSweep:
    """The results at several thresholds."""

    results: tuple[ThresholdResult, ...]
    """By rising threshold."""
    rules: str

    @property
    def best(self) -> ThresholdResult:
        """The highest mAP; of equal ones the highest threshold, which needs the fewest boxes."""

        def goodness(result: ThresholdResult) -> tuple[float, float]:
            return (-1.0 if math.isnan(result.mean_ap) else result.mean_ap, result.threshold)

        return max(self.results, key=goodness)

    def lines(self) -> list[str]:
        """Return a table for people, and the best."""
        lines = [f"{'threshold':>9}  {'frame-mAP':>9}  {'boxes':>9}  {'keyframes':>9}"]
        lines += [
            f"{result.threshold:>9g}  {result.mean_ap:>9.4f}  {result.num_boxes:>9,}  "
            f"{result.num_keyframes:>9,}"
            for result in self.results
        ]
        best = self.best
        return [*lines, f"best: boxes.score_threshold={best.threshold:g} ({best.mean_ap:.4f})"]

    def to_dict(self) -> dict[str, Any]:
        """Return what threshold_sweep.json holds; NaN becomes null."""
        rows = [asdict(result) for result in self.results]
        for row in rows:
            mean_ap = row.pop("mean_ap")
            row["mAP"] = None if math.isnan(mean_ap) else mean_ap
        return {"rules": self.rules, "best_threshold": self.best.threshold, "thresholds": rows}


def sweep_checkpoint(
    config: ExperimentConfig, checkpoint: Path, thresholds: Sequence[float], output_dir: Path
) -> tuple[ThresholdSweep | None, list[Path]]:
    """Sweep the model of a checkpoint; rank 0 returns the results and the file written.

    Raises:
        X3DDetError: thresholds that cannot be, a checkpoint of another model, unreadable data.
    """
    config = at_lowest_threshold(config, thresholds)
    model, data, world = load_for_scoring(config, checkpoint)
    sweep = sweep_thresholds(config, model, data, world, thresholds)
    files: list[Path] = []
    if sweep is not None:
        files = [output_dir / "threshold_sweep.json"]
        with atomic_write(files[0], "w") as file:
            json.dump(sweep.to_dict(), file, indent=1, allow_nan=False)
            file.write("\n")
    end_world(world)
    return sweep, files


def at_lowest_threshold(config: ExperimentConfig, thresholds: Sequence[float]) -> ExperimentConfig:
    """Return the config whose evaluation has the boxes of every threshold.

    Raises:
        ConfigError: no threshold, one outside [0, 1] or named twice, or annotated boxes.
    """
    if wrong := [value for value in thresholds if not 0 <= value <= 1]:
        raise ConfigError(f"threshold {wrong[0]:g}: person scores lie in [0, 1]; name others.")
    if not thresholds or len(set(thresholds)) < len(thresholds):
        named = ", ".join(f"{value:g}" for value in thresholds) or "none"
        raise ConfigError(f"thresholds {named}: name one or more, each once.")
    if config.boxes.evaluate != "detected":
        raise ConfigError(
            f"boxes.evaluate = {config.boxes.evaluate}: annotated boxes have no person score to "
            "sweep over; use --set boxes.evaluate=detected."
        )
    boxes = config.boxes.model_copy(update={"score_threshold": float(min(thresholds))})
    return config.model_copy(update={"boxes": boxes})


def sweep_thresholds(
    config: ExperimentConfig,
    model: X3DDetector,
    data: EvaluationData,
    world: World,
    thresholds: Sequence[float],
) -> ThresholdSweep | None:
    """Return the mAP with the boxes of at least each person score on rank 0, None elsewhere.

    The scores are those of runs at each threshold, except that other boxes in a batch may
    round them differently in the last bits.

    Args:
        config: from `at_lowest_threshold`.
        model: in eval mode, on the world's device.
        data: of this config.
        world: the ranks.
        thresholds: person scores, each once, none below `config.boxes.score_threshold`.
    """
    assert min(thresholds) >= config.boxes.score_threshold
    scored = score_boxes(config, model, data, world)
    if scored is None:
        return None
    results = tuple(_result(config, data, scored, value) for value in sorted(thresholds))
    return ThresholdSweep(results, config.evaluation.rules)


def _result(
    config: ExperimentConfig,
    data: EvaluationData,
    scored: Sequence[KeyframeScores],
    threshold: float,
) -> ThresholdResult:
    kept = [item.boxes_above(threshold) for item in scored]
    report, _, _ = evaluate_scores(config, data, kept)
    nums_boxes = [len(item.boxes_norm) for item in kept]
    _logger.info("threshold %g: frame-mAP %.4f", threshold, report.mean_ap)
    return ThresholdResult(
        threshold=threshold,
        mean_ap=report.mean_ap,
        num_boxes=sum(nums_boxes),
        num_keyframes=sum(number > 0 for number in nums_boxes),
    )
