"""COCO-like json of videos into AVA form: CocoVID, TAO and YouTube-VIS.

`videos` and `categories` are common to all. CocoVID and TAO have `images` (`video_id`, and
`frame_id`, `frame_index` or a number in `file_name`) and an annotation a box (`image_id`,
`bbox` as x, y, width, height, `instance_id` or `track_id`). YouTube-VIS has an annotation a
track (`video_id`, `bboxes`, null where the person is absent), whose frames are those of the
video's `file_names`. `iscrowd` boxes stand for several people and are left out.

Where the action stands: in `action_attribute` of the annotation or of its `attributes`, if
the caller names one; else in its list `actions`, if any annotation has one; else, where a
category is a person (`person_label`, or called so and the only one), in the `attributes` that
are true; else the category is the action (one called person is none).

Source: the format texts of TAO and YouTube-VIS as JonathonLuiten/TrackEval, docs/ has them;
    open-mmlab/mmtracking, mmtrack/datasets/parsers/coco_video_parser.py (CocoVID).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import PurePosixPath

from x3d_det.errors import did_you_mean
from x3d_det.formats.exports.builder import AnnotationBuilder
from x3d_det.formats.exports.imported import (
    DEFAULT_OPTIONS,
    ImportedAnnotations,
    ImportOptions,
)
from x3d_det.formats.exports.keyframes import check_second, nearest_to_keyframes
from x3d_det.formats.exports.names import (
    is_person_name,
    parse_person,
    split_frame_name,
    video_name,
)
from x3d_det.formats.foreign_files import FileFault, read_text, short
from x3d_det.formats.json_files import JsonValue, parse_json
from x3d_det.io.label_map import MAX_ACTION_ID

_NO_ACTIONS = {"occluded", "outside", "keyframe", "truncated", "difficult", "iscrowd", "rotation"}
"""Attributes that annotation tools add of themselves."""

_MAX_LENGTH = 1_000_000


def read_coco_video(
    path: str | PathLike[str], options: ImportOptions = DEFAULT_OPTIONS
) -> ImportedAnnotations:
    """Return the annotations of a COCO-like json of videos.

    Args:
        path: the json, or the zip with it.
        options: `fps` and `frame_size` are asked where `videos[]` and images do not state them;
            `video_id` None takes the last part of `videos[].name`; `label_map` None keeps the
            categories' ids where they are the actions and 1 or more; boxes of other categories
            than `person_label` are left out.

    Raises:
        DataError: as in `ImportReader`.
    """
    builder = AnnotationBuilder(path, options)
    text = read_text(path, suffix=".json")
    with builder.faults.collecting():
        _CocoImport(builder, JsonValue(parse_json(text))).add_all()
    return builder.result()


@dataclass(frozen=True)
class _Frame:
    """One annotated frame: its number from 0, its size if stated, its place."""

    number: int
    size: tuple[float, float] | None
    place: str


@dataclass
class _Video:
    place: str
    video_id: str
    fps: float | None
    size: tuple[float, float] | None
    frames: list[_Frame] = field(default_factory=list)
    boxes: list[tuple[int, JsonValue, JsonValue]] = field(default_factory=list)
    """Index of the frame, the box, its annotation."""


class _CocoImport:
    """One import."""

    def __init__(self, builder: AnnotationBuilder, root: JsonValue) -> None:
        self.builder = builder
        self.root = root
        self.first_number = builder.options.first_frame_number
        self.categories = {
            category["id"].whole(): category["name"].text().strip()
            for category in root["categories"]
        }
        self.videos: dict[str, _Video] = {}
        self.images: dict[str, tuple[_Video, int]] = {}
        self.numbers: set[tuple[str, int]] = set()
        self.tracks = {
            track["id"].key(): track["category_id"].whole() for track in root.get("tracks", [])
        }
        self.persons: set[int] = set()
        self.attributes: list[str] | None = None
        """Attributes that hold the actions; None where the category is the action."""

    def add_all(self) -> None:
        """Add every box on a keyframe, and note the annotated frames."""
        annotations = list(self.root["annotations"])
        self._find_actions(annotations)
        for video in self.root["videos"]:
            with self.builder.faults.collecting():
                self._add_video(video)
        for image in self.root.get("images", []):
            with self.builder.faults.collecting():
                self._add_image(image)
        for annotation in annotations:
            with self.builder.faults.collecting():
                self._add_annotation(annotation)
        for each in self.videos.values():
            with self.builder.faults.collecting():
                self._add_boxes(each)

    def _find_actions(self, annotations: list[JsonValue]) -> None:
        options = self.builder.options
        named = [key for key, name in self.categories.items() if name == options.person_label]
        if options.person_label is not None and not named:
            names = list(self.categories.values())
            raise FileFault(
                ": categories",
                f"there is no category {short(options.person_label)}"
                f"{did_you_mean(options.person_label, names)}; there are: "
                f"{', '.join(short(name) for name in names) or 'none'}.",
            )
        only = [key for key, name in self.categories.items() if is_person_name(name)]
        self.persons = set(named or (only if len(self.categories) == 1 else ()))
        if options.action_attribute is not None:
            self.attributes = [options.action_attribute]
        elif any("actions" in annotation for annotation in annotations):
            self.attributes = ["actions"]
        elif self.persons:
            self.attributes = list(_flags(annotations))
            self.builder.actions.know(self.attributes)
        else:
            self._know_categories()

    def _know_categories(self) -> None:
        actions = {key: name for key, name in self.categories.items() if not is_person_name(name)}
        usable = all(1 <= key <= MAX_ACTION_ID for key in actions)
        if len(set(actions.values())) < len(actions):
            raise FileFault(": categories", "two categories have one name; rename one of them.")
        self.builder.actions.know(actions if usable else actions.values())
        if not usable and self.builder.options.label_map is None:
            self.builder.leave_out("categories numbered anew from 1", len(actions))

    # Videos and frames

    def _add_video(self, video: JsonValue) -> None:
        key = video["id"].key()
        if key in self.videos:
            raise video.fault(f"a second video has the id {key}; give each its own.")
        names = list(video.get("file_names", []))
        name = next((video[k].text() for k in ("name", "file_name") if k in video), "")
        if not name and names:
            name = str(PurePosixPath(names[0].text()).parent)
        video_id = self.builder.videos.id_of(video_name(name), video.place)
        if video_id in (other.video_id for other in self.videos.values()):
            raise video.fault(f"a second video is called {video_id}; rename one of them.")
        fps = video["fps"].number() if "fps" in video else None
        size = _stated_size(video)
        added = self.videos[key] = _Video(video.place, video_id, fps, size)
        for index, file_name in enumerate(names):
            number = split_frame_name(file_name.text())[1]
            frame = index if number is None else self._from_first(number, file_name)
            added.frames.append(_Frame(frame, size, file_name.place))
        if not names and "length" in video and "images" not in self.root:
            length = video["length"].whole()
            if length > _MAX_LENGTH:
                raise video["length"].fault(f"found {length:,}; at most {_MAX_LENGTH:,} are read.")
            added.frames = [_Frame(index, size, video.place) for index in range(length)]

    def _add_image(self, image: JsonValue) -> None:
        key = image["id"].key()
        if key in self.images:
            raise image.fault(f"a second image has the id {key}; give each its own.")
        video = self._video(image)
        stated = next((image[k] for k in ("frame_id", "frame_index") if k in image), None)
        if stated is not None:
            number = self._from_first(stated.whole(), stated)
        else:
            name = image["file_name"]
            found = split_frame_name(name.text())[1]
            if found is None:
                raise name.fault(
                    f"found {short(name.value)}; without frame_id it must end in a frame number."
                )
            number = self._from_first(found, name)
        if (video.video_id, number) in self.numbers:
            raise image.fault(
                f"a second image of frame {number} of video {video.video_id}; remove one of them."
            )
        self.numbers.add((video.video_id, number))
        size = _stated_size(image) or video.size
        self.images[key] = (video, len(video.frames))
        video.frames.append(_Frame(number, size, image.place))

    def _from_first(self, number: int, where: JsonValue) -> int:
        if number < self.first_number:
            raise where.fault(
                f"frame {number} is below the first frame number, {self.first_number}."
            )
        return number - self.first_number

    def _video(self, holder: JsonValue) -> _Video:
        key = holder["video_id"].key()
        if key not in self.videos:
            raise holder["video_id"].fault(f"there is no video with the id {short(key)}.")
        return self.videos[key]

    # Annotations

    def _add_annotation(self, annotation: JsonValue) -> None:
        if "iscrowd" in annotation and annotation["iscrowd"].value not in (0, False):
            self.builder.leave_out("boxes round several people (iscrowd), left out")
            return
        if "bboxes" in annotation:
            video = self._video(annotation)
            boxes = list(annotation["bboxes"])
            if len(boxes) != len(video.frames):
                raise annotation["bboxes"].fault(
                    f"found {len(boxes)} boxes; video {video.video_id} has "
                    f"{len(video.frames)} frames, and null stands for no box."
                )
            for index, box in enumerate(boxes):
                if box.value is not None:
                    video.boxes.append((index, box, annotation))
            return
        key = annotation["image_id"].key()
        if key not in self.images:
            raise annotation["image_id"].fault(f"there is no image with the id {short(key)}.")
        video, index = self.images[key]
        video.boxes.append((index, annotation["bbox"], annotation))

    def _add_boxes(self, video: _Video) -> None:
        if not video.frames:
            return
        clock = self.builder.videos.clock(video.video_id, video.place, stated_fps=video.fps)
        keyframes = nearest_to_keyframes(
            [clock.seconds(frame.number) for frame in video.frames],
            interval_seconds=clock.interval_seconds,
            frame_seconds=1 / clock.fps,
        )
        for frame in video.frames:
            second = keyframes.get(clock.seconds(frame.number))
            if second is not None:
                check_second(second, frame.place)
                self.builder.look_at(video.video_id, second)
        for index, box, annotation in video.boxes:
            frame = video.frames[index]
            second = keyframes.get(clock.seconds(frame.number))
            if second is None:
                self.builder.leave_out("boxes between the keyframes, left out")
                continue
            with self.builder.faults.collecting():
                self._add_box(video, frame, second, box, annotation)

    def _add_box(
        self, video: _Video, frame: _Frame, second: float, box: JsonValue, annotation: JsonValue
    ) -> None:
        category = self._category(annotation)
        if self.persons and category not in self.persons:
            self.builder.leave_out("boxes of other categories than persons, left out")
            return
        x, y, width, height = box.numbers(4)
        self.builder.add_box(
            box.place,
            video_id=video.video_id,
            second=second,
            corners_px=(x, y, x + width, y + height),
            size=self.builder.videos.size(video.video_id, frame.place, stated=frame.size),
            actions=self._actions(annotation, category),
            person=_person(annotation),
        )

    def _category(self, annotation: JsonValue) -> int | None:
        if "category_id" in annotation:
            category = annotation["category_id"].whole()
            if category not in self.categories:
                raise annotation["category_id"].fault(f"there is no category {category}.")
            return category
        track = annotation.get("track_id", "").key()
        stated = self.tracks.get(track)
        if stated not in self.categories and (self.attributes is None or self.persons):
            raise annotation.fault("the annotation and its track have no category_id of the list.")
        return stated

    def _actions(self, annotation: JsonValue, category: int | None) -> list[str]:
        if self.attributes is None:
            assert category is not None
            name = self.categories[category]
            return [] if is_person_name(name) else [name]
        holders = [annotation, annotation.get("attributes", {})]
        actions: list[str] = []
        for name in self.attributes:
            for holder in holders:
                if name in holder:
                    actions += self._action_names(name, holder[name])
                    break
        return actions

    def _action_names(self, name: str, value: JsonValue) -> list[str]:
        """Return the actions in a value: a flag, a name, a category's id, or a list of those."""
        if isinstance(value.value, list):
            return [action for each in value for action in self._action_names(name, each)]
        if isinstance(value.value, bool):
            return [name] if value.value else []
        if isinstance(value.value, int):
            if value.value not in self.categories:
                raise value.fault(f"there is no category {value.value}.")
            return [self.categories[value.value]]
        return self.builder.actions.split(value.text())


def _flags(annotations: list[JsonValue]) -> Iterator[str]:
    """Yield the names of the attributes that are true or false, each once."""
    seen: set[str] = set()
    for annotation in annotations:
        for name, value in annotation.get("attributes", {}).items():
            if isinstance(value.value, bool) and name not in seen | _NO_ACTIONS:
                seen.add(name)
                yield name


def _stated_size(holder: JsonValue) -> tuple[float, float] | None:
    if "height" in holder and "width" in holder:
        return holder["height"].number(), holder["width"].number()
    return None


def _person(annotation: JsonValue) -> str | int | None:
    for key in ("instance_id", "track_id"):
        if key in annotation:
            return parse_person(annotation[key].key())
    if "bboxes" in annotation and "id" in annotation:
        return parse_person(annotation["id"].key())
    return parse_person(annotation.get("attributes", {}).get("track_id", "").key())
