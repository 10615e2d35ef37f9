"""Square films whose frames carry their numbers, as labelled videos."""

from pathlib import Path

import numpy as np
from torch import Tensor
from video_files import frame_number, make_video

from x3d_det.io.video_lists import LabelledVideo

FPS, SIDE = 10, 64


def make_films(folder: Path, **num_frames: int) -> None:
    """Write one square film for each name, with so many frames; 0 makes a file of rubbish."""
    for name, number in num_frames.items():
        path = folder / f"{name}.mp4"
        if number:
            make_video(path, num_frames=number, fps=FPS, height=SIDE, width=SIDE)
        else:
            path.write_bytes(b"this is no film")


def labelled(folder: Path, *names: str) -> list[LabelledVideo]:
    """Return the films as listed videos; label k is the k-th."""
    return [
        LabelledVideo(folder / f"{name}.mp4", label, f"list.csv:{label + 1}")
        for label, name in enumerate(names)
    ]


def numbers(clip_CTHW: Tensor) -> list[int]:
    """Return the numbers of a clip's frames, normalised by 0.45 and 0.225."""
    frames_THWC = (clip_CTHW * 0.225 + 0.45).mul(255).round().permute(1, 2, 3, 0).numpy()
    return [frame_number(frame.astype(np.uint8)) for frame in frames_THWC]
