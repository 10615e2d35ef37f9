"""Small annotation files of tubes, and random ones in the form of the public programs."""

import pickle
import random
from pathlib import Path

import numpy as np

LABELS = ["run", "jump", "aerobic kick jump", "swim"]


def tube(first: int, *boxes: tuple[float, float, float, float]) -> np.ndarray:
    """Return a tube as ACT's files have it, (n, 5)."""
    return np.array([[first + row, *box] for row, box in enumerate(boxes)], np.float64)


def annotations(**changes: object) -> dict[str, object]:
    """Return a data set of two videos in ACT's layout; `changes` replace keys."""
    still = (10.0, 20.0, 29.0, 59.0)
    content: dict[str, object] = {
        "labels": ["run", "swim"],
        "gttubes": {
            "park/a": {0: [tube(1, still, still, still)]},
            "pool/b": {1: [tube(2, still, still), tube(1, (50, 20, 99, 79))]},
        },
        "nframes": {"park/a": 3, "pool/b": 4},
        "resolution": {"park/a": (100, 200), "pool/b": (100, 200)},
        "train_videos": [["park/a"]],
        "test_videos": [["pool/b"]],
    }
    return content | changes


def write_pickle(path: Path, content: object, *, protocol: int = 2) -> Path:
    """Write a pickle; protocol 2 is what Python 2 wrote."""
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def random_case(
    seed: int, num_videos: int = 6
) -> tuple[dict[str, object], np.ndarray, dict[int, list]]:
    """Return annotations, frame detections (N, 8) and tubes by label, as MultiSports has them.

    Only `random()` of Python is drawn from: its values are the same in every version.
    """
    draw = random.Random(seed).random

    def whole(low: int, high: int) -> int:
        return low + int(draw() * (high - low))

    def moved(box: list[int], step: tuple[int, int], count: int) -> np.ndarray:
        shift = np.arange(count)[:, None] * np.array([*step, *step])
        boxes = np.maximum(np.array(box) + shift, 0)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        return boxes

    videos = [f"v{index}" for index in range(num_videos)]
    gttubes: dict[str, dict[int, list]] = {}
    detections: list[list[float]] = []
    tubes: dict[int, list] = {label: [] for label in range(len(LABELS))}
    for index, video in enumerate(videos):
        gttubes[video] = {}
        for label in range(len(LABELS)):
            for _ in range(whole(0, 4) if index else 1):
                first, count = whole(1, 20), whole(1, 15)
                x1, y1 = whole(0, 40), whole(0, 40)
                box = [x1, y1, x1 + whole(20, 60), y1 + whole(20, 60)]
                step = (whole(-2, 3), whole(-2, 3))
                table = np.column_stack([first + np.arange(count), moved(box, step, count)])
                gttubes[video].setdefault(label, []).append(table.astype(np.float64))
                for _ in range(whole(0, 4)):
                    jitter = (1, 3, 8)[whole(0, 3)]
                    around = [value + whole(-jitter, jitter + 1) for value in box]
                    start = max(1, first + whole(-1, 2))
                    length = max(1, count + whole(-1, 2))
                    boxes = moved(around, step, length)
                    guess = label if draw() < 0.8 else whole(0, len(LABELS))
                    frames = start + np.arange(length)
                    scores = np.array([draw() for _ in range(length)])
                    found = np.column_stack([frames, boxes, scores])
                    tubes[guess].append((video, draw(), found))
                    detections += [[index, row[0], guess, draw(), *row[1:5]] for row in found]
    content: dict[str, object] = {
        "labels": LABELS,
        "gttubes": gttubes,
        "nframes": dict.fromkeys(videos, 60),
        "resolution": dict.fromkeys(videos, (240, 320)),
        "train_videos": [[]],
        "test_videos": [videos],
    }
    return content, np.array(detections), tubes
