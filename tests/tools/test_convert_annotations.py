"""tools/convert_annotations.py as a user runs it: what it writes, and what it tells of it."""

import json
import pickle

import pytest
from annotation_samples import ACTIONS, AVA, BOXES, DETECTIONS
from video_files import make_video

from x3d_det.errors import DataError
from x3d_det.formats.options import find_video
from x3d_det.formats.registry import FORMS
from x3d_det.io.label_map import read_label_map


def test_annotated_boxes_become_persons_once(converter, folder, capsys):
    (folder / "a.csv").write_text(
        "v,0902,0.1,0.2,0.3,0.4,12,0\nv,0902,0.1,0.2,0.3,0.4,80,0\nv,0903\n"
    )
    assert converter([str(folder / "a.csv"), str(folder / "b.pkl")]) == 0
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


def test_what_a_target_cannot_hold_is_counted(converter, folder, capsys):
    (folder / "a.csv").write_text(AVA + "w,0903\nw,0904\n")
    (folder / "b.csv").write_text(BOXES.replace(",,", ",12,") + "w,0903,0.5,0.25,0.75,0.875,-1,1\n")

    def notes(*arguments: object) -> list[str]:
        assert converter([str(argument) for argument in arguments]) == 0
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


def test_rounding_is_told(converter, folder, capsys):
    (folder / "a.csv").write_text("v,0902,0.1234,0.2,0.3,0.4,12,0\nv,0903,0.1,0.2,0.3,0.4,12,0\n")
    assert converter([str(folder / "a.csv"), str(folder / "b.csv"), "--decimals", "3"]) == 0
    assert "note: 1 of 2 boxes are rounded to 3 decimals\n" in capsys.readouterr().out
    assert (folder / "b.csv").read_text().startswith("v,0902,0.123,0.200,")
    (folder / "d.csv").write_text(DETECTIONS.replace("0.1,", "0.1234,"))
    assert converter([str(folder / "d.csv"), str(folder / "e.csv"), "--decimals", "3"]) == 0
    assert "note: 2 boxes are rounded to 3 decimals\n" in capsys.readouterr().out
    assert (folder / "e.csv").read_text().startswith("v,0902,0.123,0.2,0.3,0.4,12,0.9\n")


def test_detections_without_a_score_are_told(converter, folder, capsys):
    (folder / "d.csv").write_text("v,0902,0.1,0.2,0.3,0.4,12\nv,0903\n")
    arguments = [str(folder / "d.csv"), str(folder / "e.csv"), "--from", "detections"]
    assert converter(arguments) == 0
    out = capsys.readouterr().out
    assert "note: 1 rows have no score; 1 is taken, as the evaluators do\n" in out
    assert "note: 1 rows of two columns carry no detection and are left out\n" in out
    assert (folder / "e.csv").read_text() == "v,0902,0.1,0.2,0.3,0.4,12,1\n"


def test_a_label_map_of_the_source_is_written_beside(converter, folder, capsys):
    (folder / "a.csv").write_text(AVA)
    to_coco = ["--frame-size", "640x360", "--label-map", str(folder / "actions.pbtxt")]
    assert converter([str(folder / "a.csv"), str(folder / "c.json"), *to_coco]) == 0
    assert converter([str(folder / "c.json"), str(folder / "d.csv.gz")]) == 0
    assert read_label_map(folder / "d_label_map.pbtxt") == ACTIONS
    assert f"wrote {folder / 'd_label_map.pbtxt'}: the names" in capsys.readouterr().out
    to = [str(folder / "c.json"), str(folder / "e.csv"), "--label-map-out", str(folder / "m.pbtxt")]
    assert converter(to) == 0
    assert read_label_map(folder / "m.pbtxt") == ACTIONS


def test_ids_from_zero(converter, folder, capsys):
    (folder / "m.json").write_text('{"bend": 0, "crawl": 1}')
    arguments = [str(folder / "m.json"), str(folder / "m.pbtxt")]
    assert converter(arguments) == 1
    assert "--first-id 0 adds 1 to each" in capsys.readouterr().err
    assert converter([*arguments, "--first-id", "0"]) == 0
    assert "note: 1 was added to every id: the first is now 1\n" in capsys.readouterr().out
    assert dict(read_label_map(folder / "m.pbtxt").names) == {1: "bend", 2: "crawl"}


def test_sizes_of_videos_are_looked_up(converter, folder):
    films = folder / "films"
    films.mkdir()
    for name, width in (("v.mp4", 64), ("w.mkv", 128)):
        make_video(films / name, num_frames=2, height=48, width=width)
    (folder / "a.csv").write_text(AVA)
    assert converter([str(folder / "a.csv"), str(folder / "c.json"), "--videos", str(films)]) == 0
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


def test_an_export_of_cvat_becomes_ava_with_its_label_map(converter, folder):
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
    assert converter([*arguments, "--video-start-seconds", "900"]) == 0
    assert (folder / "o.csv").read_text() == (
        "film,0900,0.100,0.100,0.500,0.500,1,3\nfilm,0901,0.100,0.100,0.500,0.500,1,3\n"
    )
    assert dict(read_label_map(folder / "o_label_map.pbtxt").names) == {1: "stand", 2: "walk"}


def test_list_forms_names_every_form(converter, capsys):
    assert converter(["--list-forms"]) == 0
    out = capsys.readouterr().out
    for form in FORMS.values():
        assert f"  {form.name}" in out
    assert "annotations   -> ava," in out


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


def test_the_page_names_every_form(repository):
    page = (repository / "docs" / "formats.md").read_text(encoding="utf-8")
    assert [name for name in FORMS if f"`{name}`" not in page] == []
