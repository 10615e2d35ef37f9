"""What a search is told, and finds out by itself, before anything trains: cost and limits."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from x3d_det.builders.ava import build_classes, build_evaluation_data, build_source
from x3d_det.builders.kinetics import build_lists
from x3d_det.config.expansion import CostConfig, ExpansionConfig, StartConfig
from x3d_det.config.files import require_dataset_files
from x3d_det.config.kinetics import KineticsConfig
from x3d_det.config.schema import ExperimentConfig
from x3d_det.data.clips import VideoFolder
from x3d_det.errors import ConfigError, DataError
from x3d_det.expansion import Cost, Factors, Limits, counted_cost, measured_cost
from x3d_det.io.video import probe_video
from x3d_det.models.x3d import X3DSpec
from x3d_det.runs.candidates import SearchedExperiment

NUM_PROBED_VIDEOS = 32
_WARMUPS, _FEWEST_ROUNDS = 2, 5


def build_start(start: StartConfig) -> Factors:
    """Return the first model's factors."""
    return Factors(**start.model_dump())


def build_cost(settings: CostConfig, *, num_classes: int) -> Cost:
    """Return the cost that the search is held to.

    Raises:
        ConfigError: a latency is asked for on a device that is not there.
    """
    if settings.name != "latency":
        return counted_cost(
            settings.name, num_classes=num_classes, aspect_ratio=settings.aspect_ratio
        )
    import torch

    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("cost.device = cuda, but torch finds no GPU here; use cpu.")
    threads = f", {settings.num_threads} threads" if settings.device == "cpu" else ""
    return measured_cost(
        latency_meter(settings, num_classes=num_classes),
        device=f"{settings.device}{threads}",
        num_classes=num_classes,
        aspect_ratio=settings.aspect_ratio,
    )


def latency_meter(
    settings: CostConfig, *, num_classes: int
) -> Callable[[X3DSpec, int, int, int], float]:
    """Return the function that measures the median seconds of one clip, BatchNorm folded.

    Args:
        settings: device, threads, and how long each network is measured.
        num_classes: of the classifier.
    """
    import torch

    from x3d_det.models import X3D, X3DClassifier
    from x3d_det.models.fused import fuse_for_inference

    def measure(spec: X3DSpec, num_frames: int, height: int, width: int) -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(settings.num_threads)
        try:
            model = X3DClassifier(X3D(spec), num_classes=num_classes).eval()
            fused = fuse_for_inference(model).to(settings.device)
            clip_BCTHW = torch.zeros(1, 3, num_frames, height, width, device=settings.device)
            with torch.inference_mode():
                return _median_seconds(lambda: fused(clip_BCTHW), settings)
        finally:
            torch.set_num_threads(threads)

    return measure


def _median_seconds(run: Callable[[], object], settings: CostConfig) -> float:
    import torch

    taken: list[float] = []
    end = None
    while end is None or time.perf_counter() < end or len(taken) < _WARMUPS + _FEWEST_ROUNDS:
        if len(taken) == _WARMUPS:
            end = time.perf_counter() + settings.seconds
        started = time.perf_counter()
        run()
        if settings.device == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[_WARMUPS:])


def check_data(experiment: SearchedExperiment) -> list[Path]:
    """Check that there is something to train and to be scored on; return some videos of it.

    Returns:
        Validation videos, evenly out of all; none for extracted frames.

    Raises:
        DataError: files are missing or have faults, or there is no validation of its own.
    """
    config = experiment.base
    require_dataset_files(config, ["train", "val"])
    _require_own_validation(config)
    if isinstance(config, KineticsConfig):
        videos = build_lists(config, ("train", "val")).videos
        paths = [video.path for video in videos["val"]]
        trained_on = {os.path.realpath(video.path) for video in videos["train"]}
        if all(os.path.realpath(path) in trained_on for path in paths):
            raise _no_validation(config, "list", "holds nothing but videos that it trains on")
    else:
        paths = _ava_videos(config)
    return paths[:: max(1, len(paths) // NUM_PROBED_VIDEOS)][:NUM_PROBED_VIDEOS]


def _require_own_validation(config: ExperimentConfig | KineticsConfig) -> None:
    name = "list" if isinstance(config, KineticsConfig) else "annotations"
    train, val = (str(getattr(split, name)) for split in (config.dataset.train, config.dataset.val))
    if train == val:
        raise _no_validation(config, name, "is what it trains on")


def _no_validation(config: ExperimentConfig | KineticsConfig, name: str, fault: str) -> DataError:
    return DataError(
        f"data set {config.dataset.name} has no validation: dataset.val.{name} = "
        f"{getattr(config.dataset.val, name)} {fault}, and the search would choose what "
        f"remembers it best; set dataset.val.{name} to data of its own."
    )


def _ava_videos(config: ExperimentConfig) -> list[Path]:
    data = build_evaluation_data(config)
    if len(data.dataset) == 0:
        raise DataError(
            f"data set {config.dataset.name}: no validation keyframe has a box to score, so no "
            "candidate could be scored; see dataset.val and boxes."
        )
    source = build_source(config)
    if not isinstance(source, VideoFolder):
        return []
    ids = sorted({str(video_id) for video_id in data.annotations.rows["video_id"]})
    return [Path(source.describe(video_id)) for video_id in ids]


def build_limits(config: ExpansionConfig, clip: Any, videos: Sequence[Path]) -> Limits:
    """Return how far the factors may grow: as set, else as far as the videos reach.

    Args:
        config: of the search.
        clip: of its experiment, for the frame rate.
        videos: from `check_data`.

    Raises:
        ConfigError: no videos to ask, and a limit is not set.
        VideoError: one of the videos cannot be read.
    """
    settings = config.limits
    seconds, crop_px = settings.longest_seconds, settings.largest_crop_px
    if seconds is None or crop_px is None:
        found = [probe_video(path) for path in videos]
        lengths = [one.duration_seconds for one in found if one.duration_seconds]
        if not lengths:
            raise ConfigError(
                "the validation videos do not tell their length and size; set "
                "limits.longest_seconds and limits.largest_crop_px."
            )
        seconds = seconds or statistics.median(lengths)
        crop_px = crop_px or int(statistics.median(min(one.height, one.width) for one in found))
    return Limits(
        fps=clip.fps,
        one_frame_seconds=min(settings.one_frame_seconds, seconds),
        longest_seconds=seconds,
        largest_crop_px=crop_px,
        largest_depth=settings.largest_depth,
        largest_width=settings.largest_width,
        largest_bottleneck=settings.largest_bottleneck,
    )


def num_classes_of(config: ExperimentConfig | KineticsConfig) -> int:
    """Return the outputs of the experiment's class layer, which the cost counts."""
    if isinstance(config, KineticsConfig):
        return config.dataset.num_classes
    return len(build_classes(config).output_ids)
