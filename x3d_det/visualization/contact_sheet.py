"""Many keyframes, or the frames of one clip, in one picture.

Shape suffixes in this file: N pictures, T frames, H x W pixels, C red, green, blue.
"""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from x3d_det.errors import DataError
from x3d_det.io.files import atomic_write
from x3d_det.io.video import probe_video, read_frames_at
from x3d_det.keyframes import format_timestamp
from x3d_det.visualization.draw import Caption, draw_persons, font_size_px
from x3d_det.visualization.palette import LIGHT_TEXT, Color
from x3d_det.visualization.tiles import Row, lay_over, plate, row_height_px
from x3d_det.visualization.timeline import Timeline, to_drawn

_BACKGROUND: Color = (24, 24, 28)
_GAP_PX = 8


def contact_sheet(
    pictures_N: Sequence[np.ndarray],
    captions_N: Sequence[str] | None = None,
    *,
    num_columns: int | None = None,
    cell_width_px: int | None = None,
    title: str = "",
) -> np.ndarray:
    """Return pictures side by side and row by row, each with its caption below.

    Args:
        pictures_N: (H, W, 3) uint8 each; sizes may differ.
        captions_N: one text a picture; None for no captions.
        num_columns: None chooses a sheet that is a little wider than high.
        cell_width_px: every picture is scaled to it; None keeps the widest as it is.
        title: a line above the pictures.

    Raises:
        ValueError: no picture, another number of captions, num_columns below 1.
    """
    if not len(pictures_N):
        raise ValueError("a contact sheet needs at least one picture.")
    if captions_N is not None and len(captions_N) != len(pictures_N):
        raise ValueError(f"{len(captions_N)} captions for {len(pictures_N)} pictures.")
    if num_columns is not None and num_columns < 1:
        raise ValueError(f"num_columns is {num_columns}; it must be 1 or more.")
    cell_width = cell_width_px or max(picture.shape[1] for picture in pictures_N)
    cells = [scaled_to_width(picture, cell_width) for picture in pictures_N]
    cell_height = max(cell.shape[0] for cell in cells)
    columns = min(num_columns or _columns_for(len(cells), cell_height, cell_width), len(cells))
    rows = math.ceil(len(cells) / columns)

    font_size = font_size_px(cell_height, cell_width)
    line = row_height_px(font_size) + _GAP_PX
    caption_height = line if captions_N is not None else 0
    top = line + _GAP_PX if title else 0
    step_y, step_x = cell_height + caption_height + _GAP_PX, cell_width + _GAP_PX
    sheet_HWC = np.empty((top + rows * step_y + _GAP_PX, columns * step_x + _GAP_PX, 3), np.uint8)
    sheet_HWC[...] = _BACKGROUND
    if title:
        _write_line(sheet_HWC, title, font_size, x_px=_GAP_PX, y_px=_GAP_PX, room_px=10**6)
    for number, cell in enumerate(cells):
        y = top + _GAP_PX + number // columns * step_y
        x = _GAP_PX + number % columns * step_x
        sheet_HWC[y : y + cell.shape[0], x : x + cell_width] = cell
        if captions_N is not None:
            below = y + cell_height
            caption = captions_N[number]
            _write_line(sheet_HWC, caption, font_size, x_px=x, y_px=below, room_px=cell_width)
    return sheet_HWC


def motion_strip(
    frames_THWC: np.ndarray, *, num_frames: int = 8, cell_height_px: int = 160
) -> np.ndarray:
    """Return frames of one clip side by side, first and last among them, evenly chosen.

    Args:
        frames_THWC: uint8, T at least 1.
        num_frames: at most T are shown.
        cell_height_px: height of the strip.

    Raises:
        ValueError: no frame, or num_frames below 1.
    """
    if not len(frames_THWC) or num_frames < 1:
        raise ValueError(
            f"a motion strip of {num_frames} from {len(frames_THWC)} frames; "
            "both must be 1 or more."
        )
    cells = [
        _scaled(frames_THWC[index], height=cell_height_px)
        for index in evenly_chosen(len(frames_THWC), num_frames)
    ]
    gap_HWC = np.full((cell_height_px, _GAP_PX // 4, 3), _BACKGROUND, np.uint8)
    pieces = [piece for cell in cells for piece in (gap_HWC, cell)][1:]
    return np.concatenate(pieces, axis=1)


def keyframe_sheet(
    source: str | Path,
    timeline: Timeline,
    *,
    action_names: Mapping[int, str],
    video_start_seconds: float,
    num_keyframes: int = 12,
    num_columns: int | None = None,
    cell_width_px: int = 480,
    score_threshold: float = 0.3,
    top_k: int | None = 5,
    start_seconds: float = -math.inf,
    end_seconds: float = math.inf,
    title: str = "",
) -> np.ndarray:
    """Return a contact sheet of a video's keyframes with boxes and actions.

    Args:
        source: video file.
        timeline: the persons, from `build_timeline`.
        action_names: action id -> name as it is to be drawn.
        video_start_seconds: second of the film at which the file starts.
        num_keyframes: at most so many, evenly chosen; keyframes with persons come first.
        num_columns, cell_width_px, title: as `contact_sheet`.
        score_threshold, top_k: as `draw_persons`.
        start_seconds, end_seconds: half-open range of the film to choose from.

    Raises:
        DataError: no keyframe in the range, or in the video.
        VideoError: the source cannot be read.
    """
    info = probe_video(source)
    end = math.inf if info.duration_seconds is None else info.duration_seconds
    stamps = [
        stamp
        for stamp in timeline.timestamps
        if start_seconds <= stamp < end_seconds and 0 <= stamp - video_start_seconds <= end
    ]
    stamps = [stamp for stamp in stamps if timeline.persons[stamp]] or stamps
    if not stamps:
        raise DataError(
            f"{info.path}: no keyframe for a contact sheet: {len(timeline.timestamps)} were given, "
            f"none of them in the part asked for; the file starts at second "
            f"{video_start_seconds:g} of the film."
        )
    chosen = [stamps[index] for index in evenly_chosen(len(stamps), num_keyframes)]
    pictures: list[np.ndarray] = []
    for stamp in chosen:
        clip = read_frames_at(source, [stamp - video_start_seconds])
        # Scaled first: letters then have the size that the sheet needs.
        frame_HWC = scaled_to_width(clip.frames_THWC[0], cell_width_px)
        height, width = frame_HWC.shape[:2]
        persons = to_drawn(
            timeline.persons[stamp], height=height, width=width, action_names=action_names
        )
        pictures.append(
            draw_persons(
                frame_HWC,
                persons,
                score_threshold=score_threshold,
                top_k=top_k,
                caption=Caption(text=format_timestamp(stamp)),
                legend=not pictures,  # once a sheet
            )
        )
    return contact_sheet(pictures, num_columns=num_columns, title=title)


def evenly_chosen(num_items: int, num_chosen: int) -> list[int]:
    """Return rising indices spread over 0 to num_items - 1, both ends among them."""
    if num_chosen >= num_items:
        return list(range(num_items))
    if num_chosen == 1:
        return [num_items // 2]
    return [round(n * (num_items - 1) / (num_chosen - 1)) for n in range(num_chosen)]


def scaled_to_width(picture_HWC: np.ndarray, width_px: int) -> np.ndarray:
    """Return the picture in another width, its shape kept."""
    height, width = picture_HWC.shape[:2]
    return _scaled(picture_HWC, height=max(1, round(height * width_px / width)), width=width_px)


def save_png(picture_HWC: np.ndarray, path: str | Path) -> Path:
    """Write an RGB picture as PNG, whole or not at all; its folder is made where missing.

    Raises:
        X3DDetError: the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.fromarray(picture_HWC).save(buffer, format="PNG")
    with atomic_write(path) as file:
        file.write(buffer.getvalue())
    return path


def _scaled(picture_HWC: np.ndarray, *, height: int, width: int | None = None) -> np.ndarray:
    if width is None:
        width = max(1, round(picture_HWC.shape[1] * height / picture_HWC.shape[0]))
    if picture_HWC.shape[:2] == (height, width):
        return picture_HWC
    image = Image.fromarray(picture_HWC).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _columns_for(num_cells: int, cell_height: int, cell_width: int) -> int:
    """Return the columns of a sheet about 1.4 times as wide as high."""
    return max(1, round(math.sqrt(1.4 * num_cells * cell_height / cell_width)))


def _write_line(
    sheet_HWC: np.ndarray, text: str, font_size: int, *, x_px: int, y_px: int, room_px: int
) -> None:
    if text:
        tile = plate(
            (Row(text),),
            font_size_px=font_size,
            max_width_px=min(room_px, sheet_HWC.shape[1] - x_px),
            color=_BACKGROUND,
            opacity=0.0,
            text_color=LIGHT_TEXT,
        )
        lay_over(sheet_HWC, tile, x_px=x_px - 4, y_px=y_px)
