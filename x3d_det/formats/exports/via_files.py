"""The four files that VIA 2 and VIA 3 write, read into one form: `ViaExport`."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from x3d_det.formats.exports.builder import AnnotationBuilder
from x3d_det.formats.foreign_files import FileFault, short
from x3d_det.formats.json_files import JsonValue, parse_json

_RECTANGLE_OF_3 = 2
_IMAGE_OF_3 = 2
_KINDS_OF_3 = {1: "text", 2: "checkbox", 3: "radio", 4: "select", 5: "image"}
_HEADER_OF_2 = [
    *("filename", "file_size", "file_attributes", "region_count", "region_id"),
    *("region_shape_attributes", "region_attributes"),
]


@dataclass(frozen=True)
class ViaAttribute:
    """An attribute of regions.

    Args:
        kind: text, checkbox, radio, dropdown, select or image; "" where not declared.
        options: option id to its text, which may be empty.
    """

    kind: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ViaRegion:
    """A rectangle.

    Args:
        place: in the file, for faults.
        file: name of the image or video.
        second: of the video's file; None on an image.
        corners: x1, y1, x2, y2 in pixels.
        values: attribute name to value.
    """

    place: str
    file: str
    second: float | None
    corners: tuple[float, float, float, float]
    values: Mapping[str, JsonValue]


@dataclass
class ViaExport:
    """What one file holds.

    Args:
        attributes: declared attributes of regions by name; grown from the regions where
            the file declares none.
        images: image name to its place, with regions or without.
        regions: the rectangles.
    """

    attributes: dict[str, ViaAttribute] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    regions: list[ViaRegion] = field(default_factory=list)


def parse_via(text: str, builder: AnnotationBuilder) -> ViaExport:
    """Return what a VIA file holds; faults of single regions are noted in the builder.

    Raises:
        FileFault: the text is none of VIA's files.
    """
    if text.startswith("#") and "CSV_HEADER" in text:
        return _csv_of_3(text, builder)
    if not text.lstrip().startswith(("{", "[")):
        return _csv_of_2(text, builder)
    root = JsonValue(parse_json(text))
    if "metadata" in root and "file" in root:
        return _project_of_3(root, builder)
    if "_via_img_metadata" in root:
        attributes = root.get("_via_attributes", {}).get("region", {})
        return _images_of_2(root["_via_img_metadata"], attributes, builder)
    if any("filename" in image for _, image in root.items()):
        return _images_of_2(root, JsonValue({}), builder)
    listed = ", ".join(short(key) for key in list(root.object())[:5]) or "no key"
    raise FileFault(
        "",
        f"no VIA project: it has {listed}, "
        "where VIA 2 has _via_img_metadata and VIA 3 has metadata and file.",
    )


# VIA 2


def _images_of_2(images: JsonValue, attributes: JsonValue, builder: AnnotationBuilder) -> ViaExport:
    export = ViaExport()
    for name, declared in attributes.items():
        with builder.faults.collecting():
            kind = declared.get("type", "").text()
            export.attributes[name] = ViaAttribute(kind, _options(declared))
    for _, image in images.items():
        with builder.faults.collecting():
            file = image["filename"].text()
            export.images.setdefault(file, image.place)
            regions = image.get("regions", [])
            # Version 1 numbers the regions in an object, version 2 lists them.
            is_object = isinstance(regions.value, dict)
            listed = (region for _, region in regions.items()) if is_object else iter(regions)
            for region in listed:
                with builder.faults.collecting():
                    values = region["region_attributes"]
                    _add_region_of_2(export, file, region["shape_attributes"], values, builder)
    return export


def _add_region_of_2(
    export: ViaExport, file: str, shape: JsonValue, values: JsonValue, builder: AnnotationBuilder
) -> None:
    name = shape["name"].text()
    if name != "rect":
        builder.leave_out(f"shapes that are no rectangles ({name}), left out")
        return
    x, y, width, height = (shape[key].number() for key in ("x", "y", "width", "height"))
    found = dict(values.items())
    export.regions.append(ViaRegion(shape.place, file, None, (x, y, x + width, y + height), found))


def _csv_of_2(text: str, builder: AnnotationBuilder) -> ViaExport:
    export = ViaExport()
    rows = _csv_rows(text)
    header_place, header = next(rows, (":1", []))
    if [name.strip().lstrip("#") for name in header] != _HEADER_OF_2:
        raise FileFault(
            header_place,
            f"no VIA file: the first line is {short(','.join(header))}; VIA 2's csv begins with "
            f"{','.join(_HEADER_OF_2)}.",
        )
    for place, row in rows:
        with builder.faults.collecting():
            if len(row) != len(_HEADER_OF_2):
                raise FileFault(place, f"the line has {len(row)} columns; VIA 2's csv has 7.")
            export.images.setdefault(row[0], place)
            shape = JsonValue(parse_json(row[5], place), line=place)
            if shape.object():  # an image without regions has one line with {}
                values = JsonValue(parse_json(row[6], place), line=place)
                _add_region_of_2(export, row[0], shape, values, builder)
    return export


# VIA 3


def _project_of_3(root: JsonValue, builder: AnnotationBuilder) -> ViaExport:
    export = ViaExport()
    names = _attributes_of_3(root["attribute"], export)
    images: dict[str, str] = {}
    files: dict[str, tuple[str, bool]] = {}
    for file_id, file in root["file"].items():
        with builder.faults.collecting():
            name = file["fname"].text() if "fname" in file else file["src"].text()
            is_image = file.get("type", 0).whole() == _IMAGE_OF_3
            files[file_id] = (name, is_image)
            if is_image:
                images[name] = file.place
    export.images = images
    views = {view_id: view["fid_list"] for view_id, view in root["view"].items()}
    for _, mark in root["metadata"].items():
        with builder.faults.collecting():
            view_id = mark["vid"].key()
            if view_id not in views:
                raise mark["vid"].fault(f"there is no view {short(view_id)}; save it again.")
            shown = [file_id.key() for file_id in views[view_id]]
            if len(shown) != 1:
                builder.leave_out("marks of views of several files, left out")
                continue
            if shown[0] not in files:
                raise mark["vid"].fault(f"there is no file {short(shown[0])}; save it again.")
            name, is_image = files[shown[0]]
            _add_mark_of_3(
                export,
                name,
                seconds=mark["z"],
                shape=mark["xy"],
                values=_values_of_3(mark["av"], names),
                is_image=is_image,
                builder=builder,
            )
    return export


def _attributes_of_3(attributes: JsonValue, export: ViaExport) -> dict[str, str]:
    """Note the attributes of regions; return attribute id -> name of all."""
    names: dict[str, str] = {}
    for attribute_id, declared in attributes.items():
        name = declared["aname"].text()
        if name in names.values():
            raise declared.fault(f"a second attribute is called {short(name)}; rename one of them.")
        names[attribute_id] = name
        anchor = declared.get("anchor_id", "XY1").text()
        if anchor.endswith("XY1"):
            kind = _KINDS_OF_3.get(declared["type"].whole(), "")
            export.attributes[name] = ViaAttribute(kind, _options(declared))
    return names


def _values_of_3(values: JsonValue, names: Mapping[str, str]) -> dict[str, JsonValue]:
    return {names.get(attribute_id, attribute_id): value for attribute_id, value in values.items()}


def _add_mark_of_3(
    export: ViaExport,
    file: str,
    *,
    seconds: JsonValue,
    shape: JsonValue,
    values: Mapping[str, JsonValue],
    is_image: bool,
    builder: AnnotationBuilder,
) -> None:
    times = [second.number() for second in seconds]
    numbers = list(shape)
    if not numbers:
        builder.leave_out("marks without a box (stretches of time, notes), left out")
    elif numbers[0].whole() != _RECTANGLE_OF_3:
        builder.leave_out(f"shapes that are no rectangles (number {numbers[0].value}), left out")
    elif len(times) > 1:
        builder.leave_out("boxes over a stretch of time, left out")
    elif not times and not is_image:
        raise seconds.fault("the box in a video has no second; draw it again.")
    else:
        _, x, y, width, height = shape.numbers(5)
        second = None if is_image else times[0]
        corners = (x, y, x + width, y + height)
        export.regions.append(ViaRegion(shape.place, file, second, corners, values))


def _csv_of_3(text: str, builder: AnnotationBuilder) -> ViaExport:
    """Read `metadata_id,file_list,flags,temporal,spatial,metadata` after lines of comment."""
    export = ViaExport()
    names: dict[str, str] = {}
    comments = re.match(r"(?:#[^\n]*\n?)*", text)
    assert comments is not None
    for number, line in enumerate(comments[0].splitlines(), start=1):
        if line.startswith("# ATTRIBUTE = "):
            found = parse_json(line.removeprefix("# ATTRIBUTE = "), f":{number}")
            names = _attributes_of_3(JsonValue(found, line=f":{number}"), export)
    for place, row in _csv_rows(text[comments.end() :], skipped=comments[0].count("\n")):
        with builder.faults.collecting():
            if len(row) != 6:
                raise FileFault(place, f"the line has {len(row)} columns; VIA 3's csv has 6.")
            files, seconds, shape, values = (
                JsonValue(parse_json(row[column], place), line=place) for column in (1, 3, 4, 5)
            )
            listed = [file.text() for file in files]
            if len(listed) != 1:
                builder.leave_out("marks of views of several files, left out")
                continue
            _add_mark_of_3(
                export,
                listed[0],
                seconds=seconds,
                shape=shape,
                values=_values_of_3(values, names),
                is_image=not seconds.value,
                builder=builder,
            )
            if not seconds.value:
                export.images.setdefault(listed[0], place)
    return export


# Both


def _options(declared: JsonValue) -> dict[str, str]:
    return {key: text.text().strip() for key, text in declared.get("options", {}).items()}


def _csv_rows(text: str, *, skipped: int = 0) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows that are not blank, each with its place.

    Args:
        text: the csv.
        skipped: lines of the file before it.
    """
    reader = csv.reader(io.StringIO(text), strict=True)
    while True:
        place = f":{skipped + reader.line_num + 1}"
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise FileFault(place, f"the line cannot be split: {error}.") from error
        if row is None:
            return
        if row:
            yield place, row
