"""PySlowFast's frame lists: read, written, made from a folder and from a range of seconds."""

import pytest

from x3d_det.errors import DataError
from x3d_det.formats.frame_lists import (
    frame_list_of_folder,
    frame_list_of_videos,
    read_frame_list,
    write_frame_list,
)

HEADER = "original_vido_id video_id frame_id path labels\n"


def _file(tmp_path, text):
    path = tmp_path / "frames.csv"
    path.write_text(text)
    return path


def test_a_real_list_comes_back_byte_for_byte(shared_dir, tmp_path):
    source = shared_dir / "ava" / "formats" / "custom_frame_list.csv"
    rows = read_frame_list(source)
    assert len(rows) == 399
    assert rows.loc[0, "path"] == "G1_hazard_segment1/G1_hazard_segment1_000001.jpg"
    write_frame_list(rows, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == source.read_bytes()


def test_a_list_spoilt_by_a_spreadsheet_is_named(shared_dir):
    source = shared_dir / "ava" / "formats" / "custom_frame_list_spoiled_by_spreadsheet.csv"
    with pytest.raises(DataError) as caught:
        read_frame_list(source)
    first, second, *_ = str(caught.value).splitlines()
    assert first.startswith(f"{source}:1: the list begins with 'IMG_0177\\t3")
    assert second.startswith(f"{source}:1: the line is separated by tabs, as spreadsheets write")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ":1: the list is empty"),
        (HEADER, ":1: the list is empty"),
        ('v 0 0 v/1.jpg ""\n', ":1: the list begins with 'v 0 0 v/1.jpg \"\"'; its first line"),
        (HEADER.replace("vido", "video") + 'v 0 0 v/1.jpg ""\n', ":1: the list begins with"),
        (HEADER + "v 0 0 v/1.jpg\n", ":2: the line has 4 columns between blanks"),
        (HEADER + 'v 0 0 v/a b.jpg ""\n', ":2: the line has 6 columns between blanks"),
        (HEADER + "v,0,0,v/1.jpg,\n", ":2: the line is separated by commas"),
        (HEADER + 'v x 0 v/1.jpg ""\n', ":2: video_id 'x' and frame_id '0' must be whole"),
        (HEADER + 'v 0 1 v/1.jpg ""\n', ":2: frame_id is 1 where 0 follows; PySlowFast takes"),
        (
            HEADER + 'v 0 0 v/1.jpg ""\nv 0 2 v/3.jpg ""\n',
            ":3: frame_id is 2 where 1 follows",
        ),
        (
            HEADER + 'v 0 0 v/1.jpg ""\nv 1 1 v/2.jpg ""\n',
            ":3: video_id of v is 1, but 0 above.",
        ),
        (
            HEADER + 'v 0 0 v/1.jpg ""\nw 0 0 w/1.jpg ""\n',
            ":3: video_id of w is 0, but that is v's. Every video has one number.",
        ),
        (HEADER + 'v 0 0 ../1.jpg ""\n', ":2: the path '../1.jpg' leaves the folder of frames"),
        (HEADER + 'v 0 0 /v/1.jpg ""\n', ":2: the path '/v/1.jpg' leaves the folder of frames"),
    ],
)
def test_faults_name_their_line(tmp_path, text, expected):
    path = _file(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_frame_list(path)
    assert str(caught.value).startswith(f"{path}{expected}")


def test_frames_of_a_folder_by_their_numbers(tmp_path):
    for name in ("b/b_000009.jpg", "b/b_000010.jpg", "a/frame8.PNG", "b/notes.txt", "c/x.txt"):
        path = tmp_path / "frames" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    rows = frame_list_of_folder(tmp_path / "frames")
    assert rows["path"].tolist() == ["a/frame8.PNG", "b/b_000009.jpg", "b/b_000010.jpg"]
    assert rows["video_id"].tolist() == [0, 1, 1]
    assert rows["frame_id"].tolist() == [0, 0, 1]
    write_frame_list(rows, tmp_path / "out.csv")
    assert read_frame_list(tmp_path / "out.csv").equals(rows)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], "no folder with pictures"),
        (["v/1.jpg", "v/3.jpg"], "/v: the frames 2 to 2 are missing between v/1.jpg and v/3.jpg"),
        (["v/1.jpg", "v/01.png"], "/v/1.jpg: has the number of v/01.png again"),
        (["v/x.jpg"], "/v/x.jpg: the name does not end in the frame's number"),
    ],
)
def test_faults_of_a_frames_folder(tmp_path, names, text):
    for name in ["empty/x", *names]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DataError) as caught:
        frame_list_of_folder(tmp_path)
    assert text in str(caught.value)


def test_a_missing_frames_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot list the frames in .*none: No such file"):
        frame_list_of_folder(tmp_path / "none")


def test_frames_of_the_usual_cut():
    rows = frame_list_of_videos(["w", "v"], fps=30, start_seconds=900, end_seconds=1801)
    assert len(rows) == 2 * 27_030  # 901 s at 30 a second, as PySlowFast's own list has them
    # second s of the film is frame (s - 900) * 30, counted from 0; its file counts from 1
    assert rows.loc[(902 - 900) * 30, "path"] == "w/w_000061.jpg"
    assert rows.loc[27_030].tolist() == ["v", 1, 0, "v/v_000001.jpg", '""', 27_032]
    with pytest.raises(DataError, match="from second 5 to 5 at 30 frames a second there is no"):
        frame_list_of_videos(["v"], fps=30, start_seconds=5, end_seconds=5)


def test_a_blank_in_a_name_is_refused(tmp_path):
    rows = frame_list_of_videos(["my film"], fps=1, start_seconds=0, end_seconds=1)
    with pytest.raises(DataError, match="'my film' cannot stand in a frame list"):
        write_frame_list(rows, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
