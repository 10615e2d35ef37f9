"""Frames at given seconds out of folders of images, one folder a video.

PySlowFast keeps `ID/ID_000001.jpg`, MMAction2 `ID/img_00001.jpg`, both cut at a fixed
rate from the second where the film's annotated part starts.

Shape suffixes in this file: T frames, H x W pixels, C channels red, green, blue.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from x3d_det.errors import VideoError
from x3d_det.io.video import DEFAULT_MAX_PIXELS, DecodedClip
from x3d_det.io.video_file import time_tolerance_seconds


class FrameFolderReader:
    """Reads clips from image folders as `io.video.read_frames_at` does from a video.

    Args:
        folder: holds one folder a video.
        template: file name with `{index}`, formatted as Python has it, and, if wanted,
            `{video_id}`: `"{video_id}_{index:06d}.jpg"`, `"img_{index:05d}.jpg"`.
        fps: images a second.
        first_index: number of the first image, which is shown from second 0.
        max_pixels: largest width times height of an image.

    Raises:
        VideoError: `template` has no `{index}`.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        template: str = "{video_id}_{index:06d}.jpg",
        fps: float = 30.0,
        first_index: int = 1,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        self.folder = Path(folder)
        self.template = template
        self.fps = fps
        self.first_index = first_index
        self.max_pixels = max_pixels
        self._tolerance_seconds = time_tolerance_seconds(fps)
        self._num_frames: dict[str, int] = {}
        try:
            is_numbered = template.format(video_id="a", index=1) != template.format(
                video_id="a", index=2
            )
        except (KeyError, IndexError, ValueError):
            is_numbered = False
        if not is_numbered:
            raise VideoError(
                f"frame file template {template!r} must hold {{index}} and may hold {{video_id}}, "
                "as in 'img_{index:05d}.jpg'."
            )

    def has_video(self, video_id: str) -> bool:
        """Return whether there is a folder for the video."""
        return Path(video_id).name == video_id and (self.folder / video_id).is_dir()

    def read_frames_at(
        self,
        video_id: str,
        seconds_T: Sequence[float] | np.ndarray,
        *,
        required_seconds: Sequence[float] | np.ndarray = (),
    ) -> DecodedClip:
        """Return the image shown at each second; the ends clamp and are counted.

        Args:
            video_id: name of the video's folder.
            seconds_T: seconds from the first image, in any order.
            required_seconds: seconds that must lie inside the video (the keyframes').

        Raises:
            VideoError: no folder, no images, an image that is missing, damaged or of
                another size, a required second outside the images.
        """
        started = time.perf_counter()
        num_frames = self._count_frames(video_id)
        seconds = np.asarray(seconds_T, dtype=np.float64)
        wanted = np.floor((seconds + self._tolerance_seconds) * self.fps).astype(np.int64)
        clamped_T = (wanted < 0) | (wanted >= num_frames)
        self._check_inside(video_id, num_frames, required_seconds, clamped_T, seconds)
        places = np.clip(wanted, 0, num_frames - 1)
        needed, inverse = np.unique(places, return_inverse=True)
        images = [self._read_image(self._path(video_id, int(place))) for place in needed]
        for place, image in zip(needed, images, strict=True):
            if image.shape != images[0].shape:
                raise VideoError(
                    f"{self._path(video_id, int(place))}: is {image.shape[1]}x{image.shape[0]}, "
                    f"other frames of the clip {images[0].shape[1]}x{images[0].shape[0]}."
                )
        return DecodedClip(
            frames_THWC=np.stack(images)[inverse],
            pts_seconds_T=places / self.fps,
            clamped_T=clamped_T,
            num_decoded=len(images),
            decode_seconds=time.perf_counter() - started,
        )

    def _path(self, video_id: str, place: int) -> Path:
        name = self.template.format(video_id=video_id, index=self.first_index + place)
        return self.folder / video_id / name

    def _count_frames(self, video_id: str) -> int:
        """Return the images up to the one of the highest number, read once a video."""
        if video_id not in self._num_frames:
            if not self.has_video(video_id):
                raise VideoError(f"{self.folder / video_id}: there is no such folder of frames.")
            pattern = _file_pattern(self.template, video_id)
            folder = self.folder / video_id
            matches = (pattern.fullmatch(entry.name) for entry in folder.iterdir())
            indices = [int(match["index"]) for match in matches if match]
            if not indices or max(indices) < self.first_index:
                example = self.template.format(video_id=video_id, index=self.first_index)
                raise VideoError(f"{folder}: holds no frame named like {example}.")
            self._num_frames[video_id] = max(indices) - self.first_index + 1
        return self._num_frames[video_id]

    def _check_inside(
        self,
        video_id: str,
        num_frames: int,
        required_seconds: Sequence[float] | np.ndarray,
        clamped_T: np.ndarray,
        seconds: np.ndarray,
    ) -> None:
        end = num_frames / self.fps
        slack = 2 * self._tolerance_seconds
        required = np.asarray(required_seconds, dtype=np.float64)
        outside = required[(required < -slack) | (required > end + slack)]
        if not len(required) and clamped_T.all():
            outside = seconds
        if len(outside):
            raise VideoError(
                f"{self.folder / video_id}: second {outside[0]:.3f} is outside the frames, which "
                f"last {end:.3f} s; check the keyframe's second and where the frames start."
            )

    def _read_image(self, path: Path) -> np.ndarray:
        try:
            with Image.open(path) as image:
                if image.width * image.height > self.max_pixels:
                    raise VideoError(
                        f"{path}: {image.width}x{image.height} is more than the "
                        f"{self.max_pixels} pixels allowed."
                    )
                return np.asarray(image.convert("RGB"))
        except FileNotFoundError as error:
            raise VideoError(f"{path}: this frame is missing.") from error
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise VideoError(f"{path}: is no readable image: {error}.") from error


def _file_pattern(template: str, video_id: str) -> re.Pattern[str]:
    """Return the pattern of this video's file names, with the number as group `index`."""
    marker = "\0"
    name = re.sub(r"\{index[^}]*\}", marker, template).format(video_id=video_id, index=0)
    return re.compile(re.escape(name).replace(re.escape(marker), r"(?P<index>\d+)", 1))
