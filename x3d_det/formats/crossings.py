"""What one kind of table can become: the persons of annotations, the keyframes of boxes, ..."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from x3d_det.formats.frame_lists import frame_list_of_videos
from x3d_det.formats.options import ConvertOptions
from x3d_det.formats.person_boxes import BOX_KEY, PersonBoxes
from x3d_det.formats.registry import Kind
from x3d_det.io.ava_csv import AvaAnnotations

if TYPE_CHECKING:
    import pandas as pd

_KEY = ["video_id", "timestamp"]
# What PySlowFast's recipe cuts: 30 frames a second from second 900 to 1801.
_FPS, _START_SECONDS, _END_SECONDS = 30, 900.0, 1801.0


@dataclass(frozen=True)
class Crossing:
    """A way from one kind to another.

    Args:
        convert: (table, options) -> table of the other kind, and what is left out.
        options: fields of `ConvertOptions` that it heeds.
    """

    convert: Callable[[Any, ConvertOptions], tuple[Any, tuple[str, ...]]]
    options: frozenset[str] = frozenset()


def _persons(annotations: AvaAnnotations, _options: ConvertOptions) -> tuple[PersonBoxes, Any]:
    """Return each annotated box once, with score 1."""
    import pandas as pd

    rows = annotations.rows.drop_duplicates(BOX_KEY, ignore_index=True)
    boxes = rows[BOX_KEY].copy()
    boxes["label"] = pd.array([pd.NA] * len(boxes), dtype="Int64")
    boxes["score"] = 1.0
    boxes["line"] = rows["line"]
    note = (
        f"{len(annotations.rows):,} rows are {len(boxes):,} boxes of persons, score 1; "
        "actions and person ids are left out"
    )
    return PersonBoxes(boxes, annotations.empty_keyframes), (note,)


def _keyframes(tables: Sequence["pd.DataFrame"]) -> "pd.DataFrame":
    """Return the keyframes that the tables name, each once, by their lines."""
    import pandas as pd

    named = pd.concat([table[[*_KEY, "line"]] for table in tables], ignore_index=True)
    named["video_id"] = named["video_id"].astype(str)
    named = named.sort_values("line", kind="stable").drop_duplicates(_KEY, ignore_index=True)
    named["line"] = np.arange(1, len(named) + 1)
    return named


def _tables(content: Any) -> list["pd.DataFrame"]:
    """Return the tables of a kind that name keyframes."""
    if isinstance(content, AvaAnnotations | PersonBoxes):
        return [content.rows, content.empty_keyframes]
    return [content]


def _named_keyframes(content: Any, _options: ConvertOptions) -> tuple["pd.DataFrame", Any]:
    tables = _tables(content)
    named = _keyframes(tables)
    return named, (f"{sum(map(len, tables)):,} rows name {len(named):,} keyframes",)


def _videos(content: Any, _options: ConvertOptions) -> tuple["pd.DataFrame", Any]:
    named = _keyframes(_tables(content))
    return _video_table(list(dict.fromkeys(named["video_id"]))), ()


def _videos_of_frames(frames: "pd.DataFrame", _options: ConvertOptions) -> tuple[Any, Any]:
    return _video_table(list(dict.fromkeys(frames["original_vido_id"]))), ()


def _video_table(video_ids: list[str]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        {
            "video_id": np.array(video_ids, dtype=object),
            "file_name": np.full(len(video_ids), "", dtype=object),
            "line": np.arange(1, len(video_ids) + 1),
        }
    )


def _frames(content: Any, options: ConvertOptions) -> tuple["pd.DataFrame", Any]:
    """Return the frame list of the videos that are named, cut as PySlowFast does by default."""
    fps = _FPS if options.fps is None else options.fps
    start, end = options.video_start_seconds, options.video_end_seconds
    first = _START_SECONDS if start is None else start
    last = _END_SECONDS if end is None else end
    video_ids = list(dict.fromkeys(str(v) for table in _tables(content) for v in table["video_id"]))
    frames = frame_list_of_videos(video_ids, fps=fps, start_seconds=first, end_seconds=last)
    each = len(frames) // max(len(video_ids), 1)
    note = (
        f"{each:,} frames for each of {len(video_ids):,} videos: {float(fps):g} a second from "
        f"second {first:g} to {last:g} of the film; no frame was looked for"
    )
    return frames, (note,)


_TO_FRAMES = Crossing(_frames, frozenset({"fps", "video_start_seconds", "video_end_seconds"}))

CROSSINGS: Mapping[tuple[Kind, Kind], Crossing] = {
    ("annotations", "person boxes"): Crossing(_persons),
    ("annotations", "keyframes"): Crossing(_named_keyframes),
    ("person boxes", "keyframes"): Crossing(_named_keyframes),
    ("detections", "keyframes"): Crossing(_named_keyframes),
    ("annotations", "videos"): Crossing(_videos),
    ("person boxes", "videos"): Crossing(_videos),
    ("detections", "videos"): Crossing(_videos),
    ("keyframes", "videos"): Crossing(_videos),
    ("frame list", "videos"): Crossing(_videos_of_frames),
    ("annotations", "frame list"): _TO_FRAMES,
    ("person boxes", "frame list"): _TO_FRAMES,
    ("keyframes", "frame list"): _TO_FRAMES,
    ("videos", "frame list"): _TO_FRAMES,
}
"""(from, to) -> how; a pair that is not here makes no sense."""

REASONS: Mapping[tuple[Kind, Kind], str] = {
    ("detections", "person boxes"): "a detection's score is that of an action, not of a person",
    ("detections", "annotations"): "a detection is a guess; ground truth in result form is the "
    "form result-ground-truth",
    ("annotations", "detections"): "annotations have no score; write the form "
    "result-ground-truth, which has 1.0000 in every row",
    ("annotations", "label map"): "rows hold ids, not names; an export of an annotation tool "
    "brings its label map, which is written beside the annotations",
    ("person boxes", "annotations"): "boxes of persons have no actions",
    ("keyframes", "annotations"): "keyframes have no boxes",
}
"""Why a pair that users may try makes no sense."""
