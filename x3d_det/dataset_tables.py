"""A data set's YAML -> its tables: in seconds of the film, with the classes that count.

The one place where frame numbers become seconds and where a subset of the classes is
taken, for training, evaluation, drawing and checking alike.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from x3d_det.config.files import dataset_root
from x3d_det.config.schema import DatasetConfig, SplitConfig
from x3d_det.data.proposals import NO_ACTION
from x3d_det.errors import DataError, did_you_mean
from x3d_det.formats.person_boxes import read_person_boxes
from x3d_det.io.ava_csv import COORDINATES, AvaAnnotations, read_annotations, read_exclusions
from x3d_det.io.film_time import FilmTime, read_video_starts
from x3d_det.io.label_map import LabelMap, read_label_map

SplitName = Literal["train", "val"]
_NUM_SHOWN = 20


@dataclass(frozen=True)
class ActionClasses:
    """Which actions are annotated, learnt and scored.

    Args:
        label_map: the scored classes.
        output_ids: action id of each output of the model.
        highest_id: ids 1 to it may occur in the annotations.
    """

    label_map: LabelMap
    output_ids: tuple[int, ...]
    highest_id: int

    def targets_of(self, action_ids: np.ndarray) -> np.ndarray:
        """Return 1 + the output of each id (int64), `NO_ACTION` for ids without an output."""
        target_of_id = np.full(self.highest_id + 1, NO_ACTION, np.int64)
        target_of_id[list(self.output_ids)] = np.arange(1, len(self.output_ids) + 1)
        return target_of_id[action_ids]

    def ids_of(self, targets: np.ndarray) -> np.ndarray:
        """Return the ids of what `targets_of` returned (int64)."""
        return np.array(self.output_ids, np.int64)[targets - 1]


class DatasetTables:
    """The tables of a data set; each is read when it is asked for.

    Args:
        dataset: where the files are, and what their numbers mean.
    """

    def __init__(self, dataset: DatasetConfig) -> None:
        self.dataset = dataset
        self.root = dataset_root(dataset)

    @functools.cached_property
    def time(self) -> FilmTime:
        """When the videos start, and what timestamps count.

        Raises:
            DataError: the faults of the file of starts.
        """
        dataset = self.dataset
        starts = {}
        if dataset.video_starts is not None:
            starts = read_video_starts(self.root / dataset.video_starts)
        return FilmTime(
            start_seconds=dataset.video_start_seconds,
            starts=starts,
            frames_per_second=dataset.fps if dataset.timestamps == "frames" else None,
            first_frame=dataset.first_frame,
        )

    @functools.cached_property
    def classes(self) -> ActionClasses:
        """The classes of the label map, or those of them that `dataset.classes` names.

        Raises:
            DataError: an id above `num_classes`, a class that the label map lacks or that is
                named twice, fewer than two classes to choose one from.
        """
        path = self.root / self.dataset.label_map
        label_map = read_label_map(path)
        highest = max(label_map.action_ids)
        highest_id = self.dataset.num_classes or highest
        if highest > highest_id:
            raise DataError(
                f"{path}: action id {highest} ({label_map.names[highest]}) is above "
                f"dataset.num_classes = {highest_id}; raise that, or use the label map "
                "that belongs to the annotations."
            )
        output_ids = tuple(range(1, highest_id + 1))
        if self.dataset.classes is not None:
            output_ids = chosen_ids(self.dataset.classes, label_map, path)
            label_map = LabelMap(
                {i: label_map.names[i] for i in output_ids},
                {i: group for i, group in label_map.groups.items() if i in output_ids},
            )
        if self.dataset.labels == "single" and len(output_ids) < 2:
            raise DataError(
                f"dataset.labels = single chooses among the classes, but there is only one, "
                f"{label_map.names[output_ids[0]]} ({path}); use dataset.labels = multi, which "
                "asks whether it is done or not, or add a class for those who do not do it."
            )
        return ActionClasses(label_map, output_ids, highest_id)

    def annotations(self, split: SplitName) -> AvaAnnotations:
        """Return the annotations of a split.

        Raises:
            DataError: the faults of the file, an unknown action id among them.
        """
        known = range(1, self.classes.highest_id + 1)
        return self.annotations_at(self.root / self._files(split).annotations, action_ids=known)

    def annotations_at(self, path: Path, *, action_ids: range | None = None) -> AvaAnnotations:
        """Return the annotations of a file whose timestamps count as the data set's.

        Raises:
            DataError: the faults of the file.
        """
        read = read_annotations(path, action_ids=action_ids)
        return replace(
            read,
            rows=self.time.in_seconds(read.rows, path),
            empty_keyframes=self.time.in_seconds(read.empty_keyframes, path),
        )

    def person_boxes(self, split: SplitName) -> pd.DataFrame | None:
        """Return the detected boxes of a split, None where there is no file.

        Raises:
            DataError: the faults of the file.
        """
        path = self._files(split).person_boxes
        return self._read(path, read_person_boxes)

    def exclusions(self, split: SplitName) -> pd.DataFrame | None:
        """Return the keyframes of a split that do not count, None where there is no file.

        Raises:
            DataError: the faults of the file.
        """
        return self._read(self._files(split).exclusions, read_exclusions)

    def learnt_rows(self, annotations: AvaAnnotations) -> pd.DataFrame:
        """Return the annotations with 1 + the model's output, or `NO_ACTION`, as action id.

        Raises:
            DataError: a box with two of the classes, where `dataset.labels` is single.
        """
        rows = annotations.rows
        targets = self.classes.targets_of(rows["action_id"].to_numpy(np.int64))
        rows = rows.assign(action_id=targets)
        if self.dataset.labels == "single":
            self._check_single(rows[targets != NO_ACTION], annotations.path)
        return rows

    def _read(
        self, path: Path | None, reader: Callable[[Path], pd.DataFrame]
    ) -> pd.DataFrame | None:
        if path is None:
            return None
        return self.time.in_seconds(reader(self.root / path), self.root / path)

    def _files(self, split: SplitName) -> SplitConfig:
        return self.dataset.train if split == "train" else self.dataset.val

    def _check_single(self, rows: pd.DataFrame, path: str) -> None:
        box = ["video_id", "timestamp", *COORDINATES]
        repeated = rows[rows.duplicated(box)]
        if not len(repeated):
            return
        first = rows.groupby(box, sort=False)[["action_id", "line"]].transform("first")
        first = first.loc[repeated.index]
        names = self.classes.label_map.names
        faults = [
            f"{path}:{line}: the box has the action {names.get(action, action)} and, in line "
            f"{first_line}, {names.get(other, other)}; dataset.labels = single allows one a box: "
            "remove one of the rows, or set dataset.labels = multi."
            for line, action, first_line, other in zip(
                repeated["line"].tolist(),
                self.classes.ids_of(repeated["action_id"].to_numpy()).tolist(),
                first["line"].tolist(),
                self.classes.ids_of(first["action_id"].to_numpy()).tolist(),
                strict=True,
            )
        ]
        if len(faults) > _NUM_SHOWN:
            faults[_NUM_SHOWN:] = [f"and {len(faults) - _NUM_SHOWN:,} more such rows."]
        raise DataError("\n".join(faults))


def chosen_ids(classes: Iterable[int | str], label_map: LabelMap, path: Path) -> tuple[int, ...]:
    """Return the ids, rising, of classes given as ids or names.

    Raises:
        DataError: all that the label map lacks, that are named twice, or whose name is that of
            several ids.
    """
    faults: list[str] = []
    chosen: set[int] = set()
    for given in classes:
        if isinstance(given, int):
            found = [given] if given in label_map.names else []
        else:
            found = [i for i, name in label_map.names.items() if name == given]
        if not found:
            nearest = did_you_mean(str(given), label_map.names.values())
            faults.append(f"dataset.classes: {given!r} is no class of {path}{nearest}")
        elif len(found) > 1:
            faults.append(
                f"dataset.classes: {given!r} is the name of the ids {', '.join(map(str, found))} "
                f"in {path}; give the id."
            )
        elif found[0] in chosen:
            faults.append(f"dataset.classes: {given!r} is named twice; keep one.")
        chosen.update(found)
    if faults:
        raise DataError("\n".join(faults))
    return tuple(sorted(chosen))
