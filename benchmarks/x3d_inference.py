"""Time X3D inference: PyTorchVideo, ours as it is, ours fused, and OpenVINO, in turn.

    python benchmarks/x3d_inference.py --model m --repeats 15 --threads 2

All candidates have the same weights (BatchNorm drawn at random) and see the same clip of
the model's own size, batch 1. The difference is the relative RMS of the 400 logits
(the classifier's probabilities, for those that end in them) to PyTorchVideo's.
"""

import argparse
import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import torch
from interleaved import environment, measure, print_table, summarise, write_report
from pytorchvideo_twin import pytorchvideo_twin, random_classifier
from torch import Tensor

from x3d_det.models import X3D_SPECS, fuse_for_inference


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("xs", "s", "m", "l"), default="m")
    parser.add_argument("--repeats", type=int, default=15, help="rounds; at least 2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="JSON file for the numbers")
    arguments = parser.parse_args(argv)
    if arguments.repeats < 2:
        parser.error(f"--repeats {arguments.repeats}: quartiles need at least 2")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    spec = X3D_SPECS[arguments.model]
    clip_BCTHW = torch.randn(1, 3, spec.num_frames, spec.crop_size, spec.crop_size)
    candidates = pytorch_candidates(arguments.model, clip_BCTHW)
    candidates |= openvino_candidates(arguments.model, clip_BCTHW, arguments.threads)
    with torch.no_grad():
        expected = next(iter(candidates.values()))()
        differences = {
            name: float((run() - expected).norm() / expected.norm())
            for name, run in candidates.items()
        }
        summary = summarise(measure(candidates, repeats=arguments.repeats))
    title = f"X3D-{arguments.model.upper()} {tuple(clip_BCTHW.shape)}, {arguments.threads} threads"
    print_table(title, summary, differences)
    record = environment(pytorchvideo=importlib.metadata.version("pytorchvideo"))
    if "OpenVINO, fp32" in candidates:
        record["openvino"] = importlib.metadata.version("openvino")
    print(", ".join(f"{name} {value}" for name, value in record.items()))
    report = {"title": title, "environment": record, "differences": differences}
    write_report(arguments.output, report | {"candidates": summary})
    return 0


def pytorch_candidates(name: str, clip_BCTHW: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Return what runs in PyTorch; the first is what the others are compared with."""
    torch.manual_seed(1)
    ours = random_classifier(name).eval()
    theirs = pytorchvideo_twin(ours).eval()
    fused = fuse_for_inference(ours)
    fused_bf16 = fuse_for_inference(ours, dtype=torch.bfloat16)
    return {
        "PyTorchVideo, eager": lambda: theirs(clip_BCTHW).softmax(dim=1),
        "x3d_det, as trained": lambda: ours(clip_BCTHW),
        "x3d_det, fused, fp32": lambda: fused(clip_BCTHW),
        "x3d_det, fused, bf16": lambda: fused_bf16(clip_BCTHW),
    }


def openvino_candidates(
    name: str, clip_BCTHW: Tensor, num_threads: int
) -> dict[str, Callable[[], Tensor]]:
    """Return OpenVINO's two precisions on PyTorchVideo's graph, or none where it is missing."""
    try:
        import openvino
    except ModuleNotFoundError:
        print("openvino is not installed (pip install openvino): left out")
        return {}
    torch.manual_seed(1)
    theirs = pytorchvideo_twin(random_classifier(name)).eval()
    with torch.no_grad():
        graph = openvino.convert_model(theirs, example_input=clip_BCTHW)
    clip = clip_BCTHW.numpy()
    candidates: dict[str, Callable[[], Tensor]] = {}
    for label, precision in (("fp32", "f32"), ("bf16", "bf16")):
        options = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": num_threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        compiled = openvino.compile_model(graph, "CPU", options)
        candidates[f"OpenVINO, {label}"] = lambda run=compiled: torch.from_numpy(  # type: ignore[misc]
            run(clip)[0]
        ).softmax(dim=1)
    return candidates


if __name__ == "__main__":
    raise SystemExit(main())
