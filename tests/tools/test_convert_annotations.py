"""`tools/convert_annotations.py`: every pair of forms, what is told, what is refused."""

import importlib.util
import json
import pickle
import random
from pathlib import Path
from types import ModuleType

import pytest
from video_files import make_video

from x3d_det.errors import DataError
from x3d_det.formats.convert import check_pair, convert_file, targets_of
from x3d_det.formats.crossings import CROSSINGS
from x3d_det.formats.options import ConvertOptions, find_video
from x3d_det.formats.registry import FORMS
from x3d_det.io.label_map import LabelMap, read_label_map, write_label_map

AVA = "v,0902,0.100,0.200,0.300,0.400,12,0\nw,0903,0.500,0.250,0.750,0.875,80,1\n"
BOXES = "v,0902,0.100,0.200,0.300,0.400,,0.9\nw,0903,0.500,0.250,0.750,0.875,,0.25\n"
DETECTIONS = "v,0902,0.1,0.2,0.3,0.4,12,0.9\nv,0902,0.1,0.2,0.3,0.4,80,0.125\n"
ACTIONS = LabelMap({12: "stand", 80: "watch"}, {12: "PERSON_MOVEMENT"})

# form -> (text of a small file, in the form that its kind's first reader reads), extra options
SAMPLES = {
    "annotations": ("ava", AVA),
    "person boxes": ("person-boxes", BOXES),
    "detections": ("detections", DETECTIONS),
    "keyframes": ("keyframes", "v,0902\nv,0903\nw,0902\nw,0903\n"),
    "videos": ("file-names", "v.mp4\nw.mkv\n"),
    "frame list": ("frame-list", 'original_vido_id video_id frame_id path labels\n'
                   'v 0 0 v/v_000001.jpg ""\nw 1 0 w/w_000001.jpg ""\n'),
}  # fmt: skip


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The command as a module, to run its `main` many times without starting Python."""
    path = Path(__file__).resolve().parents[2] / "tools" / "convert_annotations.py"
    spec = importlib.util.spec_from_file_location("convert_annotations", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that options name."""
    write_label_map(ACTIONS, tmp_path / "actions.pbtxt")
    (tmp_path / "videos.txt").write_text("v\nw\n")
    (tmp_path / "v.mp4").touch()
    (tmp_path / "w.mkv").touch()
    image = {"width": 640, "height": 360}
    content = {
        "images": [
            {"id": 1, "file_name": "v/0902.jpg", **image},
            {"id": 2, "file_name": "w/0903.jpg", **image},
        ],
        "annotations": [],
        "categories": [{"id": 1, "name": "person"}],
    }
    (tmp_path / "images.json").write_text(json.dumps(content))
    return tmp_path


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
def test_every_pair_within_a_kind_comes_back(tool, folder, kind, source, target):
    """sample -> source form -> target form -> sample form: the same bytes as without the pair."""
    first, text = SAMPLES[kind]
    (folder / "sample").write_text(text)
    steps = [(first, source), (source, target), (target, first)]
    at = folder / "sample"
    for number, (old, new) in enumerate(steps):
        to = folder / f"step{number}"
        assert tool.main([str(at), str(to), *_options(folder, old, new)]) == 0
        at = to
    expected = text
    if {source, target} & {"ava-v1.0", "ava-kinetics", "result-ground-truth"}:
        expected = text.replace(",12,0", ",12").replace(",80,1", ",80")
    assert at.read_text() == expected


@pytest.mark.parametrize(("source", "target"), _within("label map"))
def test_every_pair_of_label_maps(tool, folder, source, target):
    at = folder / "actions.pbtxt"
    for step, (old, new) in enumerate([("pbtxt", source), (source, target)]):
        to = folder / f"step{step}{FORMS[new].suffixes[0]}"
        assert tool.main([str(at), str(to), "--from", old, "--to", new]) == 0
        at = to
    assert dict(read_label_map(at).names) == dict(ACTIONS.names)


@pytest.mark.parametrize(("source", "target"), CROSSINGS)
def test_every_crossing(tool, folder, source, target):
    form, text = SAMPLES[source]
    (folder / "sample").write_text(text)
    for other in FORMS.values():
        if other.kind == target and other.write:
            if other.name == "included-seconds" and source in ("annotations", "person boxes"):
                continue  # v and w differ in their seconds
            to = folder / f"to_{other.name}"
            assert (
                tool.main([str(folder / "sample"), str(to), *_options(folder, form, other.name)])
                == 0
            )
            assert to.stat().st_size > 0


def test_annotated_boxes_become_persons_once(tool, folder, capsys):
    (folder / "a.csv").write_text(
        "v,0902,0.1,0.2,0.3,0.4,12,0\nv,0902,0.1,0.2,0.3,0.4,80,0\nv,0903\n"
    )
    assert tool.main([str(folder / "a.csv"), str(folder / "b.pkl")]) == 0
    content = pickle.loads((folder / "b.pkl").read_bytes())
    assert {key: array.tolist() for key, array in content.items()} == {
        "v,0902": [[0.1, 0.2, 0.3, 0.4, 1.0]]
    }
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        f"read {folder / 'a.csv'} as ava: 2 rows and 1 empty keyframes",
        "note: 2 rows are 1 boxes of persons, score 1; actions and person ids are left out",
        "note: 1 keyframes without a box are left out; MMAction2 takes the whole frame there",
        f"wrote {folder / 'b.pkl'} as mmaction2-proposals",
    ]
    assert captured.err == f"reading {folder / 'a.csv'} as ava\n"


def test_what_a_target_cannot_hold_is_counted(tool, folder, capsys):
    (folder / "a.csv").write_text(AVA + "w,0903\nw,0904\n")
    (folder / "b.csv").write_text(BOXES.replace(",,", ",12,") + "w,0903,0.5,0.25,0.75,0.875,-1,1\n")

    def notes(*arguments: object) -> list[str]:
        assert tool.main([str(argument) for argument in arguments]) == 0
        lines = capsys.readouterr().out.splitlines()
        return [line.removeprefix("note: ") for line in lines if line.startswith("note: ")]

    source = folder / "a.csv"
    assert notes(source, folder / "k.csv", "--to", "ava-kinetics") == ["2 person ids are left out"]
    assert notes(source, folder / "r.csv", "--to", "result-ground-truth") == [
        "2 person ids are left out",
        "2 empty keyframes are left out",
    ]
    assert notes(source, folder / "c.json", "--frame-size", "640x360") == [
        "2 categories are called action_1 and so on; --label-map names them",
        "1 keyframes are named as empty but have boxes: not empty now",
    ]
    assert notes(folder / "b.csv", folder / "p.pkl", "--from", "person-boxes") == [
        "3 labels are left out",
        "1 rows repeat a box and are joined with its first",
    ]
    assert notes(folder / "actions.pbtxt", folder / "m.json") == [
        "1 groups of actions are left out"
    ]
    (folder / "names.txt").write_text("v.mp4\n")
    assert notes(folder / "names.txt", folder / "ids.txt") == [
        "1 suffixes of file names are left out"
    ]
    assert notes(source, folder / "frames.csv", "--to", "frame-list", "--fps", "30000/1001",
                 "--video-start-seconds", "0", "--video-end-seconds", "2") == [
        "60 frames for each of 2 videos: 29.97 a second from second 0 to 2 of the film; "
        "no frame was looked for"
    ]  # fmt: skip


def test_rounding_is_told(tool, folder, capsys):
    (folder / "a.csv").write_text("v,0902,0.1234,0.2,0.3,0.4,12,0\nv,0903,0.1,0.2,0.3,0.4,12,0\n")
    assert tool.main([str(folder / "a.csv"), str(folder / "b.csv"), "--decimals", "3"]) == 0
    assert "note: 1 of 2 boxes are rounded to 3 decimals\n" in capsys.readouterr().out
    assert (folder / "b.csv").read_text().startswith("v,0902,0.123,0.200,")
    (folder / "d.csv").write_text(DETECTIONS.replace("0.1,", "0.1234,"))
    assert tool.main([str(folder / "d.csv"), str(folder / "e.csv"), "--decimals", "3"]) == 0
    assert "note: 2 boxes are rounded to 3 decimals\n" in capsys.readouterr().out
    assert (folder / "e.csv").read_text().startswith("v,0902,0.123,0.2,0.3,0.4,12,0.9\n")


def test_detections_without_a_score_are_told(tool, folder, capsys):
    (folder / "d.csv").write_text("v,0902,0.1,0.2,0.3,0.4,12\nv,0903\n")
    arguments = [str(folder / "d.csv"), str(folder / "e.csv"), "--from", "detections"]
    assert tool.main(arguments) == 0
    out = capsys.readouterr().out
    assert "note: 1 rows have no score; 1 is taken, as the evaluators do\n" in out
    assert "note: 1 rows of two columns carry no detection and are left out\n" in out
    assert (folder / "e.csv").read_text() == "v,0902,0.1,0.2,0.3,0.4,12,1\n"


def test_a_label_map_of_the_source_is_written_beside(tool, folder, capsys):
    (folder / "a.csv").write_text(AVA)
    to_coco = ["--frame-size", "640x360", "--label-map", str(folder / "actions.pbtxt")]
    assert tool.main([str(folder / "a.csv"), str(folder / "c.json"), *to_coco]) == 0
    assert tool.main([str(folder / "c.json"), str(folder / "d.csv.gz")]) == 0
    assert read_label_map(folder / "d_label_map.pbtxt") == ACTIONS
    assert f"wrote {folder / 'd_label_map.pbtxt'}: the names" in capsys.readouterr().out
    to = [str(folder / "c.json"), str(folder / "e.csv"), "--label-map-out", str(folder / "m.pbtxt")]
    assert tool.main(to) == 0
    assert read_label_map(folder / "m.pbtxt") == ACTIONS


def test_ids_from_zero(tool, folder, capsys):
    (folder / "m.json").write_text('{"bend": 0, "crawl": 1}')
    arguments = [str(folder / "m.json"), str(folder / "m.pbtxt")]
    assert tool.main(arguments) == 1
    assert "--first-id 0 adds 1 to each" in capsys.readouterr().err
    assert tool.main([*arguments, "--first-id", "0"]) == 0
    assert "note: 1 was added to every id: the first is now 1\n" in capsys.readouterr().out
    assert dict(read_label_map(folder / "m.pbtxt").names) == {1: "bend", 2: "crawl"}


def _fails(tool, capsys, code: int, *arguments: object) -> str:
    assert tool.main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.err


def test_what_makes_no_sense_is_refused_with_its_reason(tool, folder, capsys):
    (folder / "d.csv").write_text(DETECTIONS)
    (folder / "a.csv").write_text(AVA)
    source, out = folder / "d.csv", folder / "out"
    text = _fails(tool, capsys, 1, source, out, "--to", "mmaction2-proposals")
    assert "a detection's score is that of an action, not of a person. It can become det" in text
    text = _fails(tool, capsys, 1, folder / "a.csv", out, "--to", "pbtxt")
    assert "ava (annotations) cannot become pbtxt (label map): rows hold ids, not names" in text
    text = _fails(tool, capsys, 1, folder / "a.csv", out, "--to", "cvat")
    assert "the form cvat can be read, not written" in text
    text = _fails(tool, capsys, 1, folder / "a.csv", out, "--to", "coko")
    assert "'coko' is no form; did you mean coco?" in text
    assert not out.exists()


def test_options_without_effect_and_missing_ones(tool, folder, capsys):
    (folder / "a.csv").write_text(AVA)
    source = folder / "a.csv"
    text = _fails(tool, capsys, 2, source, folder / "b.csv", "--fps", "30", "--first-id", "0")
    assert "--fps, --first-id has no effect from ava to ava; leave it out" in text
    text = _fails(tool, capsys, 2, source, folder / "b.csv", "--label-map-out", folder / "m.pbtxt")
    assert "--label-map-out has no effect from ava to ava" in text
    text = _fails(tool, capsys, 2, source)
    assert "give IN and OUT, or --list-forms" in text
    text = _fails(tool, capsys, 1, source, folder / "b.json")
    assert "boxes of COCO are in pixels; give --frame-size WxH, or --videos DIR" in text
    text = _fails(tool, capsys, 1, source, folder / "b.json", "--to", "coco-results")
    assert "counts the images of a data set; name it with --images" in text
    (folder / "s.txt").write_text("0902\n")
    text = _fails(tool, capsys, 1, folder / "s.txt", folder / "b.csv")
    assert "a list of seconds holds for every video of a list; name that list with --vid" in text
    assert not (folder / "b.json").exists()


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--frame-size", "640", "'640' is no size; write WIDTHxHEIGHT, as in 640x360"),
        ("--fps", "0", "'0' is no rate, as in 25, 29.97 or 30000/1001"),
        ("--fps", "fast", "'fast' is no rate"),
        ("--video-start-seconds", "x", "'x' is no number from 0, as in 30 or 29.97"),
        ("--decimals", "0", "invalid choice: 0"),
    ],
)
def test_impossible_values_of_options(tool, capsys, option, value, text):
    assert text in _fails(tool, capsys, 2, "a", "b", option, value)


def test_nothing_is_replaced_unasked(tool, folder, capsys):
    (folder / "a.csv").write_text(AVA)
    (folder / "b.csv").write_text("old")
    source, out = folder / "a.csv", folder / "b.csv"
    text = _fails(tool, capsys, 1, source, out)
    assert f"{out} exists; name another OUT, or add --overwrite" in text
    assert out.read_text() == "old"
    assert tool.main([str(source), str(out), "--overwrite"]) == 0
    assert out.read_text() == AVA
    assert "OUT is IN" in _fails(tool, capsys, 1, source, source, "--overwrite")
    text = _fails(tool, capsys, 1, source, folder / "none" / "b.csv")
    assert f"there is no folder {folder / 'none'}; make it" in text
    coco = folder / "c.json"
    assert tool.main([str(source), str(coco), "--frame-size", "64x64"]) == 0
    (folder / "d_label_map.pbtxt").write_text("old")
    text = _fails(tool, capsys, 1, coco, folder / "d.csv")
    assert "d_label_map.pbtxt exists" in text
    assert not (folder / "d.csv").exists()


def test_a_faulty_file_leaves_nothing_behind(tool, folder, capsys):
    (folder / "a.csv").write_text(AVA.replace("0.300", "3.00"))
    text = _fails(tool, capsys, 1, folder / "a.csv", folder / "b.csv")
    assert f"{folder / 'a.csv'}:1: x2 = 3.00 is outside [0, 1]" in text
    before = {path.name for path in folder.iterdir()}
    (folder / "z.csv").write_text(AVA)
    options = ["--label-map", str(folder / "z.csv"), "--frame-size", "64x64"]
    assert tool.main([str(folder / "z.csv"), str(folder / "z.json"), *options]) == 1
    assert {path.name for path in folder.iterdir()} == before | {"z.csv"}


def test_sizes_of_videos_are_looked_up(tool, folder):
    films = folder / "films"
    films.mkdir()
    for name, width in (("v.mp4", 64), ("w.mkv", 128)):
        make_video(films / name, num_frames=2, height=48, width=width)
    (folder / "a.csv").write_text(AVA)
    assert tool.main([str(folder / "a.csv"), str(folder / "c.json"), "--videos", str(films)]) == 0
    images = json.loads((folder / "c.json").read_text())["images"]
    assert [(image["width"], image["height"]) for image in images] == [(64, 48), (128, 48)]
    assert find_video(films, "w") == films / "w.mkv"
    with pytest.raises(DataError, match=r"one video file of x .*, found none"):
        find_video(films, "x")
    (films / "v.avi").touch()
    with pytest.raises(DataError, match=r"one video file of v .*, found v\.mp4, v\.avi"):
        find_video(films, "v")
    with pytest.raises(DataError, match=r"--videos .*none: there is no such folder"):
        find_video(films / "none", "v")


def test_an_export_of_cvat_becomes_ava_with_its_label_map(tool, folder):
    """The forms that are only read are reached by the command too."""
    boxes = "".join(
        f'<box frame="{frame}" outside="0" occluded="0" keyframe="1" xtl="64" ytl="36" '
        f'xbr="320" ybr="180"><attribute name="action">stand</attribute></box>'
        for frame in (0, 25)
    )
    (folder / "cvat.xml").write_text(
        "<annotations><version>1.1</version><meta><task><name>film</name><size>26</size>"
        "<mode>interpolation</mode><labels><label><name>person</name><attributes><attribute>"
        "<name>action</name><mutable>True</mutable><input_type>select</input_type>"
        "<values>stand\nwalk</values></attribute></attributes></label></labels>"
        "<original_size><width>640</width><height>360</height></original_size>"
        "<source>film.mp4</source></task></meta>"
        f'<track id="3" label="person" source="manual">{boxes}</track></annotations>'
    )
    arguments = [str(folder / "cvat.xml"), str(folder / "o.csv"), "--fps", "25"]
    assert tool.main([*arguments, "--video-start-seconds", "900"]) == 0
    assert (folder / "o.csv").read_text() == (
        "film,0900,0.100,0.100,0.500,0.500,1,3\nfilm,0901,0.100,0.100,0.500,0.500,1,3\n"
    )
    assert dict(read_label_map(folder / "o_label_map.pbtxt").names) == {1: "stand", 2: "walk"}


def test_list_forms_names_every_form(tool, capsys):
    assert tool.main(["--list-forms"]) == 0
    out = capsys.readouterr().out
    for form in FORMS.values():
        assert f"  {form.name}" in out
    assert "annotations   -> ava," in out


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


def test_as_a_user_runs_it(run_tool, tmp_path):
    (tmp_path / "boxes.csv").write_text(BOXES)
    done = run_tool("convert_annotations.py", tmp_path / "boxes.csv", tmp_path / "boxes.pkl")
    assert done.returncode == 0, done.stderr
    assert f"wrote {tmp_path / 'boxes.pkl'} as mmaction2-proposals" in done.stdout
    assert len(pickle.loads((tmp_path / "boxes.pkl").read_bytes())) == 2
    done = run_tool("convert_annotations.py", tmp_path / "none.csv", tmp_path / "o.csv")
    assert done.returncode == 1
    text = f"{tmp_path / 'none.csv'}: there is no such file or folder."
    assert done.stderr == f"convert_annotations.py: error: {text}\n"


MUTATED = {
    **{form: (text, ".csv") for form, text in SAMPLES.values()},
    "label-json": ('{"1": "bend", "12": "stand"}', ".json"),
    "label-text": ("1: bend\n12: stand\n", ".txt"),
}


@pytest.mark.parametrize("form", MUTATED)
def test_mutated_files_end_in_a_message(tool, folder, capsys, form):
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
            code = tool.main(arguments)
            error = capsys.readouterr().err
            assert code in (0, 1)
            assert (code == 0) == ("error: " not in error)


def test_the_page_names_every_form(repository):
    page = (repository / "docs" / "formats.md").read_text(encoding="utf-8")
    assert [name for name in FORMS if f"`{name}`" not in page] == []
