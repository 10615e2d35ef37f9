"""What the meta part of a CVAT export declares: its tasks, and which attribute is the action."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from x3d_det.errors import did_you_mean
from x3d_det.formats.exports.names import (
    choose_attributes,
    is_action_name,
    is_person_attribute,
    is_person_name,
    video_name,
)
from x3d_det.formats.exports.xml_elements import XmlElement
from x3d_det.formats.foreign_files import FileFault, parse_whole, short

_NO_VALUE = "__undefined__"
"""What CVAT writes for a select that was not set."""

_ATTRIBUTE_OF_1_0 = re.compile(r"[@~](?P<kind>\w+)=(?P<name>[^:]*):?(?P<values>.*)", re.DOTALL)


@dataclass(frozen=True)
class CvatTask:
    """One video, or part of one.

    Args:
        place: of its description, for faults.
        video: its file's name, else the task's name; "" if neither is stated.
        first: first annotated frame, as the video counts.
        last: last annotated frame, None if not stated.
        step: frames from one annotated frame to the next.
        size: (height, width), None if not stated (images state their own).
    """

    place: str
    video: str
    first: int
    last: int | None
    step: int
    size: tuple[float, float] | None


@dataclass(frozen=True)
class CvatAttribute:
    """An attribute of a label: its name, its kind and the values it may have.

    Args:
        name: as annotators see it.
        kind: select, checkbox, radio, number or text.
        values: of a select or radio, in their order.
    """

    name: str
    kind: str
    values: tuple[str, ...]


def parse_meta(meta: XmlElement) -> tuple[dict[str, CvatTask], dict[str, list[CvatAttribute]]]:
    """Return the tasks by id, and the labels with their attributes.

    Raises:
        FileFault: no task, job or project; a number that is none.
    """
    holder = next((found for tag in ("task", "job", "project") if (found := meta.child(tag))), None)
    if holder is None:
        raise FileFault(meta.place, "<meta> has no task, job or project; export it again.")
    elements = _grandchildren(holder, "tasks", "task") if holder.tag == "project" else [holder]
    source = meta.child_text("source")
    tasks = {element.child_text("id"): _task(element, source=source) for element in elements}
    labels = {
        label.child_text("name"): [
            _attribute(attribute) for attribute in _grandchildren(label, "attributes", "attribute")
        ]
        for label in _grandchildren(holder, "labels", "label")
    }
    return tasks, labels


def _grandchildren(element: XmlElement, list_tag: str, tag: str) -> list[XmlElement]:
    holder = element.child(list_tag)
    return [child for child in holder.children if child.tag == tag] if holder else []


def _task(element: XmlElement, *, source: str) -> CvatTask:
    def whole(tag: str) -> int | None:
        text = element.child_text(tag)
        return parse_whole(text, element.place, tag) if text else None

    step_text = re.search(r"step\s*=\s*(\d{1,9})", element.child_text("frame_filter"))
    step = max(int(step_text[1]), 1) if step_text else 1
    first = whole("start_frame") or 0
    last, num_frames = whole("stop_frame"), whole("size")
    if last is None and num_frames:
        last = first + (num_frames - 1) * step
    size = None
    original = element.child("original_size")
    if original is not None:
        height, width = (
            float(parse_whole(original.child_text(side), original.place, side))
            for side in ("height", "width")
        )
        size = (height, width)
    video = video_name(element.child_text("source") or source or element.child_text("name"))
    return CvatTask(element.place, video, first, last, step, size)


def _attribute(element: XmlElement) -> CvatAttribute:
    """Return an attribute from version 1.1 (elements) or 1.0 (`~select=quality:good,bad`)."""
    old = _ATTRIBUTE_OF_1_0.fullmatch(element.text.strip())
    if old:
        values = tuple(value.strip() for value in old["values"].split(","))
        return CvatAttribute(old["name"].strip(), old["kind"].lower(), values)
    values = tuple(value.strip() for value in element.child_text("values").splitlines())
    return CvatAttribute(
        element.child_text("name"), element.child_text("input_type").lower(), values
    )


class ActionRule:
    """Says which actions a CVAT box has; the rule is in `cvat`'s docstring.

    Args:
        labels: declared labels with their attributes; empty where the export has none.
        person_label: the caller's choice, None to find it.
        action_attribute: the caller's choice, None to find it.
        place: of the labels, for faults.

    Raises:
        FileFault: a choice that the labels do not have; several attributes and no choice.
    """

    def __init__(
        self,
        labels: Mapping[str, Sequence[CvatAttribute]],
        *,
        person_label: str | None,
        action_attribute: str | None,
        place: str,
    ) -> None:
        self._persons = _person_labels(labels, person_label, action_attribute, place)
        found = [attribute for label in self._persons for attribute in labels.get(label, ())]
        self._kinds = {
            attribute.name: attribute.kind
            for attribute in found
            if attribute.kind != "number" and not is_person_attribute(attribute.name)
        }
        if action_attribute is not None and not labels:
            self._kinds = {action_attribute: ""}
        self._chosen = self._choose(action_attribute, place)
        self.names: list[str] | None = None
        """Every action there can be, in the export's order; None where texts are free."""
        if not self._chosen:
            self.names = [name for name in labels if name not in self._persons] or None
        elif all(self._kinds[name] in ("checkbox", "select", "radio") for name in self._chosen):
            self.names = [
                action
                for attribute in found
                if attribute.name in self._chosen
                for action in _possible_actions(attribute)
            ]

    def _choose(self, wanted: str | None, place: str) -> list[str]:
        names = list(self._kinds)
        if wanted is not None:
            return choose_attributes(names, wanted, what="the person's label", place=place)
        boxes = [name for name in names if self._kinds[name] == "checkbox"]
        if not names or (boxes and not any(is_action_name(name) for name in names)):
            return boxes
        return choose_attributes(names, None, what="the person's label", place=place)

    def actions(
        self, label: str, attributes: Mapping[str, str], *, split: Callable[[str], list[str]]
    ) -> list[str] | None:
        """Return a box's actions; None where the box is no person.

        Args:
            label: of the box.
            attributes: of the box.
            split: gives the actions in a free text.

        Raises:
            ValueError: a checkbox is neither true nor false; the text says so.
        """
        if not self._chosen:
            return [] if label in self._persons else [label]
        if self._persons and label not in self._persons:
            return None
        actions: list[str] = []
        for name in self._chosen:
            value = attributes.get(name, "").strip()
            kind = self._kinds[name]
            if kind == "checkbox" or (not kind and value.lower() in ("true", "false")):
                actions += [name] if _is_true(name, value) else []
            elif value != _NO_VALUE:
                actions += split(value) if kind in ("text", "") else [value] * bool(value)
        return actions


def _person_labels(
    labels: Mapping[str, Sequence[CvatAttribute]],
    person_label: str | None,
    action_attribute: str | None,
    place: str,
) -> list[str]:
    if person_label is not None:
        if labels and person_label not in labels:
            raise FileFault(
                place,
                f"there is no label {short(person_label)}{did_you_mean(person_label, labels)}; "
                f"the export has: {', '.join(short(label) for label in labels)}.",
            )
        return [person_label]
    named = [label for label in labels if is_person_name(label)]
    if named:
        return named
    if action_attribute is not None:
        return list(labels)
    return list(labels) if len(labels) == 1 and any(labels.values()) else []


def _possible_actions(attribute: CvatAttribute) -> list[str]:
    if attribute.kind == "checkbox":
        return [attribute.name]
    return [value for value in attribute.values if value not in ("", _NO_VALUE)]


def _is_true(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0", ""):
        raise ValueError(f"the checkbox {short(name)} is {short(value)}; it must be true or false.")
    return value.lower() in ("true", "1")
