"""Keyframes with errors as JPEG files."""

import io
import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from x3d_det.data.clips import VideoFolder
from x3d_det.errors import VideoError
from x3d_det.keyframes import Keyframe
from x3d_det.visualization.worst_keyframes import draw_worst_keyframes

NAMES = {1: "bend", 2: "crawl"}
COLUMNS = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id"]
TRUTH = pd.DataFrame(
    [("v", 901.0, 0.1, 0.1, 0.4, 0.9, 1, -1), ("v", 902.0, 0.1, 0.1, 0.4, 0.9, 1, -1)],
    columns=[*COLUMNS, "person_id"],
)
FOUND = pd.DataFrame(
    [
        ("v", 901.0, 0.6, 0.2, 0.9, 0.8, 2, 0.9),
        ("v", 901.0, 0.0, 0.0, 0.05, 0.05, 2, 0.1),  # below the threshold
        ("v", 901.0, 0.5, 0.5, 0.5, 0.9, 2, 0.9),  # without an area
        ("v", 901.0, 0.5, 0.5, 0.7, 0.9, 77, 0.9),  # of an unknown action
    ],
    columns=[*COLUMNS, "score"],
)


def _draw(source, keyframes, found=FOUND, threshold=0.5, **options):
    return draw_worst_keyframes(
        keyframes,
        source,
        annotations=TRUTH,
        detections=found,
        action_names=NAMES,
        score_threshold=threshold,
        **options,
    )


@pytest.fixture
def source(make_video):
    return VideoFolder(make_video(height=240, width=320).parent, video_start_seconds=900.0)


def _picture(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB")).astype(int)


def test_boxes_are_drawn_where_they_are(source):
    keyframes = [Keyframe("v", 901.0), Keyframe("v", 902.0)]
    pictures = _draw(source, keyframes, width_px=640)
    assert list(pictures) == keyframes
    picture = _picture(pictures[keyframes[0]])
    assert picture.shape == (480, 640, 3)
    grey = picture[300, 330]  # frame 10 of the film, between the boxes
    assert np.ptp(grey) < 12
    detected = picture[200:380, 384]  # left side of the box that begins at 0.6 * 640
    assert (np.abs(detected - grey).max(axis=1) > 40).mean() > 0.5
    # The empty and the unknown detections, both from x = 320 on, leave the place as it was.
    assert np.abs(picture[390:425, 310:330] - grey).max() < 20
    # On the other keyframe only the annotation is drawn.
    other = _picture(pictures[keyframes[1]])
    assert np.abs(other[200:380, 384] - other[300, 330]).max() < 20


def test_without_a_threshold_all_are_shown(source):
    keyframe = Keyframe("v", 901.0)
    few = _draw(source, [keyframe])[keyframe]
    assert _draw(source, [keyframe], threshold=math.nan)[keyframe] != few


def test_films_that_are_not_there_get_no_picture(source):
    assert _draw(source, [Keyframe("w", 901.0)]) == {}
    assert _draw(source, []) == {}


def test_a_second_outside_the_film_is_an_error(source):
    with pytest.raises(VideoError, match="99"):
        _draw(source, [Keyframe("v", 999.0)])


def test_the_tables_are_left_as_they_were(source):
    truth, found = TRUTH.copy(), FOUND.copy()
    _draw(source, [Keyframe("v", 901.0)])
    pd.testing.assert_frame_equal(TRUTH, truth)
    pd.testing.assert_frame_equal(FOUND, found)
