"""CVAT's own exports, "CVAT for video 1.1" and "CVAT for images 1.1", into AVA form.

Where the action stands, found from the labels that the export declares:

1. A label called person (or people, human, pedestrian, player, actor), or the export's only
   label if it has attributes, is the person. Its actions are the values of its attribute
   called `action` (or activity); else its checkboxes that are true, each by its name; else
   the values of its only select, radio or text attribute. Boxes of other labels are left out.
2. Otherwise, and where the person has no attribute for actions, each label is an action.

`person_label` and `action_attribute` say it where this finds nothing or the wrong thing.

Times: CVAT numbers frames as the video does, also in a task with a start frame and a frame
step, and does not write the frame rate. A keyframe is the video's frame nearest to its
second; where a task leaves that frame out, the box is interpolated as CVAT does: linearly
between the two boxes of the track round it, standing still before an `outside` box, and
attributes hold until the next box that states them.

Source: docs.cvat.ai, "XML annotation format" (element and attribute names); interpolation
    and frame numbers after cvat-ai/cvat, cvat/apps/dataset_manager/{annotation,bindings}.py.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from os import PathLike

from x3d_det.formats.exports.builder import AnnotationBuilder
from x3d_det.formats.exports.cvat_meta import ActionRule, CvatTask, parse_meta
from x3d_det.formats.exports.imported import (
    DEFAULT_OPTIONS,
    ImportedAnnotations,
    ImportOptions,
)
from x3d_det.formats.exports.keyframes import check_second, checked_keyframes, nearest_to_keyframes
from x3d_det.formats.exports.names import frame_of_image, is_person_attribute, parse_person
from x3d_det.formats.exports.xml_elements import XmlElement, iter_xml
from x3d_det.formats.foreign_files import AlreadyTold, FileFault, short

Corners = tuple[float, float, float, float]


def read_cvat(
    path: str | PathLike[str], options: ImportOptions = DEFAULT_OPTIONS
) -> ImportedAnnotations:
    """Return the annotations of a CVAT export, of a task, a job or a project.

    Person ids are the track ids; images have none, unless an attribute tells persons apart.

    Args:
        path: `annotations.xml`, or the zip with it.
        options: `fps` is always needed; `video_id` None takes the file's name (`source`), the
            task's name, or what the images' names begin with; `first_frame_number` is for the
            names of images alone. A checkbox's action is its own name.

    Raises:
        DataError: as in `ImportReader`.
    """
    return _CvatImport(path, options).read()


@dataclass(frozen=True)
class _TrackBox:
    place: str
    frame: int
    is_key: bool
    is_outside: bool
    corners: Corners
    attributes: Mapping[str, str]


class _CvatImport:
    """One import; meta comes first, then tracks or images, each handled when it is whole."""

    def __init__(self, path: str | PathLike[str], options: ImportOptions) -> None:
        self.path = path
        self.options = options
        self.builder = AnnotationBuilder(path, options)
        self.tasks: dict[str, CvatTask] = {}
        self.rule: ActionRule | None = None
        self.tracked: set[str] = set()
        self.images: dict[tuple[str, str], dict[int, XmlElement]] = defaultdict(dict)

    def read(self) -> ImportedAnnotations:
        """Return what the file holds."""
        handlers = {"meta": self._meta, "track": self._track, "image": self._image}
        for element in iter_xml(self.path, root="annotations"):
            if element.tag in handlers:
                with self.builder.faults.collecting():
                    handlers[element.tag](element)
        for task_id in self.tracked:
            with self.builder.faults.collecting():
                self._look_at_task(self.tasks[task_id])
        for (task_id, video_id), images in self.images.items():
            with self.builder.faults.collecting():
                self._add_images(self.tasks[task_id], video_id, images)
        annotated = self.tracked | {task_id for task_id, _ in self.images}
        self.builder.leave_out("tasks without a box, left out", len(self.tasks) - len(annotated))
        return self.builder.result()

    def _meta(self, meta: XmlElement) -> None:
        self.tasks, labels = parse_meta(meta)
        self.rule = ActionRule(
            labels,
            person_label=self.options.person_label,
            action_attribute=self.options.action_attribute,
            place=meta.place,
        )
        if self.rule.names is not None:
            self.builder.actions.know(self.rule.names)

    def _task_id(self, element: XmlElement) -> str:
        if self.rule is None:
            if self.builder.faults.number:
                raise AlreadyTold()
            raise FileFault(
                element.place, f"<{element.tag}> comes before <meta>; export the task again."
            )
        task_id = element.attributes.get("task_id", "")
        if not task_id and len(self.tasks) == 1:
            return next(iter(self.tasks))
        if task_id not in self.tasks:
            raise FileFault(
                element.place,
                f"<{element.tag}> is of task {short(task_id)}, but <meta> lists the tasks "
                f"{', '.join(self.tasks) or 'none'}; export the project again.",
            )
        return task_id

    def _actions(self, label: str, attributes: Mapping[str, str], place: str) -> list[str] | None:
        assert self.rule is not None
        try:
            return self.rule.actions(label, attributes, split=self.builder.actions.split)
        except ValueError as error:
            raise FileFault(place, str(error)) from error

    # Tracks

    def _track(self, track: XmlElement) -> None:
        task_id = self._task_id(track)
        task = self.tasks[task_id]
        boxes = self._track_boxes(track)
        if not boxes:
            return
        self.tracked.add(task_id)
        video_id = self.builder.videos.id_of(task.video, task.place)
        clock = self.builder.videos.clock(video_id, task.place)
        size = self.builder.videos.size(video_id, task.place, stated=task.size)
        label = track.required("label").strip()
        person = parse_person(track.attributes.get("id", ""))
        last = max(_last_frame(boxes, task), boxes[-1].frame)
        frames = [box.frame for box in boxes]
        for second, frame in checked_keyframes(
            clock, boxes[0].frame, last, track.place, step=task.step
        ):
            index = bisect_right(frames, frame) - 1
            box = boxes[index]
            if box.is_outside:
                continue
            actions = self._actions(label, box.attributes, box.place)
            if actions is None:
                self.builder.leave_out("boxes of other labels than persons, left out")
                continue
            with self.builder.faults.collecting():
                self.builder.add_box(
                    box.place,
                    video_id=video_id,
                    second=second,
                    corners_px=_interpolate(boxes, index, frame),
                    size=size,
                    actions=actions,
                    person=person,
                )

    def _track_boxes(self, track: XmlElement) -> list[_TrackBox]:
        """Return the boxes in order of frames, attributes carried on."""
        boxes: list[_TrackBox] = []
        for element in self._boxes_of(track):
            with self.builder.faults.collecting():
                boxes.append(
                    _TrackBox(
                        place=element.place,
                        frame=element.whole("frame"),
                        is_key=element.flag("keyframe", default="1"),
                        is_outside=element.flag("outside"),
                        corners=self._corners(element),
                        attributes=_attributes(element),
                    )
                )
        boxes.sort(key=lambda box: box.frame)
        attributes = _attributes(track)
        for index, box in enumerate(boxes):
            if index and box.frame == boxes[index - 1].frame:
                raise FileFault(
                    box.place,
                    f"the track has a second box at frame {box.frame}; remove one of them.",
                )
            attributes = {**attributes, **box.attributes}
            boxes[index] = replace(box, attributes=attributes)
        return boxes

    def _look_at_task(self, task: CvatTask) -> None:
        """Note every keyframe of a task in which persons were tracked."""
        if task.last is None:
            return
        video_id = self.builder.videos.id_of(task.video, task.place)
        clock = self.builder.videos.clock(video_id, task.place)
        for second, _ in checked_keyframes(
            clock, task.first, task.last, task.place, step=task.step
        ):
            self.builder.look_at(video_id, second)

    # Images

    def _image(self, image: XmlElement) -> None:
        task_id = self._task_id(image)
        task = self.tasks[task_id]
        video, frame = frame_of_image(
            image.required("name"),
            image.place,
            first_number=self.options.first_frame_number,
        )
        video_id = self.builder.videos.id_of(video or task.video, image.place)
        images = self.images[task_id, video_id]
        if frame in images:
            raise FileFault(
                image.place,
                f"a second image of frame {frame} of video {video_id}, after line "
                f"{images[frame].line}; remove one of them.",
            )
        images[frame] = image

    def _add_images(self, task: CvatTask, video_id: str, images: dict[int, XmlElement]) -> None:
        place = next(iter(images.values())).place
        clock = self.builder.videos.clock(video_id, place)
        keyframes = nearest_to_keyframes(
            [clock.seconds(frame) for frame in images],
            interval_seconds=clock.interval_seconds,
            frame_seconds=1 / clock.fps,
        )
        for frame, image in images.items():
            second = keyframes.get(clock.seconds(frame))
            boxes = self._boxes_of(image)
            if second is None:
                self.builder.leave_out(
                    "boxes on images between the keyframes, left out", len(boxes)
                )
                continue
            check_second(second, image.place)
            self.builder.look_at(video_id, second)
            for box in boxes:
                with self.builder.faults.collecting():
                    self._add_image_box(box, image, video_id, second)

    def _add_image_box(
        self, box: XmlElement, image: XmlElement, video_id: str, second: float
    ) -> None:
        attributes = _attributes(box)
        actions = self._actions(box.required("label").strip(), attributes, box.place)
        if actions is None:
            self.builder.leave_out("boxes of other labels than persons, left out")
            return
        stated = None
        if "width" in image.attributes and "height" in image.attributes:
            stated = (image.number("height"), image.number("width"))
        persons = [value for name, value in attributes.items() if is_person_attribute(name)]
        self.builder.add_box(
            box.place,
            video_id=video_id,
            second=second,
            corners_px=self._corners(box),
            size=self.builder.videos.size(video_id, image.place, stated=stated),
            actions=actions,
            person=parse_person(persons[0]) if persons else None,
        )

    # Boxes

    def _boxes_of(self, holder: XmlElement) -> list[XmlElement]:
        boxes = []
        for child in holder.children:
            if child.tag == "box":
                boxes.append(child)
            elif child.tag != "attribute":
                self.builder.leave_out(f"shapes that are no boxes ({child.tag}), left out")
        return boxes

    def _corners(self, box: XmlElement) -> Corners:
        """Return x1, y1, x2, y2 in pixels; of a rotated box those of the box round it."""
        x1, y1, x2, y2 = (box.number(name) for name in ("xtl", "ytl", "xbr", "ybr"))
        turned = box.number("rotation") if "rotation" in box.attributes else 0.0
        if not turned:
            return x1, y1, x2, y2
        self.builder.leave_out("rotated boxes, replaced by the upright box round them")
        cosine, sine = abs(math.cos(math.radians(turned))), abs(math.sin(math.radians(turned)))
        half_x = ((x2 - x1) * cosine + (y2 - y1) * sine) / 2
        half_y = ((x2 - x1) * sine + (y2 - y1) * cosine) / 2
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        return x - half_x, y - half_y, x + half_x, y + half_y


def _attributes(element: XmlElement) -> dict[str, str]:
    return {
        child.attributes.get("name", ""): child.text
        for child in element.children
        if child.tag == "attribute"
    }


def _last_frame(boxes: list[_TrackBox], task: CvatTask) -> int:
    """Return the last frame that a track reaches.

    CVAT writes the box of every frame, so the last box ends the track. A file that lists
    CVAT's keyframes alone (each box is one, with frames left out between them) means that the
    last box stays to the end of the task, as CVAT shows it.
    """
    has_gap = any(
        after.frame - before.frame > task.step and not before.is_outside
        for before, after in pairwise(boxes)
    )
    if has_gap and task.last is not None and all(box.is_key for box in boxes):
        return task.last
    return boxes[-1].frame


def _interpolate(boxes: list[_TrackBox], index: int, frame: int) -> Corners:
    """Return the corners at a frame, `boxes[index]` being the last at or before it."""
    before = boxes[index]
    if before.frame == frame or index + 1 == len(boxes) or boxes[index + 1].is_outside:
        return before.corners
    after = boxes[index + 1]
    part = (frame - before.frame) / (after.frame - before.frame)
    x1, y1, x2, y2 = (
        a + (b - a) * part for a, b in zip(before.corners, after.corners, strict=True)
    )
    return x1, y1, x2, y2
