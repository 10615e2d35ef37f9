"""A tiny data set in AVA's form: tables by hand, videos on the spot."""

import pandas as pd
from video_files import make_video

FPS = 10
START_SECONDS = 900.0


def annotation_rows(*rows):
    """Return rows (video, second, x1, y1, x2, y2, action) as a table."""
    names = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id"]
    table = pd.DataFrame(rows, columns=names).astype({"timestamp": float, "action_id": "int64"})
    return table.assign(person_id=-1, line=range(1, len(rows) + 1))


def proposal_rows(*rows):
    """Return rows (video, second, x1, y1, x2, y2, score) as a table."""
    names = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "score"]
    table = pd.DataFrame(rows, columns=names).astype({"timestamp": float, "score": float})
    return table.assign(line=range(1, len(rows) + 1))


def keyframe_rows(*rows):
    """Return rows (video, second) as a table."""
    table = pd.DataFrame(rows, columns=["video_id", "timestamp"]).astype({"timestamp": float})
    return table.assign(line=range(1, len(rows) + 1))


def make_videos(folder, *, num_videos=2, seconds=8):
    """Write numbered videos `v0.mp4`, `-v1.mp4`, ... of 10 frames a second."""
    folder.mkdir(exist_ok=True)
    names = [f"{'-' if place % 2 else ''}v{place}" for place in range(num_videos)]
    for name in names:
        make_video(folder / f"{name}.mp4", num_frames=seconds * FPS, fps=FPS, gop_frames=20)
    return names


def annotate(names, seconds, *, boxes=2):
    """Return `boxes` people on each keyframe, with actions that differ."""
    rows = [
        (name, second, 0.1 + 0.4 * place, 0.2, 0.4 + 0.4 * place, 0.9, 1 + (second + place) % 5)
        for name in names
        for second in seconds
        for place in range(boxes)
    ]
    return annotation_rows(*rows)
