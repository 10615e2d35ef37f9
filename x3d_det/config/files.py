"""Are the files of a data set there? Asked before anything heavy is loaded."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from x3d_det.config.kinetics import KineticsConfig, KineticsDatasetConfig
from x3d_det.config.load import REPOSITORY
from x3d_det.config.schema import DatasetConfig, ExperimentConfig, SplitConfig
from x3d_det.errors import DataError

Split = Literal["train", "val"]
_KINETICS = ("kinetics400", "kinetics600", "kinetics700")


def dataset_root(dataset: DatasetConfig | KineticsDatasetConfig) -> Path:
    """Return the data set's folder; a relative one starts at the repository."""
    return dataset.root if dataset.root.is_absolute() else REPOSITORY / dataset.root


def require_dataset_files(
    config: ExperimentConfig | KineticsConfig, splits: Iterable[Split]
) -> None:
    """Check that every file that these splits need is there.

    Raises:
        DataError: names every missing file, where it was looked for, and the ways on.
    """
    dataset = config.dataset
    root = dataset_root(dataset)
    if isinstance(config, KineticsConfig):
        needed = _kinetics_files(config.dataset, root, splits)
    else:
        needed = _ava_files(config, splits)
    missing = sorted(str(path) for path in needed if not (root / path).exists())
    if missing:
        listing = "\n".join(f"  {path}" for path in missing)
        raise DataError(
            f"data set {dataset.name}: {len(missing)} of {len(needed)} files or folders are "
            f"missing in {root}:\n{listing}\n{_ways_on(dataset)}"
        )


def _ways_on(dataset: DatasetConfig | KineticsDatasetConfig) -> str:
    """Return what to do where files are missing."""
    if dataset.make_command:
        return f"Make it, in a minute or two:  {dataset.make_command} --output-dir {dataset.root}"
    if dataset.name == "ava":
        page, kind = f"{dataset.root}/README.md", "ava"
    elif dataset.name in _KINETICS:
        page, kind = "data/kinetics/README.md", "kinetics"
    else:
        page = "custom_dataset" if isinstance(dataset, DatasetConfig) else "kinetics"
        return (
            "Put the files there, correct their names in the data set's YAML, or name the folder "
            f"that has them:  --set dataset.root=DIR  (docs/{page}.md)"
        )
    return (
        "Two ways on:\n"
        f"  1. put the files there as {page} says, or name the folder that "
        "has them:  --set dataset.root=DIR\n"
        f"  2. train the same model on the generated {'AVA' if kind == 'ava' else 'Kinetics'}:  "
        f"python tools/make_{kind}_mini.py, then add  --set dataset={kind}_mini"
    )


def _kinetics_files(
    dataset: KineticsDatasetConfig, root: Path, splits: Iterable[Split]
) -> set[Path]:
    """Return lists, class names and the folders of videos; a tree of class folders is its own."""
    needed = set() if dataset.classes is None else {dataset.classes}
    for split in splits:
        files = dataset.train if split == "train" else dataset.val
        needed.add(files.list)
        if dataset.form != "class_folders" and not (root / files.list).is_dir():
            needed.add(files.videos or dataset.videos)
    return needed


def _ava_files(config: ExperimentConfig, splits: Iterable[Split]) -> set[Path]:
    dataset = config.dataset
    needed = {dataset.label_map, dataset.frames.folder if dataset.frames else dataset.videos}
    if dataset.video_starts is not None:
        needed.add(dataset.video_starts)
    for split in splits:
        needed |= _files_of_split(config, split)
    return needed


def _files_of_split(config: ExperimentConfig, split: Split) -> set[Path]:
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
