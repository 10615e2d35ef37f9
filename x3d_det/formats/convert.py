"""Any form into any other that makes sense; what the target cannot hold is told, with counts."""

import os
from collections.abc import Sized
from dataclasses import dataclass, replace
from pathlib import Path

from x3d_det.errors import DataError, did_you_mean
from x3d_det.formats.crossings import CROSSINGS, REASONS
from x3d_det.formats.options import ConvertOptions
from x3d_det.formats.person_boxes import PersonBoxes
from x3d_det.formats.registry import FORMS, Form
from x3d_det.formats.sniff import candidate_forms
from x3d_det.io.ava_csv import AvaAnnotations
from x3d_det.io.label_map import write_label_map


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Args:
        source: form that was read.
        target: form that was written.
        num_read: rows, boxes or actions of the source.
        num_empty: keyframes that the source names as empty.
        notes: what was left out or assumed, in words with counts.
        files: what was written, the target first.
    """

    source: Form
    target: Form
    num_read: int
    num_empty: int
    notes: tuple[str, ...]
    files: tuple[Path, ...]


def convert_file(
    source_path: str | os.PathLike[str],
    target_path: str | os.PathLike[str],
    *,
    source: Form,
    target: Form,
    options: ConvertOptions,
    label_map_path: str | os.PathLike[str] | None = None,
) -> Conversion:
    """Read one form and write another.

    A label map that the source brings is written beside annotations in csv, which cannot
    hold it.

    Args:
        source_path: a file; a folder for the form `frames-folder`.
        target_path: the file to make.
        source, target: of `FORMS`; `check_pair` tells whether they fit.
        options: what the forms may ask for.
        label_map_path: where a label map goes; None is `<stem>_label_map.pbtxt` beside
            the target.

    Raises:
        DataError: the pair makes no sense, a fault of the source, something that the target
            needs is not given, the target cannot be written.
    """
    check_pair(source, target)
    assert source.read is not None
    assert target.write is not None
    loaded = source.read(Path(source_path), options)
    table, notes = loaded.table, loaded.notes
    num_read, num_empty = _num_rows(table)
    if source.kind != target.kind:
        table, more = CROSSINGS[source.kind, target.kind].convert(table, options)
        notes += more
    given = options.label_map
    if given is None and loaded.label_map:
        options = replace(options, label_map=loaded.label_map)
    files = [Path(target_path)]
    if writes_label_map(source, target) and options.label_map is not given and options.label_map:
        files.append(Path(label_map_path or default_label_map_path(target_path)))
        write_label_map(options.label_map, files[1], form="label")
    notes += target.write(table, files[0], options)
    return Conversion(source, target, num_read, num_empty, notes, tuple(files))


def check_pair(source: Form, target: Form) -> None:
    """Raise where one form cannot become the other.

    Raises:
        DataError: says why, and what the source can become.
    """
    if source.read is None:
        raise DataError(f"the form {source.name} can be written, not read.")
    if target.write is None:
        raise DataError(f"the form {target.name} can be read, not written.")
    if source.kind == target.kind or (source.kind, target.kind) in CROSSINGS:
        return
    why = REASONS.get((source.kind, target.kind))
    raise DataError(
        f"{source.name} ({source.kind}) cannot become {target.name} ({target.kind})"
        f"{': ' + why if why else ''}. It can become {', '.join(targets_of(source))}."
    )


def targets_of(source: Form) -> list[str]:
    """Return the names of the forms that a form can become."""
    return [
        form.name
        for form in FORMS.values()
        if form.write and (form.kind == source.kind or (source.kind, form.kind) in CROSSINGS)
    ]


def heeded_options(source: Form, target: Form) -> frozenset[str]:
    """Return the fields of `ConvertOptions` that this conversion heeds."""
    crossing = CROSSINGS.get((source.kind, target.kind))
    of_crossing = crossing.options if crossing else frozenset()
    return source.read_options | target.write_options | of_crossing


def writes_label_map(source: Form, target: Form) -> bool:
    """Return whether the source brings names of actions that the target has no place for."""
    brings = source.name in ("coco", "cvat", "via", "coco-video")
    return brings and target.kind == "annotations" and target.name != "coco"


def default_label_map_path(target_path: str | os.PathLike[str]) -> Path:
    """Return `<stem>_label_map.pbtxt` beside the target."""
    path = Path(target_path)
    stem = path.name.removesuffix(".gz").rpartition(".")[0] or path.name
    return path.with_name(f"{stem}_label_map.pbtxt")


def form_named(name: str) -> Form:
    """Return the form of this name.

    Raises:
        DataError: there is none.
    """
    if name not in FORMS:
        raise DataError(
            f"{name!r} is no form{did_you_mean(name, FORMS)}; --list-forms names them all."
        )
    return FORMS[name]


def form_of(path: str | os.PathLike[str]) -> Form:
    """Return the form of an existing file or folder, told from its suffix and content.

    Raises:
        DataError: it is missing, its form cannot be told, or several fit.
    """
    if not Path(path).exists():
        raise DataError(f"{path}: there is no such file or folder.")
    names = candidate_forms(path)
    if len(names) == 1:
        return FORMS[names[0]]
    if names:
        raise DataError(
            f"{path}: may be {' or '.join(names)}; say which with --from (--list-forms explains)."
        )
    raise DataError(
        f"{path}: its form cannot be told from suffix and content (separated by tabs, or another "
        "number of columns?); say which with --from, and the fault is named with its line."
    )


def form_to_write(path: str | os.PathLike[str], source: Form) -> Form:
    """Return the form that a new file gets: by its suffix, of the source's kind first.

    Raises:
        DataError: no form that the source can become has this suffix, or several kinds do.
    """
    name = Path(path).name.lower()
    fitting = [
        FORMS[target]
        for target in targets_of(source)
        if any(name.endswith(suffix) for suffix in FORMS[target].suffixes)
    ]
    for form in fitting:
        if form.kind == source.kind:
            return form
    if len({form.kind for form in fitting}) == 1:
        return fitting[0]
    among = [form.name for form in fitting] or targets_of(source)
    raise DataError(
        f"{path}: its suffix does not say what {source.name} shall become; say it with --to: "
        f"{', '.join(among)}."
    )


def _num_rows(table: object) -> tuple[int, int]:
    """Return how many rows and how many empty keyframes a table has."""
    if isinstance(table, AvaAnnotations | PersonBoxes):
        return len(table.rows), len(table.empty_keyframes)
    assert isinstance(table, Sized)
    return len(table), 0
