"""Tubes as a data set in AVA's form: csv files, a label map, and the YAML that names them.

Every frame (or every n-th) is a keyframe of the second `(frame - 1) / fps`; boxes are
fractions of the frame with continuous corners. A person's id is the number of its tube in the
video, from 0, so that the tubes can be told apart.

Source of the rates: JHMDB is cut from HMDB51, whose clips were brought to 30 frames a second
(Kuehne et al., ICCV 2011); UCF101 has 25 (Soomro et al., arXiv:1212.0402); MultiSports 25 (Li et
al., arXiv:2105.07404). Where a copy of the videos has another rate, that one counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from x3d_det.boxes import clip_boxes, px_to_norm
from x3d_det.errors import DataError
from x3d_det.io.action_tubes import ActionTubes, SplitName, Tube, bare_name, continuous_corners
from x3d_det.io.ava_csv import AvaAnnotations, write_annotations
from x3d_det.io.label_map import LabelMap, write_label_map

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class TubeDataset:
    """What the annotation file of a public data set does not say.

    Args:
        name: of the YAML and the written files.
        fps: frames a second of its videos.
        inclusive_corners: what x2 and y2 of its boxes mean, see `ActionTubes`.
        labels: "single": everybody does exactly one action; "multi": any number.
    """

    name: str
    fps: float
    inclusive_corners: bool
    labels: str


TUBE_DATASETS: dict[str, TubeDataset] = {
    dataset.name: dataset
    for dataset in (
        TubeDataset(name="jhmdb21", fps=30.0, inclusive_corners=True, labels="single"),
        TubeDataset(name="ucf101_24", fps=25.0, inclusive_corners=True, labels="single"),
        TubeDataset(name="multisports", fps=25.0, inclusive_corners=False, labels="multi"),
    )
}
"""The public data sets by name."""


@dataclass(frozen=True)
class WrittenDataset:
    """What `write_tube_dataset` has written.

    Args:
        files: the paths, in the order of writing.
        yaml: the text of a data set's YAML for these files.
        summary: lines with counts of videos, keyframes and boxes.
    """

    files: tuple[Path, ...]
    yaml: str
    summary: tuple[str, ...]


def write_tube_dataset(
    tubes: ActionTubes,
    folder: Path,
    *,
    dataset: TubeDataset,
    split: int = 1,
    train_interval: int = 1,
    val_interval: int = 1,
    fps: float | None = None,
) -> WrittenDataset:
    """Write a split as `annotations/*.csv` and a label map; the test videos become `val`.

    Frames of test videos on which nobody acts are written too, as rows without a box: boxes
    detected there are false ones by the rules of these data sets.

    Args:
        tubes: the annotations.
        folder: the data set's root; made where it is missing.
        dataset: names and defaults.
        split: from 1.
        train_interval: frames from one keyframe to the next in training.
        val_interval: the same in evaluation; the published numbers need 1.
        fps: frames a second of the videos; None takes those of `dataset`.

    Raises:
        DataError: no such split, a box wholly outside its frame, two videos of one bare name,
            a name that cannot be written.
    """
    rate = dataset.fps if fps is None else fps
    prefix = f"{dataset.name}_split{split}"
    videos = {name: tubes.videos(split, name) for name in ("train", "test")}  # type: ignore[arg-type]
    _check_bare_names(tubes, [*videos["train"], *videos["test"]])
    intervals: dict[SplitName, int] = {"train": train_interval, "test": val_interval}
    tables = {
        name: _annotations(tubes, videos[name], rate, interval)
        for name, interval in intervals.items()
    }
    annotations = folder / "annotations"
    annotations.mkdir(parents=True, exist_ok=True)
    files = [annotations / f"{prefix}_{part}.csv" for part in ("train", "val")]
    names = LabelMap(dict(enumerate(tubes.labels, start=1)))
    label_map = annotations / f"{dataset.name}_labels.pbtxt"
    write_label_map(names, label_map, form="label")
    summary = []
    for path, name in zip(files, intervals, strict=True):
        table = tables[name]
        if name == "train":  # nothing is learnt from a frame without a person
            table = AvaAnnotations(table.rows, table.empty_keyframes.iloc[:0], table.path)
        write_annotations(table, path, decimals=6)
        summary.append(
            f"{name}: {len(videos[name]):,} videos, "
            f"{len(table.rows.groupby(['video_id', 'timestamp'])):,} keyframes with persons, "
            f"{len(table.empty_keyframes):,} without, {len(table.rows):,} boxes"
        )
    yaml = _yaml(dataset, folder, prefix, rate, val_interval, len(tubes.labels))
    return WrittenDataset((label_map, *files), yaml, tuple(summary))


def _check_bare_names(tubes: ActionTubes, videos: Sequence[str]) -> None:
    by_name: dict[str, str] = {}
    for video in videos:
        other = by_name.setdefault(bare_name(video), video)
        if other != video:
            raise DataError(
                f"{tubes.path}: the videos {other!r} and {video!r} have one name without their "
                "folders, and AVA's csv files have no folders; rename one of them."
            )


def _annotations(
    tubes: ActionTubes, videos: Sequence[str], fps: float, interval: int
) -> AvaAnnotations:
    """Return the keyframes of these videos with and without boxes."""
    import pandas as pd

    by_video: dict[str, list[Tube]] = {video: [] for video in videos}
    for tube in tubes.tubes_of(videos):
        by_video[tube.video_id].append(tube)
    rows, empty = [], []
    for video in sorted(videos):
        keyframes = np.arange(1, tubes.num_frames[video] + 1, interval)
        tables = [
            _tube_rows(tubes, tube, person_id, fps, interval)
            for person_id, tube in enumerate(by_video[video])
        ]
        taken = np.concatenate([np.empty(0), *(tube.frames for tube in by_video[video])])
        without = keyframes[~np.isin(keyframes, taken)]
        seconds = _seconds(without, fps)
        empty.append(pd.DataFrame({"video_id": bare_name(video), "timestamp": seconds}))
        if tables:
            table = pd.concat(tables)
            rows.append(table.sort_values(["timestamp", "person_id"], kind="stable"))
    if not rows:
        raise DataError(f"{tubes.path} has no box in the {len(videos):,} videos of this split.")
    return AvaAnnotations(
        pd.concat(rows, ignore_index=True), pd.concat(empty, ignore_index=True), tubes.path
    )


def _tube_rows(
    tubes: ActionTubes, tube: Tube, person_id: int, fps: float, interval: int
) -> "pd.DataFrame":
    import pandas as pd

    height, width = tubes.resolution[tube.video_id]
    kept = (tube.frames - 1) % interval == 0
    frames, boxes = tube.frames[kept], tube.boxes_px[kept]
    whole = continuous_corners(boxes, inclusive=tubes.inclusive_corners)
    inside = clip_boxes(whole, height=height, width=width)
    outside = np.flatnonzero((inside[:, 2:] <= inside[:, :2]).any(axis=1))
    if outside.size:
        row = outside[0]
        corners = ", ".join(f"{value:g}" for value in boxes[row])
        raise DataError(
            f"{tubes.path}: gttubes[{tube.video_id!r}][{tube.label}]: the box {corners} of frame "
            f"{frames[row]} has nothing inside the frame of {width} x {height} pixels."
        )
    corners_norm = px_to_norm(inside, height_px=height, width_px=width)
    columns = dict(zip(("x1", "y1", "x2", "y2"), corners_norm.T, strict=True))
    return pd.DataFrame(
        {
            "video_id": bare_name(tube.video_id),
            "timestamp": _seconds(frames, fps),
            **columns,
            "action_id": tube.label + 1,
            "person_id": person_id,
        }
    )


def _seconds(frames: np.ndarray, fps: float) -> np.ndarray:
    return np.round((frames - 1) / fps, 6)


def _yaml(
    dataset: TubeDataset, folder: Path, prefix: str, fps: float, interval: int, num_classes: int
) -> str:
    return f"""\
name: {dataset.name}
root: {folder}
videos: videos
video_start_seconds: 0.0
keyframe_interval_seconds: {interval / fps:.6f}  # {interval} of {fps:g} frames a second
label_map: annotations/{dataset.name}_labels.pbtxt
num_classes: {num_classes}
labels: {dataset.labels}
train:
  annotations: annotations/{prefix}_train.csv
val:
  annotations: annotations/{prefix}_val.csv
"""
