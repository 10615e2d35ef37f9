"""tools/convert_annotations.py between forms: every pair within a kind, every crossing of kinds."""

from pathlib import Path

import pytest
from annotation_samples import ACTIONS, SAMPLES

from x3d_det.errors import DataError
from x3d_det.formats.convert import check_pair, convert_file, targets_of
from x3d_det.formats.crossings import CROSSINGS
from x3d_det.formats.options import ConvertOptions
from x3d_det.formats.registry import FORMS
from x3d_det.io.label_map import read_label_map


def _options(folder: Path, source: str, target: str) -> list[str]:
    """Return what a user has to add for a pair of forms."""
    options = ["--from", source, "--to", target]
    if target in ("coco", "coco-persons"):
        options += ["--frame-size", "640x360"]
    if target == "coco" and source != "coco":
        options += ["--label-map", str(folder / "actions.pbtxt")]
    if "coco-results" in (source, target):
        options += ["--images", str(folder / "images.json")]
    if source == "included-seconds":
        options += ["--video-ids", str(folder / "videos.txt")]
    if target == "file-names" and source != "file-names":
        options += ["--videos", str(folder)]
    return options


def _within(kind: str) -> list[tuple[str, str]]:
    forms = [form for form in FORMS.values() if form.kind == kind and form.read and form.write]
    return [(source.name, target.name) for source in forms for target in forms]


PAIRS = [(kind, *pair) for kind in SAMPLES for pair in _within(kind)]


@pytest.mark.parametrize(("kind", "source", "target"), PAIRS)
def test_every_pair_within_a_kind_comes_back(converter, folder, kind, source, target):
    """sample -> source form -> target form -> sample form: the same bytes as without the pair."""
    first, text = SAMPLES[kind]
    (folder / "sample").write_text(text)
    steps = [(first, source), (source, target), (target, first)]
    at = folder / "sample"
    for number, (old, new) in enumerate(steps):
        to = folder / f"step{number}"
        assert converter([str(at), str(to), *_options(folder, old, new)]) == 0
        at = to
    expected = text
    if {source, target} & {"ava-v1.0", "ava-kinetics", "result-ground-truth"}:
        expected = text.replace(",12,0", ",12").replace(",80,1", ",80")
    assert at.read_text() == expected


@pytest.mark.parametrize(("source", "target"), _within("label map"))
def test_every_pair_of_label_maps(converter, folder, source, target):
    at = folder / "actions.pbtxt"
    for step, (old, new) in enumerate([("pbtxt", source), (source, target)]):
        to = folder / f"step{step}{FORMS[new].suffixes[0]}"
        assert converter([str(at), str(to), "--from", old, "--to", new]) == 0
        at = to
    assert dict(read_label_map(at).names) == dict(ACTIONS.names)


@pytest.mark.parametrize(("source", "target"), CROSSINGS)
def test_every_crossing(converter, folder, source, target):
    form, text = SAMPLES[source]
    (folder / "sample").write_text(text)
    for other in FORMS.values():
        if other.kind == target and other.write:
            if other.name == "included-seconds" and source in ("annotations", "person boxes"):
                continue  # v and w differ in their seconds
            to = folder / f"to_{other.name}"
            assert (
                converter([str(folder / "sample"), str(to), *_options(folder, form, other.name)])
                == 0
            )
            assert to.stat().st_size > 0


def test_every_pair_is_allowed_or_has_an_error(tmp_path):
    for source in FORMS.values():
        for target in FORMS.values():
            if target.name in targets_of(source) and source.read:
                check_pair(source, target)
            else:
                with pytest.raises(DataError, match=r"cannot become|can be read, not|can be writ"):
                    check_pair(source, target)
    with pytest.raises(DataError):
        convert_file(
            tmp_path / "a",
            tmp_path / "b",
            source=FORMS["ava"],
            target=FORMS["cvat"],
            options=ConvertOptions(),
        )
