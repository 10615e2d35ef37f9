"""The keyframes of an evaluation with most errors, drawn as small JPEG files.

Shape suffixes in this file: H x W pixels, C channels red, green, blue.
"""

import io
import math
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from PIL import Image

from x3d_det.data.clips import FrameSource
from x3d_det.keyframes import Keyframe, format_timestamp
from x3d_det.visualization.contact_sheet import scaled_to_width
from x3d_det.visualization.draw import Caption, draw_persons
from x3d_det.visualization.timeline import build_timeline, to_drawn

_BOX_COLUMNS = ["x1", "y1", "x2", "y2"]


def draw_worst_keyframes(
    keyframes: Iterable[Keyframe],
    source: FrameSource,
    *,
    annotations: pd.DataFrame,
    detections: pd.DataFrame,
    action_names: Mapping[int, str],
    score_threshold: float,
    top_k: int | None = 5,
    width_px: int = 720,
    quality: int = 82,
) -> dict[Keyframe, bytes]:
    """Return a JPEG file of each keyframe: what was annotated, what was detected, what is wrong.

    A keyframe whose film the source does not have gets no picture.

    Args:
        keyframes: as `AvaAnalysis.worst` names them.
        source: of the frames.
        annotations: video_id, timestamp, x1..y2 in [0, 1], action_id, person_id.
        detections: the same columns with score instead of person_id; boxes without an area,
            which evaluators drop, are left out.
        action_names: action id -> name as it is to be drawn; detections of other ids are left out.
        score_threshold: detections below are not shown; `AvaAnalysis.confident_score`. NaN
            shows all.
        top_k: at most so many actions a box.
        width_px: of the pictures.
        quality: of the JPEG files, 1 to 95.

    Raises:
        VideoError: a film that is there cannot be read at the keyframe.
    """
    wanted = [keyframe for keyframe in keyframes if source.has_video(keyframe.video_id)]
    threshold = -math.inf if math.isnan(score_threshold) else score_threshold
    truth = _of_keyframes(annotations, wanted, action_names)
    found = _of_keyframes(detections, wanted, action_names)
    found = found[found["score"] >= threshold]
    pictures = {}
    for keyframe in wanted:
        timeline = build_timeline(
            keyframe.video_id,
            annotations=_at(truth, keyframe),
            detections=_at(found, keyframe),
            score_threshold=threshold,
        )
        seconds = np.array([keyframe.timestamp])
        clip = source.read(keyframe.video_id, seconds, required_seconds=seconds)
        frame_HWC = scaled_to_width(clip.frames_THWC[0], width_px)
        height, width = frame_HWC.shape[:2]
        persons = [person for there in timeline.persons.values() for person in there]
        drawn_HWC = draw_persons(
            frame_HWC,
            to_drawn(persons, height=height, width=width, action_names=action_names),
            score_threshold=threshold,
            top_k=top_k,
            caption=Caption(text=format_timestamp(keyframe.timestamp)),
        )
        pictures[keyframe] = _jpeg(drawn_HWC, quality)
    return pictures


def _of_keyframes(
    table: pd.DataFrame, keyframes: Iterable[Keyframe], action_names: Mapping[int, str]
) -> pd.DataFrame:
    """Return the rows of known actions on these keyframes' films and seconds, with an area."""
    videos = {keyframe.video_id for keyframe in keyframes}
    seconds = {round(keyframe.timestamp, 6) for keyframe in keyframes}
    near = table["video_id"].isin(list(videos)).to_numpy()
    rows = table[near]
    rows = rows[rows["timestamp"].round(6).isin(list(seconds))]
    rows = rows[rows["action_id"].isin(list(action_names))]
    boxes = rows[_BOX_COLUMNS].to_numpy(np.float64)
    drawable = np.isfinite(boxes).all(axis=1) & (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
    return rows[drawable]


def _at(rows: pd.DataFrame, keyframe: Keyframe) -> pd.DataFrame:
    here = (rows["video_id"] == keyframe.video_id).to_numpy()
    return rows[here & (rows["timestamp"].round(6) == round(keyframe.timestamp, 6)).to_numpy()]


def _jpeg(picture_HWC: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture_HWC).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()
