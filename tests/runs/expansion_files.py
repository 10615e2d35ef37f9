"""A small search: its config file, over tiny class folders."""

from pathlib import Path

import yaml

# Two steps: by `fake_trainer` bottleneck 2.2, then 4.6.
START = {"crop_px": 64, "depth": 1.0, "width": 1.0}
START_COST = 6_450_048


def write_search(path: Path, dataset: Path, **changes) -> Path:
    """Write the config of a search whose trainings take seconds; `changes` replace sections."""
    values = {
        "experiment": {
            "kind": "kinetics",
            "config": "x3d_xs_kinetics_mini.yaml",
            "settings": {
                "device": "cpu",
                "dataset": {
                    "root": str(dataset),
                    "form": "class_folders",
                    "classes": None,
                    "num_classes": 3,
                    "train": {"list": "train"},
                    "val": {"list": "val"},
                },
                "train": {"batch_size": 4, "num_workers": 0},
                "evaluation": {"num_workers": 0},
            },
            "candidate_settings": {"train": {"epochs": 4, "evaluate_every_epochs": 4}},
        },
        "start": START,
        "budget": 3.0e7,
        "axes": ["spatial", "depth", "bottleneck"],
        "limits": {"longest_seconds": 0.5, "one_frame_seconds": 0.3, "largest_crop_px": 128},
        **changes,
    }
    path.write_text(yaml.safe_dump(values))
    return path
