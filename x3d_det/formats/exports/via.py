"""Projects and exports of the VGG Image Annotator (VIA) into AVA form, versions 2 and 3.

Read are a VIA 2 project or annotation export (json), its csv export, a VIA 3 project (json)
and VIA 3's csv export. Rectangles alone count.

VIA 3 annotates videos: a box stands at a stated second, which becomes its keyframe. VIA 2
(and images in VIA 3) annotates images, whose names say video and frame number, as in
`VIDEO/frame_000123.jpg`, and need a frame rate. VIA states no frame size.

The action is the region attribute called `action` (or activity), else the only one besides
those that tell persons apart (`track`, `person id`, ...); `action_attribute` names others. A
checkbox gives several actions, a dropdown, radio or select one, a text one or several with
commas. The name of an option is its text; where a project has none, its id.

Source: ox-vgg/via, via-2.x.y/CodeDoc.md and via-3.x.y/CodeDoc.md, "Structure of VIA Project
    JSON File"; checkboxes and csv files after the sources beside them.
"""

from collections import defaultdict
from collections.abc import Mapping
from os import PathLike

from x3d_det.errors import DataError
from x3d_det.formats.exports.builder import AnnotationBuilder
from x3d_det.formats.exports.imported import (
    DEFAULT_OPTIONS,
    ImportedAnnotations,
    ImportOptions,
)
from x3d_det.formats.exports.keyframes import check_second, nearest_to_keyframes
from x3d_det.formats.exports.names import (
    choose_attributes,
    frame_of_image,
    is_person_attribute,
    parse_person,
    video_name,
)
from x3d_det.formats.exports.via_files import ViaAttribute, ViaExport, ViaRegion, parse_via
from x3d_det.formats.foreign_files import FileFault, read_text, short
from x3d_det.formats.json_files import JsonValue

_SAME_INSTANT_SECONDS = 0.01
"""Boxes of VIA 3 this close in time were drawn on one frame (less than a frame at 60 fps)."""


def read_via(
    path: str | PathLike[str], options: ImportOptions = DEFAULT_OPTIONS
) -> ImportedAnnotations:
    """Return the annotations of a VIA project or export.

    Args:
        path: json or csv.
        options: `frame_size` is always needed, `fps` for images alone; `person_label` must be
            None: VIA has no labels beside its attributes.

    Raises:
        DataError: as in `ImportReader`; or a `person_label` is given.
    """
    if options.person_label is not None:
        raise DataError(
            f"person_label is {short(options.person_label)}, but VIA has no labels; leave it out, "
            "and name the attribute of the actions if need be."
        )
    builder = AnnotationBuilder(path, options)
    text = read_text(path, suffix=".json")
    with builder.faults.collecting():
        export = parse_via(text, builder)
        _ViaImport(builder, export).add_all()
    return builder.result()


class _ViaImport:
    """Adds the regions of one export to the builder."""

    def __init__(self, builder: AnnotationBuilder, export: ViaExport) -> None:
        self.builder = builder
        self.export = export
        self.attributes = dict(export.attributes)
        if not self.attributes:
            names = dict.fromkeys(name for region in export.regions for name in region.values)
            self.attributes = {name: ViaAttribute() for name in names}
        self.chosen = self._action_attributes()

    def _action_attributes(self) -> list[str]:
        """Return the attributes that hold actions, after telling the builder their options."""
        if not self.export.regions:
            return []
        candidates = [
            name
            for name, attribute in self.attributes.items()
            if attribute.kind != "image" and not is_person_attribute(name)
        ]
        wanted = self.builder.options.action_attribute
        chosen = choose_attributes(candidates, wanted, what="a region", place="")
        kinds = {self.attributes[name].kind for name in chosen}
        if not kinds & {"", "text"}:
            options = [self.attributes[name].options.items() for name in chosen]
            self.builder.actions.know(text or key for items in options for key, text in items)
        return chosen

    def add_all(self) -> None:
        """Add every region on a keyframe, and note the images without one."""
        images: dict[str, dict[int, str]] = defaultdict(dict)
        places: dict[str, tuple[str, int]] = {}
        for name, place in self.export.images.items():
            with self.builder.faults.collecting():
                video, frame = frame_of_image(
                    name, place, first_number=self.builder.options.first_frame_number
                )
                video_id = self.builder.videos.id_of(video, place)
                if frame in images[video_id]:
                    raise FileFault(
                        place,
                        f"{short(name)} is a second image of frame {frame} of video {video_id}, "
                        f"after {short(images[video_id][frame])}; remove one of them.",
                    )
                images[video_id][frame] = name
                places[name] = (video_id, frame)
        keyframes = self._image_keyframes(images) | self._video_keyframes()
        for region in self.export.regions:
            if region.second is None and region.file not in places:
                continue  # its image's name is told as a fault
            second = keyframes.get((region.file, region.second))
            if second is None:
                self.builder.leave_out("boxes between the keyframes, left out")
                continue
            with self.builder.faults.collecting():
                is_image = region.second is None
                video_id = places[region.file][0] if is_image else self._video_of(region)
                self._add(region, video_id, second)

    def _image_keyframes(
        self, images: Mapping[str, Mapping[int, str]]
    ) -> dict[tuple[str, float | None], float]:
        """Return (image, None) -> second of its keyframe, after noting each as looked at."""
        found: dict[tuple[str, float | None], float] = {}
        for video_id, names in images.items():
            place = self.export.images[next(iter(names.values()))] if names else ""
            with self.builder.faults.collecting():
                clock = self.builder.videos.clock(video_id, place)
                seconds = nearest_to_keyframes(
                    [clock.seconds(frame) for frame in names],
                    interval_seconds=clock.interval_seconds,
                    frame_seconds=1 / clock.fps,
                )
                for frame, name in names.items():
                    second = seconds.get(clock.seconds(frame))
                    if second is not None:
                        check_second(second, self.export.images[name])
                        self.builder.look_at(video_id, second)
                        found[name, None] = second
        return found

    def _video_keyframes(self) -> dict[tuple[str, float | None], float]:
        """Return (video file, stated second) -> second of its keyframe."""
        stated: dict[str, set[float]] = defaultdict(set)
        for region in self.export.regions:
            if region.second is not None:
                with self.builder.faults.collecting():
                    check_second(region.second, region.place)
                    stated[region.file].add(region.second)
        interval = self.builder.options.keyframe_interval_seconds or 0.0
        found: dict[tuple[str, float | None], float] = {}
        for file, seconds in stated.items():
            instants = _instants(seconds)
            keyframes = nearest_to_keyframes(set(instants.values()), interval_seconds=interval)
            for second, instant in instants.items():
                if instant in keyframes:
                    found[file, second] = keyframes[instant]
        return found

    def _video_of(self, region: ViaRegion) -> str:
        return self.builder.videos.id_of(video_name(region.file), region.place)

    def _add(self, region: ViaRegion, video_id: str, second: float) -> None:
        persons = [value for name, value in region.values.items() if is_person_attribute(name)]
        person = parse_person(str(persons[0].key())) if persons else None
        actions: list[str] = []
        for name in self.chosen:
            if name in region.values:
                actions += self._actions(region.values[name], self.attributes[name])
        self.builder.add_box(
            region.place,
            video_id=video_id,
            second=second,
            corners_px=region.corners,
            size=self.builder.videos.size(video_id, region.place),
            actions=actions,
            person=person,
        )

    def _actions(self, value: JsonValue, attribute: ViaAttribute) -> list[str]:
        """Return the actions in the value of one attribute."""
        if isinstance(value.value, dict):  # VIA 2: option id -> true
            keys = [key for key, is_set in value.items() if _is_true(is_set)]
        elif attribute.kind in ("", "text"):
            return self.builder.actions.split(value.key())
        elif attribute.kind == "checkbox":  # VIA 3: option ids with commas between
            keys = [key.strip() for key in value.key().split(",") if key.strip()]
        else:
            keys = [value.key().strip()] if value.key().strip() else []
        return [self._option_name(key, attribute) for key in keys]

    def _option_name(self, key: str, attribute: ViaAttribute) -> str:
        text = attribute.options.get(key) or key
        known = self.builder.actions
        return key if key in known and text not in known else text


def _is_true(value: JsonValue) -> bool:
    if not isinstance(value.value, bool):
        raise value.fault(f"found {short(value.value)}; a checkbox must be true or false.")
    return value.value


def _instants(seconds: set[float]) -> dict[float, float]:
    """Return each second -> the first of those drawn on its frame."""
    found: dict[float, float] = {}
    first = 0.0
    for second in sorted(seconds):
        if not found or second - first > _SAME_INSTANT_SECONDS:
            first = second
        found[second] = first
    return found
