"""Are the files of a data set there? Asked before anything heavy is loaded."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from x3d_det.config.load import REPOSITORY
from x3d_det.config.schema import DatasetConfig, ExperimentConfig, SplitConfig
from x3d_det.errors import DataError


def dataset_root(dataset: DatasetConfig) -> Path:
    """Return the data set's folder; a relative one starts at the repository."""
    return dataset.root if dataset.root.is_absolute() else REPOSITORY / dataset.root


def require_dataset_files(
    config: ExperimentConfig, splits: Iterable[Literal["train", "val"]]
) -> None:
    """Check that every file that these splits need is there.

    Raises:
        DataError: names every missing file, where it was looked for, and the ways on.
    """
    dataset = config.dataset
    root = dataset_root(dataset)
    needed = {dataset.label_map, dataset.frames.folder if dataset.frames else dataset.videos}
    if dataset.video_starts is not None:
        needed.add(dataset.video_starts)
    for split in splits:
        needed |= _files_of_split(config, split)
    missing = sorted(str(path) for path in needed if not (root / path).exists())
    if not missing:
        return
    if dataset.make_command:
        ways = f"Make it, in about a minute:  {dataset.make_command} --output-dir {dataset.root}"
    elif dataset.name != "ava":
        ways = (
            "Put the files there, correct their names in the data set's YAML, or name the folder "
            "that has them:  --set dataset.root=DIR  (docs/custom_dataset.md)"
        )
    else:
        ways = (
            "Two ways on:\n"
            f"  1. put the files there as {dataset.root}/README.md says, or name the folder that "
            "has them:  --set dataset.root=DIR\n"
            "  2. train the same model on the generated AVA:  python tools/make_ava_mini.py, "
            "then add  --set dataset=ava_mini"
        )
    listing = "\n".join(f"  {path}" for path in missing)
    raise DataError(
        f"data set {dataset.name}: {len(missing)} of {len(needed)} files or folders are missing "
        f"in {root}:\n{listing}\n{ways}"
    )


def _files_of_split(config: ExperimentConfig, split: Literal["train", "val"]) -> set[Path]:
    files: SplitConfig = config.dataset.train if split == "train" else config.dataset.val
    needed = {files.annotations}
    if split == "val" and files.exclusions is not None:
        needed.add(files.exclusions)
    uses_detected = (
        config.boxes.train == "annotated_and_detected"
        if split == "train"
        else config.boxes.evaluate == "detected"
    )
    if uses_detected and files.person_boxes is not None:
        needed.add(files.person_boxes)
    return needed
