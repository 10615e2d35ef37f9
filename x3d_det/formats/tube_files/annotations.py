"""Annotation pickles of tubes: the ACT detector's form, which MultiSports took over, and Singh's.

ACT's form (JHMDB-GT.pkl, UCF101v2-GT.pkl, multisports_GT.pkl) is one dict: `labels`, `gttubes`
(video -> label index -> tubes, each (n, 5) of frame, x1, y1, x2, y2), `nframes`, `resolution`
(height, width), `train_videos` and `test_videos` (one list a split). Frames count from 1.

Singh's form (pyannot.pkl, pyannot_with_class_names.pkl of UCF101-24) is video -> `numf`, `label`,
`annotations`, each of these with `sf`, `ef` (first frame and the one behind the last, from 0)
and `boxes` of x, y, width, height. It has no resolution; UCF101's videos are 320 x 240.

Source: vkalogeiton/caffe a431461, act-detector-scripts/Dataset.py; MCG-NJU/MultiSports a29e291,
README.md; gurkirt/corrected-UCF101-Annots 5de776b, pyannot.pkl; for the meaning of `sf`, `ef`
and of the corners (x, y, x + width, y + height), gurkirt/realtime-action-detection 9dd8e1b,
data/ucf24.py. The size of UCF101: Soomro et al., arXiv:1212.0402.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from x3d_det.errors import DataError
from x3d_det.io.action_tubes import ActionTubes, SplitName, Tube, checked_tube
from x3d_det.io.safe_pickle import load_plain_pickle

_ACT_KEYS = ("labels", "gttubes", "nframes", "resolution", "train_videos", "test_videos")
_SINGH_KEYS = {"annotations", "label", "numf"}
_UCF101_HEIGHT_WIDTH = (240, 320)


def read_tube_annotations(
    path: str | os.PathLike[str],
    *,
    inclusive_corners: bool,
    test_list: str | os.PathLike[str] | None = None,
) -> ActionTubes:
    """Return the tubes of an annotation pickle, whichever of the two forms it has.

    Args:
        path: the pickle; of Python 2 or 3, nothing in it is run.
        inclusive_corners: what x2 and y2 mean, see `ActionTubes`.
        test_list: for `pyannot.pkl`, which has no splits: a text file of test videos, one a
            line (UCF101's testlist01.txt); the other videos are for training.

    Raises:
        DataError: the file cannot be read, has another layout or lacks a key; a label, video,
            frame or box that cannot be. The message names the key.
    """
    content = load_plain_pickle(path)
    if not isinstance(content, dict) or not content:
        raise _no_layout(path, f"holds a value of type {type(content).__name__}")
    if "gttubes" in content:
        return _act_tubes(str(path), content, inclusive_corners)
    if {"db", "classes", "trainvideos"} <= set(content):
        labels = _names(content["classes"], f"{path}: classes")
        train = set(_names(content["trainvideos"], f"{path}: trainvideos"))
        database = _mapping(content["db"], f"{path}: db")
        return _singh_tubes(str(path), database, labels, train, inclusive_corners)
    if all(isinstance(entry, dict) and set(entry) >= _SINGH_KEYS for entry in content.values()):
        labels = _folder_names(path, content)
        train = set(map(str, content)) - _test_videos(path, content, test_list)
        return _singh_tubes(str(path), content, labels, train, inclusive_corners)
    keys = ", ".join(repr(key) for key in list(content)[:6])
    raise _no_layout(path, f"has the keys {keys}")


def _no_layout(path: str | os.PathLike[str], found: str) -> DataError:
    return DataError(
        f"{path} {found}; annotations of tubes are a dict with {', '.join(_ACT_KEYS)} "
        "(JHMDB-GT.pkl, UCF101v2-GT.pkl, multisports_GT.pkl) or the dict of pyannot.pkl."
    )


def _act_tubes(path: str, content: dict[str, Any], inclusive: bool) -> ActionTubes:
    missing = [key for key in _ACT_KEYS if key not in content]
    if missing:
        raise DataError(
            f"{path} lacks the key {missing[0]!r}; it must have {', '.join(_ACT_KEYS)}."
        )
    labels = _names(content["labels"], f"{path}: labels")
    counts = _mapping(content["nframes"], f"{path}: nframes")
    num_frames = {
        str(video): _whole(count, f"{path}: nframes[{video!r}]", least=1)
        for video, count in counts.items()
    }
    sizes = _mapping(content["resolution"], f"{path}: resolution")
    resolution = {str(video): _size(path, video, size) for video, size in sizes.items()}
    per_video = _mapping(content["gttubes"], f"{path}: gttubes")
    splits = _splits(path, content["train_videos"], content["test_videos"])
    annotated = [video for split in splits for names in split.values() for video in names]
    for key, table in (("nframes", num_frames), ("resolution", resolution), ("gttubes", per_video)):
        for video in [*annotated, *map(str, per_video)]:
            if video not in table:
                raise DataError(
                    f"{path}: {key} has no entry for the video {video!r}; every video needs one."
                )
    tubes = [
        tube
        for video, by_label in per_video.items()
        for tube in _act_video(path, str(video), by_label, len(labels), num_frames[str(video)])
    ]
    return _checked(
        ActionTubes(path, labels, tuple(tubes), num_frames, resolution, splits, inclusive)
    )


def _act_video(
    path: str, video: str, by_label: object, num_labels: int, num_frames: int
) -> list[Tube]:
    tubes = []
    for key, arrays in _mapping(by_label, f"{path}: gttubes[{video!r}]").items():
        place = f"{path}: gttubes[{video!r}][{key!r}]"
        label = _label(key, place, num_labels)
        if not isinstance(arrays, Sequence | np.ndarray) or isinstance(arrays, str | bytes):
            raise DataError(
                f"{place} is of type {type(arrays).__name__}; it must be a list of arrays."
            )
        for number, array in enumerate(arrays):
            where = f"{place}[{number}]"
            table = _table(array, 5, where)
            tube = checked_tube(video, label, table[:, 0], table[:, 1:], place=where)
            tubes.append(_within(tube, num_frames, where))
    return tubes


def _singh_tubes(
    path: str,
    database: Mapping[Any, Any],
    labels: tuple[str, ...],
    train: set[str],
    inclusive: bool,
) -> ActionTubes:
    tubes: list[Tube] = []
    num_frames: dict[str, int] = {}
    for key, entry in database.items():
        video, place = str(key), f"{path}: [{key!r}]"
        if not isinstance(entry, dict) or not set(entry) >= _SINGH_KEYS:
            raise DataError(f"{place} lacks annotations, label or numf; every video has them.")
        num_frames[video] = _whole(entry["numf"], f"{place}[numf]", least=1)
        for number, annotation in enumerate(entry["annotations"]):
            where = f"{place}[annotations][{number}]"
            tube = _singh_tube(video, annotation, len(labels), where)
            tubes.append(_within(tube, num_frames[video], where))
    split: dict[SplitName, tuple[str, ...]] = {
        "train": tuple(video for video in num_frames if video in train),
        "test": tuple(video for video in num_frames if video not in train),
    }
    resolution = dict.fromkeys(num_frames, _UCF101_HEIGHT_WIDTH)
    return _checked(
        ActionTubes(path, labels, tuple(tubes), num_frames, resolution, (split,), inclusive)
    )


def _singh_tube(video: str, annotation: object, num_labels: int, place: str) -> Tube:
    fields = _mapping(annotation, place)
    for key in ("label", "sf", "ef", "boxes"):
        if key not in fields:
            raise DataError(f"{place} lacks the key {key!r}; it has {', '.join(map(str, fields))}.")
    label = _label(fields["label"], f"{place}[label]", num_labels)
    first = _whole(fields["sf"], f"{place}[sf]", least=0)
    stop = _whole(fields["ef"], f"{place}[ef]", least=1)
    sides = _table(fields["boxes"], 4, f"{place}[boxes]")
    if len(sides) != stop - first:
        raise DataError(
            f"{place} has {len(sides)} boxes for the frames sf = {first} to ef = {stop}; "
            f"it must have {stop - first}."
        )
    boxes = np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1)
    return checked_tube(video, label, np.arange(first + 1, stop + 1), boxes, place=place)


def _folder_names(path: str | os.PathLike[str], content: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return the labels of `pyannot.pkl`: the folders of its videos, `Basketball/v_...`."""
    names: dict[int, str] = {}
    for video, entry in content.items():
        label = _whole(entry["label"], f"{path}: [{video!r}][label]", least=0)
        folder = str(video).split("/")[0]
        if names.setdefault(label, folder) != folder:
            raise DataError(
                f"{path}: label {label} is {names[label]!r} and, at {video!r}, {folder!r}; "
                "the folder of a video is the name of its label."
            )
    if set(names) != set(range(len(names))):
        absent = min(set(range(max(names) + 1)) - set(names))
        raise DataError(f"{path}: no video has label {absent}, so its name is not known.")
    return tuple(names[label] for label in range(len(names)))


def _test_videos(
    path: str | os.PathLike[str],
    content: Mapping[Any, Any],
    test_list: str | os.PathLike[str] | None,
) -> set[str]:
    if test_list is None:
        raise DataError(
            f"{path} does not say which videos are for testing; name UCF101's testlist01.txt with "
            "--test-list, or take pyannot_with_class_names.pkl or UCF101v2-GT.pkl."
        )
    try:
        lines = Path(test_list).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"test list {test_list} cannot be read: {error}.") from None
    names = {line.removesuffix(".avi") for line in lines}
    found = names & set(map(str, content))
    if not found:
        raise DataError(
            f"{test_list} names no video of {path}; lines are like Diving/v_Diving_g01_c01"
        )
    return found


def _splits(path: str, train: Any, test: Any) -> tuple[Mapping[SplitName, tuple[str, ...]], ...]:
    if not (_is_list(train) and _is_list(test)):
        raise DataError(
            f"{path}: train_videos and test_videos must be lists with one list of videos a split."
        )
    if len(train) != len(test):
        raise DataError(
            f"{path}: train_videos has {len(train)} splits and test_videos {len(test)}; "
            "they must be as many."
        )
    return tuple(
        {
            "train": _names(first, f"{path}: train_videos[{number}]"),
            "test": _names(second, f"{path}: test_videos[{number}]"),
        }
        for number, (first, second) in enumerate(zip(train, test, strict=True))
    )


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0


def _checked(tubes: ActionTubes) -> ActionTubes:
    """Refuse a split that has a video on both sides."""
    for number, split in enumerate(tubes.splits, start=1):
        both = sorted(set(split["train"]) & set(split["test"]))
        if both:
            raise DataError(
                f"{tubes.path}: {both[0]!r} is a training and a test video of split {number}."
            )
    return tubes


def _within(tube: Tube, num_frames: int, place: str) -> Tube:
    if tube.frames[-1] > num_frames:
        raise DataError(
            f"{place}: frame {tube.frames[-1]} is behind the last of the video, {num_frames}."
        )
    return tube


def _label(value: object, place: str, num_labels: int) -> int:
    label = _whole(value, place, least=0)
    if label >= num_labels:
        raise DataError(
            f"{place}: label {label} is unknown; the file names {num_labels} labels, from 0."
        )
    return label


def _size(path: str, video: object, size: object) -> tuple[int, int]:
    place = f"{path}: resolution[{video!r}]"
    if not isinstance(size, Sequence | np.ndarray) or len(size) != 2:
        raise DataError(f"{place} is {size!r}; it must be (height, width) in pixels.")
    height, width = size
    return _whole(height, place, least=1), _whole(width, place, least=1)


def _table(value: object, num_columns: int, place: str) -> np.ndarray:
    try:
        table = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.ndim != 2 or table.shape[1] != num_columns or not len(table):
        raise DataError(
            f"{place} has the shape {np.shape(np.asarray(value, object))}; it must be an array of "
            f"one row a frame with {num_columns} numbers."
        )
    return table


def _mapping(value: object, place: str) -> Mapping[Any, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{place} is of type {type(value).__name__}; it must be a dict.")
    return value


def _names(value: object, place: str) -> tuple[str, ...]:
    """Return a list of names; `str_` of NumPy and the bytes of Python 2 are names too."""
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str | bytes):
        raise DataError(f"{place} is of type {type(value).__name__}; it must be a list of names.")
    names = tuple(
        name.decode("latin-1") if isinstance(name, bytes) else str(name) for name in value
    )
    twice = (
        {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()
    )
    if twice:
        raise DataError(f"{place} names {min(twice)!r} twice.")
    return names


def _whole(value: object, place: str, *, least: int) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise DataError(f"{place} is {value!r}; it must be a whole number.")
    if not float(value).is_integer() or value < least:  # type: ignore[operator]
        raise DataError(f"{place} is {value!r}; it must be a whole number from {least} on.")
    return int(value)
