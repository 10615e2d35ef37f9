"""What tools/convert_annotations.py refuses: its options, files that stand, files with faults."""

import random

import pytest
from annotation_samples import AVA, DETECTIONS, SAMPLES


def _fails(converter, capsys, code: int, *arguments: object) -> str:
    assert converter([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.err


def test_what_makes_no_sense_is_refused_with_its_reason(converter, folder, capsys):
    (folder / "d.csv").write_text(DETECTIONS)
    (folder / "a.csv").write_text(AVA)
    source, out = folder / "d.csv", folder / "out"
    text = _fails(converter, capsys, 1, source, out, "--to", "mmaction2-proposals")
    assert "a detection's score is that of an action, not of a person. It can become det" in text
    text = _fails(converter, capsys, 1, folder / "a.csv", out, "--to", "pbtxt")
    assert "ava (annotations) cannot become pbtxt (label map): rows hold ids, not names" in text
    text = _fails(converter, capsys, 1, folder / "a.csv", out, "--to", "cvat")
    assert "the form cvat can be read, not written" in text
    text = _fails(converter, capsys, 1, folder / "a.csv", out, "--to", "coko")
    assert "'coko' is no form; did you mean coco?" in text
    assert not out.exists()


def test_options_without_effect_and_missing_ones(converter, folder, capsys):
    (folder / "a.csv").write_text(AVA)
    source = folder / "a.csv"
    text = _fails(converter, capsys, 2, source, folder / "b.csv", "--fps", "30", "--first-id", "0")
    assert "--fps, --first-id has no effect from ava to ava; leave it out" in text
    text = _fails(
        converter, capsys, 2, source, folder / "b.csv", "--label-map-out", folder / "m.pbtxt"
    )
    assert "--label-map-out has no effect from ava to ava" in text
    text = _fails(converter, capsys, 2, source)
    assert "give IN and OUT, or --list-forms" in text
    text = _fails(converter, capsys, 1, source, folder / "b.json")
    assert "boxes of COCO are in pixels; give --frame-size WxH, or --videos DIR" in text
    text = _fails(converter, capsys, 1, source, folder / "b.json", "--to", "coco-results")
    assert "counts the images of a data set; name it with --images" in text
    (folder / "s.txt").write_text("0902\n")
    text = _fails(converter, capsys, 1, folder / "s.txt", folder / "b.csv")
    assert "a list of seconds holds for every video of a list; name that list with --vid" in text
    assert not (folder / "b.json").exists()


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--frame-size", "640", "'640' is no size; write WIDTHxHEIGHT, as in 640x360"),
        ("--fps", "0", "'0' is no rate, as in 25, 29.97 or 30000/1001"),
        ("--fps", "fast", "'fast' is no rate"),
        ("--video-start-seconds", "x", "x is not a number 0 or more"),
        ("--decimals", "0", "invalid choice: 0"),
    ],
)
def test_impossible_values_of_options(converter, capsys, option, value, text):
    assert text in _fails(converter, capsys, 2, "a", "b", option, value)


def test_nothing_is_replaced_unasked(converter, folder, capsys):
    (folder / "a.csv").write_text(AVA)
    (folder / "b.csv").write_text("old")
    source, out = folder / "a.csv", folder / "b.csv"
    text = _fails(converter, capsys, 1, source, out)
    assert f"{out} exists; name another OUT, or add --overwrite" in text
    assert out.read_text() == "old"
    assert converter([str(source), str(out), "--overwrite"]) == 0
    assert out.read_text() == AVA
    assert "OUT is IN" in _fails(converter, capsys, 1, source, source, "--overwrite")
    text = _fails(converter, capsys, 1, source, folder / "none" / "b.csv")
    assert f"there is no folder {folder / 'none'}; make it" in text
    coco = folder / "c.json"
    assert converter([str(source), str(coco), "--frame-size", "64x64"]) == 0
    (folder / "d_label_map.pbtxt").write_text("old")
    text = _fails(converter, capsys, 1, coco, folder / "d.csv")
    assert "d_label_map.pbtxt exists" in text
    assert not (folder / "d.csv").exists()


def test_a_faulty_file_leaves_nothing_behind(converter, folder, capsys):
    (folder / "a.csv").write_text(AVA.replace("0.300", "3.00"))
    text = _fails(converter, capsys, 1, folder / "a.csv", folder / "b.csv")
    assert f"{folder / 'a.csv'}:1: x2 = 3.00 is outside [0, 1]" in text
    before = {path.name for path in folder.iterdir()}
    (folder / "z.csv").write_text(AVA)
    options = ["--label-map", str(folder / "z.csv"), "--frame-size", "64x64"]
    assert converter([str(folder / "z.csv"), str(folder / "z.json"), *options]) == 1
    assert {path.name for path in folder.iterdir()} == before | {"z.csv"}


MUTATED = {
    **{form: (text, ".csv") for form, text in SAMPLES.values()},
    "label-json": ('{"1": "bend", "12": "stand"}', ".json"),
    "label-text": ("1: bend\n12: stand\n", ".txt"),
}


@pytest.mark.parametrize("form", MUTATED)
def test_mutated_files_end_in_a_message(converter, folder, capsys, form):
    """Whatever is done to a file, the command converts it or says what is wrong with it."""
    text, suffix = MUTATED[form]
    content = text.encode()
    draw = random.Random(form)
    marks = [b"nan", b"-1", b"", b"\0", b'"', b"\r", b"\xff", b"1e999", b"../", b"\t", b"\n\n"]
    source, out = folder / f"mutated{suffix}", folder / "out"
    for _ in range(30):
        place = draw.randrange(len(content))
        length = draw.choice([0, 1, 4, len(content)])
        source.write_bytes(content[:place] + draw.choice(marks) + content[place + length :])
        for told in ([], ["--from", form]):
            arguments = [str(source), str(out), "--to", form, "--overwrite", *told]
            code = converter(arguments)
            error = capsys.readouterr().err
            assert code in (0, 1)
            assert (code == 0) == ("error: " not in error)
