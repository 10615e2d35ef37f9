"""What both back ends share: frames in, person boxes out.

Shape suffixes in this file: H x W pixels, C channels red, green, blue, N boxes.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from x3d_det.boxes import clip_boxes
from x3d_det.errors import X3DDetError


def detect_by_size(
    frames_HWC: Sequence[np.ndarray],
    find: Callable[[list[np.ndarray]], Iterable[tuple[np.ndarray, np.ndarray]]],
) -> list[np.ndarray]:
    """Return the persons of each frame, float32 (N, 5); see `PersonDetector.detect`.

    Args:
        frames_HWC: uint8 RGB, sizes may differ.
        find: frames of one size -> boxes (N, 4) in pixels and scores (N,) of each.

    Raises:
        ValueError: a frame is not uint8 (H, W, 3) with pixels in it.
    """
    check_frames(frames_HWC)
    rows: dict[int, np.ndarray] = {}
    for indices in same_size_groups(frames_HWC):
        with torch.inference_mode():
            found = find([frames_HWC[index] for index in indices])
        for index, (boxes_xyxy_px, scores_N) in zip(indices, found, strict=True):
            height_px, width_px = frames_HWC[index].shape[:2]
            rows[index] = person_rows(
                boxes_xyxy_px, scores_N, height_px=height_px, width_px=width_px
            )
    return [rows[index] for index in range(len(frames_HWC))]


def check_frames(frames_HWC: Sequence[np.ndarray]) -> None:
    """Let frames pass that a detector can take.

    Raises:
        ValueError: a frame is not uint8 (H, W, 3) with pixels in it.
    """
    for index, frame in enumerate(frames_HWC):
        fits = frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
        if not fits or frame.size == 0:
            raise ValueError(
                f"frames_HWC[{index}] is {frame.dtype} of shape {frame.shape}; "
                "a frame must be uint8 RGB of shape (H, W, 3)."
            )


def same_size_groups(frames_HWC: Sequence[np.ndarray]) -> list[list[int]]:
    """Return the frames' indices, those of one size together.

    A batch pads its pictures to the largest, and the padding reaches the boxes; frames of one
    size alone make a frame's boxes independent of what it is batched with.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, frame in enumerate(frames_HWC):
        groups.setdefault(frame.shape, []).append(index)
    return list(groups.values())


def person_rows(
    boxes_xyxy_px: np.ndarray, scores_N: np.ndarray, *, height_px: int, width_px: int
) -> np.ndarray:
    """Return float32 (N, 5), x1, y1, x2, y2, score: by falling score, within the frame.

    Boxes that have no area there are left out. Equal scores keep their order.
    """
    boxes = clip_boxes(boxes_xyxy_px, height=height_px, width=width_px)
    rows = np.concatenate([boxes, scores_N[:, None]], axis=1).astype(np.float32)
    rows = rows[(rows[:, 2] > rows[:, 0]) & (rows[:, 3] > rows[:, 1])]
    return rows[np.argsort(-rows[:, 4], kind="stable")]


def torch_device(name: str) -> torch.device:
    """Return the device for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        X3DDetError: there is no such GPU.
    """
    num_gpus = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda" if num_gpus else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= num_gpus:
        raise X3DDetError(
            f"device is {name}, but torch finds {num_gpus} GPUs; use another device or cpu."
        )
    return device
