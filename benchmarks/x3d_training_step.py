"""Time a training step of X3D on this CPU: PyTorchVideo as its users run it, and ours.

    python benchmarks/x3d_training_step.py --repeats 11 --threads 2

A step is forward, cross-entropy, backward and SGD with momentum. Both models have the
same weights and see the same clips; PyTorchVideo's are contiguous, its default. A third
candidate is PyTorchVideo's model put in channels-last by hand. The difference is that of
the first step's losses over PyTorchVideo's.
"""

import argparse
import copy
import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import torch
from interleaved import environment, measure, print_table, summarise, write_report
from pytorchvideo_twin import pytorchvideo_twin, random_classifier
from torch import Tensor, nn
from torch.nn import functional as F

CASES = {  # model, batch, frames, pixels
    "m": ("m", 2, 16, 224),
    "s": ("s", 4, 13, 160),
    "xs": ("xs", 8, 4, 160),
}
NUM_CLASSES = 400


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--repeats", type=int, default=11, help="rounds; at least 2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="JSON file for the numbers")
    arguments = parser.parse_args(argv)
    if arguments.repeats < 2:
        parser.error(f"--repeats {arguments.repeats}: quartiles need at least 2")
    torch.set_num_threads(arguments.threads)
    record = environment(pytorchvideo=importlib.metadata.version("pytorchvideo"))
    results = {}
    for case in arguments.models:
        name, batch, frames, pixels = CASES[case]
        candidates = training_steps(name, (batch, 3, frames, pixels, pixels))
        first_losses = {label: step() for label, step in candidates.items()}
        expected = next(iter(first_losses.values()))
        differences = {label: abs(loss / expected - 1) for label, loss in first_losses.items()}
        summary = summarise(measure(candidates, repeats=arguments.repeats, warm_up=0))
        title = f"training step, X3D-{name.upper()}, {batch} clips of {frames} x {pixels}^2"
        print_table(f"{title}, {arguments.threads} threads", summary, differences)
        results[title] = {"differences": differences, "candidates": summary}
    print(", ".join(f"{name} {value}" for name, value in record.items()))
    write_report(arguments.output, {"environment": record, "results": results})
    return 0


def training_steps(name: str, shape: tuple[int, ...]) -> dict[str, Callable[[], float]]:
    """Return one function a candidate that makes a step and returns its loss."""
    torch.manual_seed(0)
    clips_BCTHW = torch.randn(shape)
    labels_B = torch.randint(0, NUM_CLASSES, shape[:1])
    ours = random_classifier(name, num_classes=NUM_CLASSES)
    theirs = pytorchvideo_twin(ours)
    channels_last = copy.deepcopy(theirs).to(memory_format=torch.channels_last_3d)
    models = {
        "PyTorchVideo, contiguous": (theirs, clips_BCTHW),
        "PyTorchVideo, channels-last": (
            channels_last,
            clips_BCTHW.contiguous(memory_format=torch.channels_last_3d),
        ),
        "x3d_det": (ours, clips_BCTHW),
    }
    return {
        label: training_step(model, clips, labels_B) for label, (model, clips) in models.items()
    }


def training_step(model: nn.Module, clips_BCTHW: Tensor, labels_B: Tensor) -> Callable[[], float]:
    """Return a function that makes one step of `model` and returns its loss."""
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0  # its random numbers would part the losses
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, nesterov=True)

    def step() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(clips_BCTHW), labels_B)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


if __name__ == "__main__":
    raise SystemExit(main())
