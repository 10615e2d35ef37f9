"""Time the person detectors: torchvision's, and Detectron2's where it is importable, in turn.

    python benchmarks/person_detectors.py --video clip.mp4 --repeats 5 --threads 2

The weights are random, so nothing is downloaded; the cost is about that of trained ones. Two
layers are zero: the proposals' shifts, without which there are as many proposals as trained
weights give (random shifts throw them together: 4 of 1000 were left), and the class scores, so
that no box passes and the last, cheap non-maximum suppression has nothing to do.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from interleaved import environment, measure, write_report
from torch import Tensor

from x3d_det.persons import (
    DETECTRON2_MODELS,
    TORCHVISION_MODELS,
    PersonDetector,
    PersonDetectorOptions,
    make_person_detector,
)
from x3d_det.persons.detectron2_models import has_detectron2

_SIZES = {"640x480": (480, 640), "340x256": (256, 340)}
_DETECTRON2_NAMES = ("R50-FPN", "X101-FPN")
_ZERO_LAYERS = ("rpn.head.bbox_pred.", "rpn_head.anchor_deltas.", "box_predictor.cls_score.")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [*TORCHVISION_MODELS, *_DETECTRON2_NAMES]
    parser.add_argument("--models", nargs="+", choices=known, help="default: all that import")
    parser.add_argument("--video", type=Path, help="its middle frame; default: a generated picture")
    parser.add_argument("--size", choices=tuple(_SIZES), default="640x480", help="of that picture")
    parser.add_argument("--short-sides", nargs="+", type=int, default=[256, 800], metavar="PX")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 4], metavar="N")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; at least 2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--output", type=Path, help="JSON file for the numbers")
    arguments = parser.parse_args(argv)
    if arguments.repeats < 2:
        parser.error(f"--repeats {arguments.repeats}: quartiles need at least 2")
    torch.set_num_threads(arguments.threads)
    frame_HWC = middle_frame(arguments.video) if arguments.video else picture(arguments.size)
    names = arguments.models or known
    if not has_detectron2():
        print("Detectron2 is not importable: its models are left out")
        names = [name for name in names if name in TORCHVISION_MODELS]
    if not names:
        parser.error("no detector is left to time")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        weights = {name: write_random_weights(name, Path(folder)) for name in names}
        for short_side in arguments.short_sides:
            detectors = {
                name: detector(name, path, short_side=short_side, device=arguments.device)
                for name, path in weights.items()
            }
            results += measure_side(
                detectors,
                frame_HWC,
                short_side=short_side,
                batch_sizes=arguments.batch_sizes,
                repeats=arguments.repeats,
            )
    height, width = frame_HWC.shape[:2]
    title = f"persons in a frame of {width}x{height}, random weights, {arguments.repeats} rounds"
    record = environment(torchvision=torchvision.__version__, device=device_name(arguments.device))
    if set(names) & set(_DETECTRON2_NAMES):
        import detectron2

        record["detectron2"] = detectron2.__version__
    print_table(title, results)
    print(", ".join(f"{name} {value}" for name, value in record.items()))
    report: dict[str, Any] = {"title": title, "environment": record, "results": results}
    write_report(arguments.output, report)
    return 0


def middle_frame(path: Path) -> np.ndarray:
    """Return the frame in the middle of a video, RGB."""
    from x3d_det.io.video import probe_video, read_frames_at

    middle = (probe_video(path).duration_seconds or 0.0) / 2
    return read_frames_at(path, [middle]).frames_THWC[0]


def picture(size: str) -> np.ndarray:
    """Return blocks of random colours: something in every place, for the proposals."""
    height, width = _SIZES[size]
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((16, 16, 1), np.uint8))[:height, :width]


def write_random_weights(name: str, folder: Path) -> Path:
    """Write a checkpoint of fresh weights, those of `_ZERO_LAYERS` 0, and return its path."""
    torch.manual_seed(0)
    state = torchvision_state(name) if name in TORCHVISION_MODELS else detectron2_state(name)
    for key, tensor in state.items():
        if any(layer in key for layer in _ZERO_LAYERS):
            tensor.zero_()
    path = folder / f"{name}.pth"
    torch.save({"model": state}, path)
    return path


def torchvision_state(name: str) -> dict[str, Tensor]:
    """Return fresh weights of one of torchvision's models."""
    model = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    return model.state_dict()


def detectron2_state(name: str) -> dict[str, Tensor]:
    """Return fresh weights of one of Detectron2's models."""
    import detectron2
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    cfg = get_cfg()
    configs = Path(detectron2.__file__).parent / "model_zoo" / "configs"
    cfg.merge_from_file(str(configs / DETECTRON2_MODELS[name].config))
    cfg.MODEL.DEVICE = "cpu"
    return build_model(cfg).state_dict()


def detector(name: str, weights: Path, *, short_side: int, device: str) -> PersonDetector:
    """Return the detector as `tools/detect_persons.py` would make it."""
    backend = "torchvision" if name in TORCHVISION_MODELS else "detectron2"
    return make_person_detector(
        PersonDetectorOptions(
            backend=backend, model=name, weights=weights, short_side=short_side, device=device
        )
    )


def measure_side(
    detectors: dict[str, PersonDetector],
    frame_HWC: np.ndarray,
    *,
    short_side: int,
    batch_sizes: list[int],
    repeats: int,
) -> list[dict[str, Any]]:
    """Return a row for each detector and batch size, all timed in the same rounds."""
    cases = [(name, batch) for batch in batch_sizes for name in detectors]
    candidates: dict[str, Callable[[], object]] = {
        f"{name}, {batch}": lambda own=detectors[name], batch=batch: own.detect(  # type: ignore[misc]
            [frame_HWC] * batch
        )
        for name, batch in cases
    }
    seconds = measure(candidates, repeats=repeats)
    return [
        {"model": name, "short_side_px": short_side, "batch_size": batch}
        | rates(batch, seconds[f"{name}, {batch}"])
        for name, batch in cases
    ]


def rates(batch: int, seconds: list[float]) -> dict[str, float]:
    """Return frames a second: the median of the rounds, and their quartiles."""
    low, median, high = statistics.quantiles(
        [batch / own for own in seconds], n=4, method="inclusive"
    )
    return {
        "frames_per_second": median,
        "frames_per_second_lower_quartile": low,
        "frames_per_second_upper_quartile": high,
        "seconds_per_frame": 1 / median,
    }


def print_table(title: str, results: list[dict[str, Any]]) -> None:
    """Print a line a detector, short side and batch size."""
    print(f"\n{title}")
    print(f"{'':40}{'short side':>10}{'batch':>7}{'frames/s':>10}{'[quartiles]':>18}")
    for row in results:
        quartiles = (
            f"[{row['frames_per_second_lower_quartile']:.3g} "
            f"{row['frames_per_second_upper_quartile']:.3g}]"
        )
        print(
            f"{row['model']:40}{row['short_side_px']:10}{row['batch_size']:7}"
            f"{row['frames_per_second']:10.3g}{quartiles:>18}"
        )


def device_name(device: str) -> str:
    """Return what `auto` means here, and the name of the GPU."""
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    return torch.cuda.get_device_name()


if __name__ == "__main__":
    raise SystemExit(main())
