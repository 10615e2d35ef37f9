"""Small videos made on the spot."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from x3d_det.io.video_writer import VideoWriter


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of grey videos; frame i has the grey 40 + 2 i."""

    def make(
        name: str = "v.mp4",
        *,
        height: int = 96,
        width: int = 128,
        fps: Fraction | int = 10,
        num_frames: int = 30,
        seconds: list[float] | None = None,
    ) -> Path:
        path = tmp_path / name
        with VideoWriter(path, height=height, width=width, fps=fps, crf=10) as writer:
            for index in range(num_frames):
                frame = np.full((height, width, 3), (40 + 2 * index) % 256, np.uint8)
                writer.write(frame, None if seconds is None else seconds[index])
        return path

    return make
