"""The options that say how persons are found, the same for every command that looks for some."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from x3d_det import cli_types

if TYPE_CHECKING:
    from x3d_det.persons import PersonDetectorOptions


def add_person_detector_options(group: "argparse._ArgumentGroup", *, prefix: str = "") -> None:
    """Add `--detector`, `--model`, `--weights` and so on, each name after `--` and the prefix.

    `--person-class` has its name whatever the prefix.
    """
    group.add_argument(
        f"--{prefix}detector",
        choices=("auto", "torchvision", "detectron2"),
        default="auto",
        help="auto: Detectron2 where it is installed, else torchvision",
    )
    group.add_argument(
        f"--{prefix}model", metavar="NAME", help="of the detector, or a Detectron2 config"
    )
    group.add_argument(
        f"--{prefix}weights", type=Path, metavar="FILE", help="default: the published ones"
    )
    group.add_argument(
        f"--{prefix}weights-sha256", metavar="HEX", help="what the weights' hash must be"
    )
    group.add_argument(
        "--person-class", type=int, metavar="N", help="the detector's number for persons"
    )
    group.add_argument(
        f"--{prefix}short-side",
        type=cli_types.count,
        metavar="PX",
        help="default: the model's, mostly 800",
    )
    group.add_argument(
        f"--{prefix}max-side",
        type=cli_types.count,
        metavar="PX",
        help="default: the model's, mostly 1333",
    )


def person_detector_options(
    args: argparse.Namespace, *, prefix: str = "", min_score: float, device: str
) -> "PersonDetectorOptions":
    """Return what the options of `add_person_detector_options` ask for.

    Raises:
        ConfigError: a value outside its range.
    """
    from x3d_det.persons import PersonDetectorOptions

    def given(name: str) -> object:
        return getattr(args, f"{prefix}{name}".replace("-", "_"))

    values: dict[str, object] = {
        "backend": given("detector"),
        "model": given("model"),
        "weights": given("weights"),
        "weights_sha256": given("weights-sha256"),
        "short_side": given("short-side"),
        "max_side": given("max-side"),
        "person_class": args.person_class,
    }
    return PersonDetectorOptions(**values, min_score=min_score, device=device)  # type: ignore[arg-type]
