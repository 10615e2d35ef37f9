"""CVAT's exports with faults: all named at once with their lines, nothing run or unpacked."""

import contextlib
import zipfile

import pytest
from cvat_files import (
    IMAGES,
    WALK_RUN,
    attribute_xml,
    box_xml,
    error_of,
    export_xml,
    fps_of,
    label_xml,
    read_export,
    task_xml,
    track_xml,
    value_xml,
)
from hypothesis import HealthCheck, given, settings
from imported_rows import rows_of
from mutations import mutated
from strange_zips import strange_zip

from x3d_det.errors import DataError, VideoError
from x3d_det.formats.exports.cvat import read_cvat
from x3d_det.formats.exports.imported import ImportOptions

# Faults


def test_all_faults_at_once_with_their_lines(tmp_path):
    body = "\n".join(
        [
            track_xml(0, "walk", box_xml(0, (20, 0, 10, 20))),
            track_xml(1, "walk", box_xml(0, (0, 0, "wide", 20))),
            track_xml(2, "walk", box_xml("x", (0, 0, 9, 20))),
            track_xml(3, "walk", box_xml(0, (0, 0, 9, 20)).replace('ybr="20"', "")),
            track_xml(4, "walk", box_xml(0, (0, 0, 9, 20), outside="maybe")),
            track_xml(5, "walk", box_xml(0, (0, 0, 9, 20)), box_xml(0, (0, 0, 9, 20))),
            track_xml(6, "jump", box_xml(0, (0, 0, 9, 20))),
            '<track id="7"><box frame="0" xtl="0" ytl="0" xbr="9" ybr="1e999"/></track>',
        ]
    )
    found = error_of(tmp_path, export_xml(task_xml(WALK_RUN), body))
    for text in (
        "F:5: the box from (20, 0) to (10, 20) has no area",
        "F:7: xbr is 'wide'; it must be a finite number.",
        "F:9: frame is 'x'; it must be a whole number from 0.",
        "F:11: <box> has no ybr; export the task again.",
        "F:13: outside is 'maybe'; it must be 0 or 1.",
        "F:16: the track has a second box at frame 0",
        "F:18: action 'jump' (1 boxes in all) is not in the export's own list of actions",
        "F:20: ybr is '1e999'; it must be a finite number.",
    ):
        assert text in found
    assert len(found.splitlines()) == 8


def test_many_faults_are_counted(tmp_path):
    boxes = [box_xml(f, (20, 0, 10, 20)) for f in range(0, 750, 30)]
    found = error_of(
        tmp_path,
        export_xml(
            task_xml(WALK_RUN, stop=900),
            "".join(track_xml(i, "walk", box) for i, box in enumerate(boxes)),
        ),
    )
    assert len(found.splitlines()) == 21
    assert "and 5 more faults" in found


def test_checkbox_that_is_neither(tmp_path):
    person = label_xml("person", attribute_xml("sit", "checkbox"))
    body = track_xml(0, "person", box_xml(0, (0, 0, 9, 9), inside=value_xml("sit", "perhaps")))
    found = error_of(tmp_path, export_xml(task_xml(person), body))
    assert "F:5: the checkbox 'sit' is 'perhaps'; it must be true or false." in found


def test_rate_and_size_that_cannot_be(tmp_path):
    body = track_xml(0, "walk", box_xml(0, (0, 0, 9, 9))) * 2
    text = export_xml(task_xml(WALK_RUN), body)
    assert "F:4: the export does not state the frame rate of video clip" in error_of(
        tmp_path, text, fps=None
    )
    found = error_of(tmp_path, text, fps=fps_of(0))
    assert "the frame rate of video clip is 0.0" in found
    assert len(found.splitlines()) == 1

    def absent(video_id):
        raise VideoError(f"videos/{video_id}.mp4: there is no such video file.")

    assert "videos/clip.mp4: there is no such video file" in error_of(tmp_path, text, fps=absent)
    assert "closer than the frames" in error_of(tmp_path, text, keyframe_interval_seconds=0.01)
    assert "keyframe_interval_seconds is -1" in error_of(
        tmp_path, text, keyframe_interval_seconds=-1
    )
    assert "video_start_seconds is nan" in error_of(
        tmp_path, text, video_start_seconds=float("nan")
    )
    assert "first_frame_number is -1" in error_of(tmp_path, text, first_frame_number=-1)
    flat = export_xml(task_xml(WALK_RUN, size="<width>0</width>"), body)
    assert "the frame is 0 x 100 pixels" in error_of(tmp_path, flat)
    huge = export_xml(task_xml(WALK_RUN, stop=10**14), body)
    assert "is not in 0 to 604,800 (a week)" in error_of(tmp_path, huge)
    many = export_xml(task_xml(WALK_RUN, stop=6 * 10**6), body)
    assert "more than 1,000,000 keyframes" in error_of(
        tmp_path, many, keyframe_interval_seconds=0.1
    )


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("a,b.mp4", "holds ','"),
        ("a&quot;b.mp4", "holds '\"'"),
        ("a..mp4.b", "holds '..'"),
    ],
)
def test_video_names_that_ava_cannot_carry(tmp_path, source, what):
    body = track_xml(0, "walk", box_xml(0, (0, 0, 9, 9))) * 2
    text = export_xml(task_xml(WALK_RUN, source=source), body)
    found = error_of(tmp_path, text)
    assert what in found
    assert len(found.splitlines()) == 1
    assert rows_of(read_export(tmp_path, text, video_id="good"))[0][0] == "good"
    assert "the video's name 'a/b' holds '/'" in error_of(tmp_path, text, video_id="a/b")


def test_nothing_to_import(tmp_path):
    found = error_of(tmp_path, export_xml(task_xml(WALK_RUN)))
    assert "no box with an action stands on any of the 0 annotated keyframes" in found
    between = error_of(
        tmp_path, export_xml(task_xml(WALK_RUN), track_xml(0, "walk", box_xml(3, (0, 0, 9, 9))))
    )
    assert "on any of the 3 annotated keyframes" in between
    assert "has no task, job or project" in error_of(tmp_path, export_xml(""))
    found = error_of(tmp_path, f"<annotations>{IMAGES}</annotations>")
    assert "F:1: <image> comes before <meta>" in found
    assert "the outermost element is <html>, not <annotations>" in error_of(tmp_path, "<html/>")


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;">]>'
    "<annotations>&lol2;</annotations>"
)
EXTERNAL = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    "<annotations>&e;</annotations>"
)


@pytest.mark.parametrize(
    "text", [LAUGHS, EXTERNAL, "<!DOCTYPE x SYSTEM 'http://h/x'><annotations/>"]
)
def test_entities_are_refused_in_one_line(tmp_path, text):
    found = error_of(tmp_path, text)
    assert "declares a document type or entities" in found
    assert "\n" not in found


def test_files_that_are_no_xml(tmp_path):
    assert "F:1: no XML: no element found" in error_of(tmp_path, "")
    assert "F:2: no XML: mismatched tag" in error_of(tmp_path, "<annotations>\n<a></annotations>")
    assert "no readable XML" in error_of(tmp_path, '<?xml version="1.0" encoding="gbk"?><a/>')
    deep = "<annotations>" + "<a>" * 100 + "</a>" * 100 + "</annotations>"
    assert "deeper than 64 elements" in error_of(tmp_path, deep)
    with pytest.raises(DataError, match=r"cannot read .*absent\.xml: No such file"):
        read_cvat(tmp_path / "absent.xml", ImportOptions(fps=fps_of(30)))


def test_zips_that_cannot_be_read(tmp_path, monkeypatch):
    def packed(**members):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name.replace("__", "."), content)
        with pytest.raises(DataError) as caught:
            read_cvat(tmp_path / "a.zip", ImportOptions(fps=fps_of(30)))
        return str(caught.value)

    assert "holds 0 files that end in .xml (none)" in packed(a__txt="")
    assert "holds 2 files that end in .xml ('a.xml', 'b.xml')" in packed(a__xml="", b__xml="")
    monkeypatch.setattr("x3d_det.formats.foreign_files.MAX_FILE_BYTES", 1000)
    assert "a.zip/a.xml holds 1,001 bytes; at most 1,000 are read" in packed(a__xml=" " * 1001)
    (tmp_path / "b.xml").write_text(" " * 1001)
    with pytest.raises(DataError, match="holds 1,001 bytes"):
        read_cvat(tmp_path / "b.xml", ImportOptions(fps=fps_of(30)))
    damaged = bytearray((tmp_path / "a.zip").read_bytes())
    damaged[45] ^= 0xFF
    monkeypatch.undo()
    (tmp_path / "a.zip").write_bytes(bytes(damaged))
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_cvat(tmp_path / "a.zip", ImportOptions(fps=fps_of(30)))


@pytest.mark.parametrize("kind", ["locked", "method"])
def test_zips_that_python_cannot_unpack(tmp_path, kind):
    (tmp_path / "a.zip").write_bytes(strange_zip("a.xml", kind))
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_cvat(tmp_path / "a.zip", ImportOptions(fps=fps_of(30)))


# Mutations

PERSON = label_xml("person", attribute_xml("sit", "checkbox"), attribute_xml("id", "text"))
SEEDS = [
    export_xml(
        task_xml(PERSON, extra="<frame_filter>step=2</frame_filter>"),
        track_xml(
            0,
            "person",
            box_xml(0, (0, 0, 9, 9), inside=value_xml("sit", "true")),
            box_xml(30, (5, 5, 19, 19)),
            box_xml(40, (5, 5, 19, 19), outside=1),
        ),
    ).encode(),
    export_xml(task_xml(WALK_RUN), IMAGES).encode(),
]
TOKENS = [b"", b"-1", b"1e400", b"nan", b"\xff", b"<", b'"', b"0", b"</track>", b"<box/>", b"&x;"]


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=mutated(SEEDS, TOKENS))
def test_mutations_end_in_a_result_or_a_data_error(tmp_path, text):
    with contextlib.suppress(DataError):
        boxes = read_export(tmp_path, text).annotations.rows[["x1", "y1", "x2", "y2"]].to_numpy()
        assert ((boxes >= 0) & (boxes <= 1)).all()
        assert (boxes[:, :2] < boxes[:, 2:]).all()
