"""Boxes of an export collected into AVA's form: names to ids, clipping, notes, all faults."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from x3d_det.errors import DataError, X3DDetError, did_you_mean
from x3d_det.formats.exports.imported import MAX_VIDEO_SECONDS, ImportedAnnotations, ImportOptions
from x3d_det.formats.exports.keyframes import KeyframeClock
from x3d_det.formats.foreign_files import AlreadyTold, Faults, FileFault, short
from x3d_det.io.ava_csv import COORDINATES, AvaAnnotations
from x3d_det.io.ava_rows import MAX_PERSON_ID
from x3d_det.io.label_map import MAX_ACTION_ID, LabelMap

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

MAX_FPS = 1000
DECIMALS = 6
"""Of the boxes, as AVA-Kinetics has them: a thousandth of a pixel or so."""
MAX_KEYFRAMES = 1_000_000
MAX_SIDE_PX = 100_000


class AnnotationBuilder:
    """Collects the boxes of an export and gives them out in AVA's form.

    Args:
        path: the export, for messages.
        options: of the import.
        interval_seconds: of the keyframes, where the options leave it to the format.

    Raises:
        FileFault: the caller's video id is none that AVA's files can carry.
    """

    def __init__(
        self, path: str | PathLike[str], options: ImportOptions, *, interval_seconds: float = 1.0
    ) -> None:
        self.faults = Faults(path)
        self.options = options
        if options.video_id is not None:
            _check_video_name(options.video_id, "")
        chosen = options.keyframe_interval_seconds
        self.interval_seconds = interval_seconds if chosen is None else chosen
        self._action_ids: dict[str, int] = {}
        self._own_names = options.label_map is None
        self._fixed_names = False
        if options.label_map is not None:
            self._action_ids = _ids_by_name(options.label_map)
        self._unknown: Counter[str] = Counter()
        self._unknown_places: dict[str, str] = {}
        self._left_out: Counter[str] = Counter()
        self._rows: dict[_Row, None] = {}
        self._looked_at: dict[tuple[str, float], bool] = {}
        self._videos: dict[str, str | None] = {}
        self._clocks: dict[str, KeyframeClock | None] = {}
        self._sizes: dict[str, tuple[float, float] | None] = {}

    # Names

    def know_actions(self, names: Iterable[str] | Mapping[int, str]) -> None:
        """Take the export's own list of actions, where the caller gave no label map.

        Args:
            names: in their order, ids from 1; or with their ids.
        """
        if not self._own_names:
            return
        self._fixed_names = True
        if isinstance(names, Mapping):
            self._action_ids = {name: action_id for action_id, name in names.items()}
        else:
            self._action_ids = {name: i for i, name in enumerate(dict.fromkeys(names), start=1)}

    def knows_action(self, name: str) -> bool:
        """Return whether the label map, or the export's own list, has this name."""
        return name in self._action_ids

    def split_actions(self, text: str) -> list[str]:
        """Return the action names that a free text holds: one, or several with `,` or `;`."""
        whole = text.strip()
        if not whole or self.knows_action(whole):
            return [whole] if whole else []
        parts = re.split(r"[,;\n](?![^(]*\))", whole)
        return [part.strip() for part in parts if part.strip()]

    def _action_id(self, name: str, place: str) -> int | None:
        if name in self._action_ids:
            return self._action_ids[name]
        if self._own_names and not self._fixed_names and len(self._action_ids) < MAX_ACTION_ID:
            self._action_ids[name] = len(self._action_ids) + 1
            return self._action_ids[name]
        self._unknown[name] += 1
        self._unknown_places.setdefault(name, place)
        return None

    # Videos

    def video(self, name: str, place: str) -> str:
        """Return the id of the video that the export names so.

        Raises:
            FileFault: the name cannot be an id in AVA's files, or the caller gave one id
                and this is the export's second video; raised once, then `AlreadyTold`.
        """
        given = self.options.video_id
        if name not in self._videos:
            self._videos[name] = None
            others = [other for other in self._videos if other != name]
            if given is None:
                _check_video_name(name, place)
            elif others:
                raise FileFault(
                    place,
                    f"the export holds a second video, {short(name)} after {short(others[0])}, "
                    f"and one video id ({given}) was given; export one video at a time, or "
                    "leave --video-id out.",
                )
            self._videos[name] = name if given is None else given
        video_id = self._videos[name]
        if video_id is None:
            raise AlreadyTold()
        return video_id

    def clock(self, video_id: str, place: str, *, stated_fps: float | None = None) -> KeyframeClock:
        """Return the clock of a video.

        Args:
            video_id: the video.
            place: for the fault.
            stated_fps: the rate that the export states.

        Raises:
            FileFault: no usable rate is known; raised once for a video, then `AlreadyTold`.
        """
        if video_id not in self._clocks:
            self._clocks[video_id] = None
            fps = stated_fps
            if fps is None:
                fps = float(self._ask("frame rate", "--fps", self.options.fps, video_id, place))
            interval = self.interval_seconds
            if not 0 < fps <= MAX_FPS:
                raise FileFault(
                    place,
                    f"the frame rate of video {video_id} is {fps}; it must be above 0 and at "
                    f"most {MAX_FPS}.",
                )
            if 0 < interval < 1 / fps:
                raise FileFault(
                    place,
                    f"keyframes every {interval} s are closer than the frames of video "
                    f"{video_id} ({fps:g} a second); 0 makes every annotated frame a keyframe.",
                )
            self._clocks[video_id] = KeyframeClock(fps, interval)
        clock = self._clocks[video_id]
        if clock is None:
            raise AlreadyTold()
        return clock

    def size(
        self, video_id: str, place: str, *, stated: tuple[float, float] | None = None
    ) -> tuple[float, float]:
        """Return (height, width) of a video's frames: as stated, or as the caller knows.

        Raises:
            FileFault: no usable size is known; raised once for a video, then `AlreadyTold`.
        """
        if stated is not None:
            return _checked_size(stated, place)
        if video_id not in self._sizes:
            self._sizes[video_id] = None
            found = self._ask(
                "frame size", "--frame-size", self.options.frame_size, video_id, place
            )
            self._sizes[video_id] = _checked_size(found, place)
        size = self._sizes[video_id]
        if size is None:
            raise AlreadyTold()
        return size

    def _ask(
        self, what: str, option: str, source: Callable[[str], T] | None, video_id: str, place: str
    ) -> T:
        if source is None:
            raise FileFault(
                place,
                f"the export does not state the {what} of video {video_id}; give it with "
                f"{option}, or the folder of the videos with --videos.",
            )
        try:
            return source(video_id)
        except X3DDetError as error:
            raise FileFault(place, str(error)) from error

    def keyframes(
        self, clock: KeyframeClock, first: int, last: int, place: str, *, step: int = 1
    ) -> list[tuple[float, int]]:
        """Return `clock.keyframes`, after checking that there are not absurdly many.

        Raises:
            FileFault: the last frame is a week or more after the start, or there are more
                than a million keyframes.
        """
        self.check_second(clock.seconds(last), place)
        spacing = clock.interval_seconds or step / clock.fps
        if (last - first) / clock.fps / spacing > MAX_KEYFRAMES:
            raise FileFault(
                place,
                f"frames {first} to {last} make more than {MAX_KEYFRAMES:,} keyframes; is the "
                "number right?",
            )
        return list(clock.keyframes(first, last, step=step))

    def check_second(self, second: float, place: str) -> None:
        """Raise an `FileFault` for a second of a file that cannot be meant."""
        if not 0 <= second <= MAX_VIDEO_SECONDS:
            raise FileFault(
                place,
                f"second {second:g} of the file is not in 0 to {MAX_VIDEO_SECONDS:,} (a week); "
                "is the frame number or the frame rate right?",
            )

    # Boxes

    def look_at(self, video_id: str, second: float) -> float:
        """Note that a keyframe was annotated, with persons or without; return its timestamp.

        Args:
            video_id: the video.
            second: of the file.
        """
        timestamp = round(self.options.video_start_seconds + second, 6)
        self._looked_at.setdefault((video_id, timestamp), False)
        return timestamp

    def add_box(
        self,
        place: str,
        *,
        video_id: str,
        second: float,
        corners_px: Sequence[float],
        size: tuple[float, float],
        actions: Sequence[str],
        person: str | int | None,
    ) -> None:
        """Note one person on one keyframe.

        Args:
            place: of the box, for faults.
            video_id: the video.
            second: of the file.
            corners_px: x1, y1, x2, y2.
            size: (height, width) of the frame.
            actions: names; none leaves the box out.
            person: what the export calls the person within the video; None if nothing.

        Raises:
            FileFault: the box has no area.
        """
        x1, y1, x2, y2 = corners_px
        if not (x1 < x2 and y1 < y2):
            raise FileFault(
                place,
                f"the box from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g}) has no area; remove it, or "
                "draw it again.",
            )
        timestamp = self.look_at(video_id, second)
        height, width = size
        left, top, right, bottom = max(x1, 0.0), max(y1, 0.0), min(x2, width), min(y2, height)
        box = (
            *(round(left / width, DECIMALS), round(top / height, DECIMALS)),
            *(round(right / width, DECIMALS), round(bottom / height, DECIMALS)),
        )
        if box[0] >= box[2] or box[1] >= box[3]:
            self.leave_out("boxes with nothing inside the picture, left out")
            return
        self._looked_at[video_id, timestamp] = True
        if max(left - x1, top - y1, x2 - right, y2 - bottom) > 1:
            self.leave_out("boxes more than a pixel over the edge of the picture, clipped to it")
        names = [name for name in dict.fromkeys(actions) if name]
        if not names:
            self.leave_out("boxes without an action, left out")
        for name in names:
            action_id = self._action_id(name, place)
            if action_id is None:
                continue
            row = _Row(video_id, timestamp, box, action_id, person)
            if row in self._rows:
                self.leave_out("rows that repeat another in full, left out")
            self._rows[row] = None

    def leave_out(self, what: str, count: int = 1) -> None:
        """Count something for the notes, as "boxes without an action, left out"."""
        self._left_out[what] += count

    def result(self) -> ImportedAnnotations:
        """Return the annotations.

        Raises:
            DataError: the faults, all at once; or no box with an action was found.
        """
        for name, count in self._unknown.items():
            known = "the export's own list of actions" if self._own_names else "the label map"
            self.faults.add(
                self._unknown_places[name],
                f"action {short(name)} ({count:,} boxes in all) is not in {known}"
                f"{did_you_mean(name, self._action_ids)}; correct the name or add it there.",
            )
        self.faults.raise_if_any()
        empty = [keyframe for keyframe, has_person in self._looked_at.items() if not has_person]
        notes = [f"{what}: {count:,}" for what, count in self._left_out.items() if count]
        if not self._rows:
            found = f" Found: {'; '.join(notes)}." if notes else ""
            raise DataError(
                f"{self.faults.path}: no box with an action stands on any of the "
                f"{len(self._looked_at):,} annotated keyframes.{found} Are boxes drawn, is the "
                "attribute or label of the actions the right one, and do frames fall on the "
                "keyframes?"
            )
        if empty:
            notes.append(f"annotated keyframes without a person, listed as empty: {len(empty):,}")
        rows, num_named = self._frame()
        if num_named:
            notes.append(f"persons numbered in order of appearance in their video: {num_named:,}")
        label_map = self.options.label_map or LabelMap(
            {action_id: name for name, action_id in self._action_ids.items()}
        )
        annotations = AvaAnnotations(rows, _empty_frame(empty, len(rows)), self.faults.path)
        return ImportedAnnotations(annotations, label_map, tuple(notes))

    def _frame(self) -> "tuple[pd.DataFrame, int]":
        """Return the rows in order, and how many persons were numbered."""
        import pandas as pd

        persons, num_named = _person_numbers(self._rows)
        rows = sorted(
            self._rows,
            key=lambda row: (row.video_id, row.timestamp, persons[row.video_id, row.person]),
        )
        columns: dict[str, object] = {
            "video_id": np.array([row.video_id for row in rows], dtype=object),
            "timestamp": np.array([row.timestamp for row in rows], np.float64),
        }
        boxes = np.array([row.box for row in rows], np.float64).reshape(-1, 4)
        columns |= {name: boxes[:, index] for index, name in enumerate(COORDINATES)}
        columns["action_id"] = np.array([row.action_id for row in rows], np.int64)
        numbers = [persons[row.video_id, row.person] for row in rows]
        columns["person_id"] = np.array(numbers, np.int64)
        columns["line"] = np.arange(1, len(rows) + 1, dtype=np.int64)
        return pd.DataFrame(columns), num_named


class _Row(NamedTuple):
    """One person, one action, one keyframe."""

    video_id: str
    timestamp: float
    box: tuple[float, float, float, float]
    action_id: int
    person: str | int | None


def _check_video_name(name: str, place: str) -> None:
    if not name:
        raise FileFault(place, "the export does not name its video; give --video-id.")
    bad = next((bad for bad in ("/", "\\", "..", "\0", '"', ",", "\n", "\r") if bad in name), "")
    if bad or name != name.strip():
        what = repr(bad) if bad else "blanks at its ends"
        raise FileFault(
            place,
            f"the video's name {short(name)} holds {what}, which AVA's files cannot carry; "
            "rename the video, or give --video-id.",
        )


def _ids_by_name(label_map: LabelMap) -> dict[str, int]:
    ids: dict[str, int] = {}
    for action_id, name in label_map.names.items():
        if name in ids:
            raise DataError(
                f"the label map names {short(name)} twice, as {ids[name]} and {action_id}; an "
                "import needs one id a name."
            )
        ids[name] = action_id
    return ids


def _checked_size(size: tuple[float, float], place: str) -> tuple[float, float]:
    height, width = size
    if not (0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX):
        raise FileFault(
            place,
            f"the frame is {width:g} x {height:g} pixels; each side must be above 0 and at most "
            f"{MAX_SIDE_PX:,}.",
        )
    return float(height), float(width)


def _person_numbers(rows: Iterable[_Row]) -> tuple[dict[tuple[str, str | int | None], int], int]:
    """Return each person's number, and how many were numbered because names are no numbers.

    A video whose persons all have whole numbers keeps them; in another they are numbered
    from 0 in order of appearance. None is -1.
    """
    videos: dict[str, dict[str | int, None]] = {}
    for row in rows:
        persons = videos.setdefault(row.video_id, {})
        if row.person is not None:
            persons[row.person] = None
    numbers: dict[tuple[str, str | int | None], int] = {}
    num_named = 0
    for video_id, persons in videos.items():
        numbers[video_id, None] = -1
        whole = all(isinstance(person, int) and 0 <= person <= MAX_PERSON_ID for person in persons)
        num_named += 0 if whole else len(persons)
        for index, person in enumerate(persons):
            numbers[video_id, person] = int(person) if whole else index
    return numbers, num_named


def _empty_frame(empty: list[tuple[str, float]], num_rows: int) -> "pd.DataFrame":
    import pandas as pd

    ordered = sorted(empty)
    lines = np.arange(num_rows + 1, num_rows + 1 + len(ordered), dtype=np.int64)
    return pd.DataFrame(
        {
            "video_id": np.array([video_id for video_id, _ in ordered], dtype=object),
            "timestamp": np.array([timestamp for _, timestamp in ordered], np.float64),
            "line": lines,
        }
    )
