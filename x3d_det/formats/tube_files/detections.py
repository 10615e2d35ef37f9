"""What a model found, on the frames of the three data sets: frame detections and tubes.

Boxes come out in pixels, with the corners of the annotation file. Read are

- frame detections as csv, parquet or npz (AVA's form: boxes in [0, 1], action id = label + 1),
  whose timestamps count seconds or frames;
- frame detections and tubes as MultiSports' evaluator takes them (pickles): rows of
  (video index, frame, label, score, x1, y1, x2, y2), and label -> (video, score, tube), each
  tube with rows of (frame, x1, y1, x2, y2, ...);
- tubes as JSON, which is also written:
  `{"tubes": [{"video": "v", "label": "swim", "score": 0.9, "first_frame": 1,
  "boxes": [[x1, y1, x2, y2], ...]}, ...]}`, one box a frame, a label as name or index from 0.

Source: MCG-NJU/MultiSports a29e291, README.md, "Evaluation Tools".
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from x3d_det.errors import DataError, did_you_mean
from x3d_det.formats.foreign_files import FileFault, read_text
from x3d_det.formats.json_files import JsonValue, parse_json
from x3d_det.io.action_tubes import ActionTubes, FrameDetections, Tube, checked_tube, file_corners
from x3d_det.io.detection_tables import read_detection_table
from x3d_det.io.files import atomic_write
from x3d_det.io.safe_pickle import load_plain_pickle

if TYPE_CHECKING:
    import pandas as pd

_Place = Callable[[int], str]  # row -> where it stands
_FRAME_TOLERANCE = 0.05  # of a frame: six decimals of a second are 0.00003 frames at 30 fps


def read_frame_detections(
    path: str | os.PathLike[str],
    annotations: ActionTubes,
    *,
    fps: float,
    timestamps: Literal["seconds", "frames"] = "seconds",
    split: int = 1,
) -> FrameDetections:
    """Return the frame detections of a table, or of a pickle as MultiSports has it.

    Args:
        path: `.pkl` or `.pickle` is a pickle, `.parquet` and `.npz` by name, all else csv.
        annotations: videos, their sizes and the labels.
        fps: frames a second; frame n is second (n - 1) / fps.
        timestamps: what a table's timestamps count; frames count from 1.
        split: whose test videos a pickle's video index counts.

    Raises:
        DataError: an unknown video or label, a second that is no frame, a frame behind the
            end, a row without score, an inverted box; names the line or row.
    """
    if Path(path).suffix in (".pkl", ".pickle"):
        return _pickled_frames(path, annotations, split)
    rows = read_detection_table(path)
    lines = rows["line"].to_numpy() if "line" in rows.columns else None

    def place(row: int) -> str:
        return f"{path}: row {row}" if lines is None else f"{path}:{lines[row]}"

    videos, video = _videos(rows, annotations, place)
    numbers = rows["timestamp"].to_numpy(np.float64)
    if timestamps == "seconds":
        numbers = numbers * fps + 1
    frames = np.round(numbers).astype(np.int64)
    _refuse(
        ~(np.abs(numbers - frames) <= _FRAME_TOLERANCE),
        place,
        lambda row: (
            f"timestamp {rows['timestamp'].iloc[row]:g} is no frame: at {fps:g} frames a second it "
            f"is frame {numbers[row]:g}; give the videos' rate with --fps, or --timestamps frames."
        ),
    )
    sizes = np.array([annotations.resolution[name] for name in videos], np.float64).reshape(-1, 2)
    height, width = sizes[video].T
    boxes = rows[["x1", "y1", "x2", "y2"]].to_numpy(np.float64)
    scaled = boxes * np.stack([width, height, width, height], axis=1)
    detections = FrameDetections(
        videos,
        video,
        frames,
        rows["action_id"].to_numpy(np.int64) - 1,
        rows["score"].to_numpy(np.float64),
        file_corners(scaled, inclusive=annotations.inclusive_corners),
    )
    _check_frames(detections, annotations, place, is_inverted=_inverted(boxes), first_label=1)
    return detections


def _videos(
    rows: "pd.DataFrame", annotations: ActionTubes, place: _Place
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the videos of a csv as the annotations name them, and each row's index among them."""
    codes = rows["video_id"].cat.codes.to_numpy()
    names = rows["video_id"].cat.categories
    used, first = np.unique(codes, return_index=True)
    meant = [
        annotations.video_named(str(names[code]), place(row))
        for code, row in zip(used, first, strict=True)
    ]
    videos = tuple(sorted(set(meant)))
    index = np.zeros(len(names), np.int64)
    index[used] = [videos.index(video) for video in meant]
    return videos, index[codes]


def _inverted(boxes: np.ndarray) -> np.ndarray:
    return np.any(boxes[:, 2:] < boxes[:, :2], axis=1)


def _pickled_frames(
    path: str | os.PathLike[str], annotations: ActionTubes, split: int
) -> FrameDetections:
    content = load_plain_pickle(path)
    try:
        table = np.asarray(content, np.float64)
    except (TypeError, ValueError):
        table = np.empty(0)
    table = table.reshape(0, 8) if isinstance(content, list) and not content else table
    if table.ndim != 2 or table.shape[1] != 8:
        raise DataError(
            f"{path} is no list of frame detections; each row is video index, frame, label, "
            "score, x1, y1, x2, y2."
        )
    videos = annotations.videos(split, "test")

    def place(row: int) -> str:
        return f"{path}: row {row}"

    whole = table[:, :3]
    _refuse(
        (whole != np.round(whole)).any(axis=1) | (whole < 0).any(axis=1),
        place,
        lambda row: f"{table[row, :3].tolist()} are no video index, frame and label.",
    )
    _refuse(
        table[:, 0] >= len(videos),
        place,
        lambda row: (
            f"video index {table[row, 0]:g} is above {len(videos) - 1}; it counts the test videos "
            f"of split {split} from 0."
        ),
    )
    video, frames, label = table[:, :3].astype(np.int64).T
    detections = FrameDetections(videos, video, frames, label, table[:, 3], table[:, 4:])
    is_inverted = _inverted(detections.boxes_px)
    _check_frames(detections, annotations, place, is_inverted=is_inverted, first_label=0)
    return detections


def _check_frames(
    detections: FrameDetections,
    annotations: ActionTubes,
    place: _Place,
    *,
    is_inverted: np.ndarray,
    first_label: int,
) -> None:
    """Refuse rows that cannot be of these videos and labels."""
    lengths = np.array([annotations.num_frames.get(video, 0) for video in detections.videos])
    last = lengths[detections.video] if len(detections) else np.empty(0, np.int64)
    labels, frames = detections.labels, detections.frames
    num_labels = len(annotations.labels)
    _refuse(
        (frames < 1) | (frames > last),
        place,
        lambda row: (
            f"frame {frames[row]} is outside the video "
            f"{detections.videos[detections.video[row]]!r}, whose frames are 1 to {last[row]}."
        ),
    )
    _refuse(
        (labels < 0) | (labels >= num_labels),
        place,
        lambda row: (
            f"label {labels[row] + first_label} is unknown; the data set has "
            f"{first_label} to {num_labels - 1 + first_label}."
        ),
    )
    _refuse(
        ~np.isfinite(detections.scores),
        place,
        lambda row: "the row has no finite score; a detection needs one.",
    )
    _refuse(
        is_inverted | ~np.isfinite(detections.boxes_px).all(axis=1),
        place,
        lambda row: "the box is inverted or not finite; boxes are x1, y1, x2, y2.",
    )


def _refuse(wrong: np.ndarray, place: _Place, text: Callable[[int], str]) -> None:
    """Raise for the first row that is wrong."""
    rows = np.flatnonzero(wrong)
    if rows.size:
        more = f" ({rows.size - 1:,} more rows have this fault.)" if rows.size > 1 else ""
        raise DataError(f"{place(rows[0])}: {text(rows[0])}{more}")


def read_tubes(path: str | os.PathLike[str], annotations: ActionTubes) -> list[Tube]:
    """Return the detected tubes of a JSON file, or of a pickle as MultiSports has it.

    Args:
        path: `.json` is JSON, all else a pickle.
        annotations: videos and labels.

    Raises:
        DataError: an unknown video or label, a frame outside the video, frames with gaps, a
            box or score that is none; names the place in the file.
    """
    if Path(path).suffix != ".json":
        return _pickled_tubes(path, annotations)
    try:
        root = JsonValue(parse_json(read_text(path, suffix=".json")))
        return [_json_tube(str(path), value, annotations) for value in root["tubes"]]
    except FileFault as fault:
        raise DataError(f"{path}{fault.place}: {fault.text}") from None


def write_tubes(tubes: Sequence[Tube], labels: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Write tubes as JSON; reading gives the same numbers."""
    content = [
        {
            "video": tube.video_id,
            "label": labels[tube.label],
            "score": tube.score,
            "first_frame": int(tube.frames[0]),
            "boxes": tube.boxes_px.tolist(),
        }
        for tube in tubes
    ]
    with atomic_write(path, "w") as file:
        json.dump({"tubes": content}, file, ensure_ascii=False)
        file.write("\n")


def _json_tube(path: str, value: JsonValue, annotations: ActionTubes) -> Tube:
    place = f"{path}{value.place}"
    video = annotations.video_named(value["video"].text(), place)
    boxes = [box.numbers(4) for box in value["boxes"]]
    first = value["first_frame"].whole()
    score = value["score"].number()
    label = _json_label(value["label"], annotations)
    frames = np.arange(first, first + len(boxes))
    return _in_video(
        checked_tube(
            video, label, frames, np.reshape(boxes, (len(boxes), 4)), score=score, place=place
        ),
        annotations,
        place,
    )


def _json_label(value: JsonValue, annotations: ActionTubes) -> int:
    labels = annotations.labels
    if isinstance(value.value, str):
        if value.value in labels:
            return labels.index(value.value)
        hint = did_you_mean(value.value, labels)
        raise value.fault(
            f"label {value.value!r} is unknown{hint or '; the annotations name all'}."
        )
    index = value.whole()
    if index >= len(labels):
        raise value.fault(f"label {index} is unknown; the data set has 0 to {len(labels) - 1}.")
    return index


def _pickled_tubes(path: str | os.PathLike[str], annotations: ActionTubes) -> list[Tube]:
    content = load_plain_pickle(path)
    if not isinstance(content, dict):
        raise DataError(
            f"{path} is no dict from label index to tubes, but {type(content).__name__}."
        )
    tubes = []
    for label, entries in content.items():
        if isinstance(label, str | bytes) or not 0 <= int(label) < len(annotations.labels):
            raise DataError(
                f"{path}: label {label!r} is unknown; the data set has 0 to "
                f"{len(annotations.labels) - 1}."
            )
        for number, entry in enumerate(entries):
            place = f"{path}: [{label}][{number}]"
            try:
                name, score, rows = entry
                table = np.asarray(rows, np.float64)
                score = float(score)
            except (TypeError, ValueError):
                raise DataError(f"{place} is no (video, score, array of a row a frame).") from None
            if table.ndim != 2 or table.shape[1] < 5:
                raise DataError(
                    f"{place} has boxes of shape {table.shape}; rows are frame, x1, y1, x2, y2."
                )
            video = annotations.video_named(str(name), place)
            tube = checked_tube(
                video, int(label), table[:, 0], table[:, 1:5], score=score, place=place
            )
            tubes.append(_in_video(tube, annotations, place))
    return tubes


def _in_video(tube: Tube, annotations: ActionTubes, place: str) -> Tube:
    last = annotations.num_frames[tube.video_id]
    if tube.frames[-1] > last:
        raise DataError(
            f"{place}: frame {tube.frames[-1]} is behind the last of {tube.video_id!r}, {last}."
        )
    return tube
