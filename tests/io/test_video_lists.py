"""Lists of labelled videos: every form, what they leave open, and every error text."""

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from x3d_det.errors import DataError
from x3d_det.io.video_lists import (
    VIDEO_LIST_FORMS,
    LabelledVideo,
    read_class_names,
    read_video_list,
)

NAMES = ("air drumming", "clap", "wave")


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    for name in (
        "a.mp4",
        "b b.mp4",
        "sub/c,d.webm",
        "clap/Ab_cdefghij_000010_000020.mp4",
        "air_drumming/-Bcdefghijk.mkv",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def write(tmp_path, text, name="train.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def read(path, videos, names=NAMES, **options):
    return read_video_list(path, videos_folder=videos, class_names=names, **options)


# --- path and label ---


@pytest.mark.parametrize("form", ["auto", "pyslowfast", "mmaction2"])
def test_path_and_label(tmp_path, videos, form):
    path = write(tmp_path, f"a.mp4 0\r\n\nb b.mp4\t2\n{videos}/sub/c,d.webm, 1\n")
    found = read(path, videos, form=form)
    assert found.videos == (
        LabelledVideo(videos / "a.mp4", 0, f"{path}:1"),
        LabelledVideo(videos / "b b.mp4", 2, f"{path}:3"),
        LabelledVideo(videos / "sub/c,d.webm", 1, f"{path}:4"),
    )
    assert (found.class_names, found.notes) == (NAMES, ())


@pytest.mark.parametrize("line", ["a.mp4,1", "a.mp4 , 1", '"a.mp4",1', "a 1", "a.mp4   1  "])
def test_ways_of_writing_a_line(tmp_path, videos, line):
    (video,) = read(write(tmp_path, f"\ufeff{line}"), videos).videos
    assert (video.path, video.label) == (videos / "a.mp4", 1)


def test_without_names_labels_are_numbered(tmp_path, videos):
    found = read(write(tmp_path, "a.mp4 2\n"), videos, names=None)
    assert found.class_names == ("class 0", "class 1", "class 2")
    assert found.notes == (
        "the list names no classes; its labels are called class 0 to class 2.",
        "2 of 3 classes have no video: class 0, class 1.",
    )


# --- the official csv ---

HEADER = "label,youtube_id,time_start,time_end,split\n"
OFFICIAL = HEADER + '"clap",Ab_cdefghij,10,20,train\nair drumming,-Bcdefghijk,5.0,15.0,train\n'


@pytest.mark.parametrize("form", ["auto", "kinetics_csv"])
def test_official_csv(tmp_path, videos, form):
    found = read(write(tmp_path, OFFICIAL), videos, form=form)
    assert [(video.path.name, video.label) for video in found.videos] == [
        ("Ab_cdefghij_000010_000020.mp4", 1),  # below its class
        ("-Bcdefghijk.mkv", 0),  # without seconds, and with an underscore in the class
    ]
    assert found.videos[1].place.endswith("train.csv:3")
    assert found.notes == ("1 of 3 classes have no video: wave.",)


def test_classes_of_an_official_csv_are_its_own_in_alphabetical_order(tmp_path, videos):
    found = read(write(tmp_path, OFFICIAL), videos, names=None)
    assert found.class_names == ("air drumming", "clap")
    assert [video.label for video in found.videos] == [1, 0]


def test_the_folder_of_the_class_comes_first_and_that_of_another_never(tmp_path, videos):
    for place in ("clap", "wave", "elsewhere"):
        (videos / place).mkdir(exist_ok=True)
        (videos / place / "x.mp4").touch()
    rows = "clap,x,0,10,train\nair drumming,x,20,30,train\n"
    found = read(write(tmp_path, HEADER + "wave,a,0,1,train\n" + rows), videos).videos
    assert found[1].path == videos / "clap" / "x.mp4"
    assert found[2].path == videos / "elsewhere" / "x.mp4"  # no class is called so
    (videos / "elsewhere" / "x.mp4").unlink()
    with pytest.raises(DataError, match=r"train.csv:4: x_000020_000030 is missing\."):
        read(write(tmp_path, HEADER + "wave,a,0,1,train\n" + rows), videos)


def test_earlier_endings_count_first(tmp_path, videos):
    (videos / "a.avi").touch()
    text = HEADER + "wave,a,0,1,train\n"
    assert read(write(tmp_path, text), videos).videos[0].path.name == "a.mp4"
    endings = ["avi", "mp4"]
    found = read(write(tmp_path, text), videos, extensions=endings)
    assert found.videos[0].path.name == "a.avi"


# --- class folders ---


@pytest.mark.parametrize("form", ["auto", "class_folders"])
def test_class_folders(tmp_path, videos, form):
    (videos / "empty").mkdir()
    (videos / "clap" / "notes.txt").touch()
    (videos / "clap" / ".hidden").touch()
    found = read(videos, videos, names=None, form=form)
    assert found.class_names == ("air_drumming", "clap", "empty", "sub")
    assert [(video.path.name, video.label) for video in found.videos] == [
        ("-Bcdefghijk.mkv", 0),
        ("Ab_cdefghij_000010_000020.mp4", 1),
        ("c,d.webm", 3),
    ]
    assert found.videos[0].place == str(videos / "air_drumming")
    assert found.notes == (
        "1 files or folders in class folders end in none of mp4, mkv, webm, avi, mov.",
        "1 class folders hold no video: empty.",
        "1 of 4 classes have no video: empty.",
    )


def test_class_folders_with_names(tmp_path, videos):
    with pytest.raises(DataError, match=r"'sub' is none of the 3 classes\."):
        read(videos, videos)
    found = read(videos, videos, names=(*NAMES, "sub"))
    assert [video.label for video in found.videos] == [0, 1, 3]


# --- faults ---


def test_all_faults_at_once(tmp_path, videos):
    path = write(tmp_path, "a.mp4 3\ngone.mp4 1\nb b.mp4 -1\na.mp4 0\nlost.mp4 1\na.mp4 1\n")
    with pytest.raises(DataError) as caught:
        read(path, videos)
    assert str(caught.value).splitlines() == [
        f"{path}:1: label 3 of a.mp4 is outside the 3 classes, 0 to 2.",
        f"{path}:2: gone.mp4 is missing; looked for {videos}/gone.mp4.",
        f"{path}:3: label -1 of b b.mp4 is outside the 3 classes, 0 to 2.",
        f"{path}:5: lost.mp4 is missing; looked for {videos}/lost.mp4.",
        f"{path}:6: a.mp4 is listed at {path}:4 already.",
        f"{path}: faults in the 6 videos that it lists: labels outside the classes (correct them, "
        "or the file of the class names): 2; missing videos (add them, name the folder that they "
        "are in, or take their lines out): 2; videos listed twice (take one of the lines out): 1.",
    ]


def test_many_faults_are_counted(tmp_path, videos):
    path = write(tmp_path, "".join(f"gone{number}.mp4 1\n" for number in range(1234)))
    with pytest.raises(DataError, match=r"the 1,234 videos .*, the first 10 .*: 1,234\.$") as e:
        read(path, videos)
    assert len(str(e.value).splitlines()) == 11


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.mp4\n", r"train.csv:1: 'a.mp4' has no label; a list without labels"),
        ("b b.mp4\n", r"train.csv:1: 'b b.mp4' has no label"),
        ("a.mp4 wave\n", r"'a.mp4 wave' ends in 'wave', which is no label: a whole number"),
        ("a.mp4 1.0\n", r"ends in '1.0', which is no label"),
        (",2\n", r"train.csv:1: .,2. has a label and no path"),
        ("a.mp4 1 2\n", r"'a.mp4 1 2' has two numbers; each video has one label"),
        ("clap/x 300 2\n", r"folder of images, its number of frames and a label \(MMAction2's"),
        ("\n \n", r"train.csv: lists no video"),
        (HEADER, r"train.csv: lists no video"),
        ("youtube_id,time_start,time_end,split\n", r"train.csv:1: there is no column label; a li"),
        ("label,youtube_id,split\n", r"train.csv:1: there is no column time_start; the official"),
        (HEADER + "a,b,c\n", r"train.csv:2: 3 columns where the header has 5; a label that"),
        (HEADER + "clap,a,x,20,train\n", r"train.csv:2: 'x' and '20' are no seconds"),
        (HEADER + "clap,a,inf,20,train\n", r"train.csv:2: 'inf' and '20' are no seconds"),
        (HEADER + "clab,a,10,20,train\n", r"train.csv:2: 'clab' is none of the 3 classes; did y"),
        (HEADER + 'clap,"a,10,20,train\n', r"train.csv:2: unexpected end of data; save the list"),
        (HEADER + "clap,gone,10,20,\n", r"train.csv:2: gone_000010_000020 is missing\.\n"),
    ],
)
def test_faults_of_lines(tmp_path, videos, text, message):
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, text), videos)


def test_faults_of_files(tmp_path, videos):
    (tmp_path / "latin.csv").write_bytes(b"a.mp4 0\n\xe9.mp4 1\n")
    with pytest.raises(DataError, match=r"latin.csv:2: byte 0xe9 is not UTF-8"):
        read(tmp_path / "latin.csv", videos)
    with pytest.raises(DataError, match=r"cannot read .*gone.csv: No such file"):
        read(tmp_path / "gone.csv", videos)
    path = write(tmp_path, "a.mp4 0\n")
    with pytest.raises(DataError, match=r"train.csv: is no folder; the form class_folders needs"):
        read(path, videos, form="class_folders")
    with pytest.raises(DataError, match=r"videos: is a folder; the form class_folders needs"):
        read(videos, videos, form="mmaction2")
    with pytest.raises(DataError, match=r"sub: holds no folders; each class is a folder"):
        read(videos / "sub", videos)
    with pytest.raises(DataError, match=r"nowhere: no folder of videos: No such file"):
        read(write(tmp_path, OFFICIAL), tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"form is 'mmaction'; .*did you mean mmaction2"):
        read(path, videos, form="mmaction")
    assert set(VIDEO_LIST_FORMS) > {"mmaction2", "auto"}


def test_missing_videos_may_be_skipped(tmp_path, videos):
    path = write(tmp_path, "a.mp4 0\ngone.mp4 1\nb b.mp4 2\n")
    found = read(path, videos, skip_missing=True)
    assert [video.path.name for video in found.videos] == ["a.mp4", "b b.mp4"]
    assert found.notes[0] == "1 of 3 videos are missing: gone.mp4."
    with pytest.raises(DataError, match=r"train.csv: none of its 1 videos is in .*videos\."):
        read(write(tmp_path, "gone.mp4 1\n"), videos, skip_missing=True)


# --- names of classes ---


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "air drumming\nclap\r\nwave\n\n"),
        ("names.csv", "id,name\n0,air drumming\n1,clap\n2,wave\n"),
        ("names.csv", "id,name\n2,wave\n0,air drumming\n1,clap\n"),
        ("names.json", json.dumps({'"air drumming"': 0, "wave": 2, "clap": 1})),  # PySlowFast's
        ("names.json", json.dumps(NAMES)),
        ("names.json", json.dumps({"0": "air drumming", "1": "clap", "2": "wave"})),
    ],
)
def test_class_names(tmp_path, name, text):
    assert read_class_names(write(tmp_path, text, name)) == NAMES


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("n.txt", "", r"n.txt: holds no class"),
        ("n.txt", "a\n\nb\n", r"n.txt:2: the class has no name"),
        ("n.txt", "a\nb\na\n", r"n.txt:3: 'a' stands at .*n.txt:1 already"),
        ("n.csv", "id,name\n1,a\n2,b\n", r"n.csv: the ids of 2 classes run from 1 to 2; .*0 to 1"),
        ("n.csv", "id,name\n0,a\n0,b\n", r"n.csv:3: the id 0 of 'b' is no whole number or stand"),
        ("n.csv", "id,name\nx,a\n", r"n.csv:2: the id x of 'a' is no whole number"),
        ("n.json", "{", r"n.json:1: this is no json"),
    ],
)
def test_faults_of_class_names(tmp_path, name, text, message):
    with pytest.raises(DataError, match=message):
        read_class_names(write(tmp_path, text, name))


def test_class_names_that_are_no_text(tmp_path):
    (tmp_path / "n.txt").write_bytes(b"a\n\xff\n")
    with pytest.raises(DataError, match=r"n.txt: byte 0xff is not UTF-8"):
        read_class_names(tmp_path / "n.txt")
    with pytest.raises(DataError, match=r"cannot read .*gone.txt"):
        read_class_names(tmp_path / "gone.txt")


PIECES = ["a.mp4", "b b.mp4", " ", ",", "\t", '"', "0", "2", "-1", "9" * 30, "é", "\x00", "\u2028"]
PIECES += ["/", "..", "x" * 300, "\n", "\r\n", HEADER, "clap", "-Bcdefghijk", "10", "nan", "1e400"]


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.binary(max_size=60))
def test_any_file_is_read_or_refused(tmp_path, videos, content):
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "any.csv").write_bytes(raw)
    for form in ("auto", "kinetics_csv", "pyslowfast"):
        with contextlib.suppress(DataError):
            found = read(tmp_path / "any.csv", videos, form=form)
            assert {video.path.is_file() for video in found.videos} == {True}
            assert all(0 <= video.label < 3 for video in found.videos)
