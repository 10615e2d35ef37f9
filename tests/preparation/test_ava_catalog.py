"""preparation/catalog.py, lists.py: the files of AVA, their places and their hashes."""

from pathlib import Path

import pytest

from x3d_det.errors import DataError
from x3d_det.preparation.catalog import (
    annotation_files,
    box_files,
    file_name_list,
    film_file,
    kinetics_files,
)
from x3d_det.preparation.fetch import check_content, git_blob_id
from x3d_det.preparation.lists import VideoName, choose_videos, read_video_ids, read_video_names


def test_gits_hash_worked_by_hand(tmp_path):
    """`printf 'hello\\n' | git hash-object --stdin` and an empty file: known to every git user."""
    path = tmp_path / "a"
    path.write_bytes(b"hello\n")
    assert git_blob_id(path) == "ce013625030ba8dba906f756967f9e9ca394464a"
    path.write_bytes(b"")
    assert git_blob_id(path) == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_official_copies_are_recognised(shared_dir):
    wanted = {w.name: w for w in [*annotation_files(None), file_name_list("train", None)]}
    wanted["ava_file_names_test_v2.1.txt"] = file_name_list("test", None)
    folder = shared_dir / "ava" / "annotations"
    known = [name for name in wanted if (folder / name).is_file()]
    assert len(known) == 9
    for name in known:
        check_content(folder / name, wanted[name], accepts_changed=False)


def test_what_is_not_official_is_named_or_read(tmp_path):
    wanted = next(w for w in annotation_files(None) if w.name == "ava_val_v2.2.csv")
    path = tmp_path / wanted.name
    path.write_text("1j20qq1JyX4,0902,0.1,0.2,0.5,0.6,12,0\n")
    with pytest.raises(
        DataError, match=r"git hash-object gives [0-9a-f]{40}, the official one has"
    ):
        check_content(path, wanted, accepts_changed=False)
    check_content(path, wanted, accepts_changed=True)
    path.write_text("<html>\n<body>moved</body>\n")
    with pytest.raises(DataError, match=r"ava_val_v2\.2\.csv:1"):
        check_content(path, wanted, accepts_changed=True)


def test_public_places_are_those_of_the_documents():
    urls = {source.url for wanted in annotation_files(None) for source in wanted.sources}
    assert "https://s3.amazonaws.com/ava-dataset/annotations/ava_v2.2.zip" in urls
    assert "https://research.google.com/ava/download/ava_train_v2.2.csv" in urls
    film = film_file("-5KQ66BBWC4.mkv", "val", None)
    assert film.path == "films/-5KQ66BBWC4.mkv"
    expected = "https://s3.amazonaws.com/ava-dataset/trainval/-5KQ66BBWC4.mkv"
    assert [source.url for source in film.sources] == [expected]
    test = film_file("a.mkv", "test", None).sources[0].url
    assert test == "https://s3.amazonaws.com/ava-dataset/test/a.mkv"
    boxes = box_files(["val"], None)[0]
    assert boxes.path == "person_boxes/ava_val_predicted_boxes.csv"
    assert boxes.sources[0].url.startswith("https://dl.fbaipublicfiles.com/video-long-term-feature")
    tar = kinetics_files(None)[0].sources[0]
    assert tar.url.endswith("/deepmind-media/Datasets/ava_kinetics_v1_0.tar.gz")
    assert tar.member == "kinetics_train_v1.0.csv"


@pytest.mark.parametrize(
    ("mirror", "first"),
    [
        ("/disk/my ava", "/disk/my ava/trainval/a b.mkv"),
        ("/disk/ava/", "/disk/ava/trainval/a b.mkv"),
        ("http://host/ava/", "http://host/ava/trainval/a%20b.mkv"),
        ("file:///disk/ava", "file:///disk/ava/trainval/a%20b.mkv"),
    ],
)
def test_a_mirror_may_be_a_folder_or_an_url(mirror, first):
    assert film_file("a b.mkv", "train", mirror).sources[0].url == first


def test_names_are_read_as_they_stand(shared_dir):
    names = read_video_names(
        shared_dir / "ava" / "annotations" / "ava_file_names_trainval_v2.1.txt"
    )
    videos = [VideoName(name=name, split="train") for name in names]
    assert len(videos) == 299
    assert {name.rpartition(".")[2] for name in names} == {"mkv", "mp4", "webm"}
    assert "-5KQ66BBWC4" in {video.video_id for video in videos}
    assert {len(video.video_id) for video in videos} == {11}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.mkv\n../b.mkv\n", r":2: '\.\./b\.mkv' is no name"),
        ("a.mkv\nb\n", ":2: 'b' is no name"),
        ("a.txt\n", r":1: 'a\.txt' is no name"),
        ("<html>\n", ":1: '<html>' is no name"),
        ("a.mkv\nb.mkv\na.mp4\n", ":3: a stands on line 1 too"),
        ("\n\n", "names no video"),
    ],
)
def test_lists_that_are_none_are_named(tmp_path, text, found):
    path = tmp_path / "names.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=found):
        read_video_names(path)


def test_lists_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt: cannot be read: No such file"):
        read_video_names(tmp_path / "none.txt")
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="is no text"):
        read_video_ids(tmp_path / "x")


def test_videos_are_chosen_by_id_or_name_in_the_lists_order():
    videos = [VideoName(name=f"{letter}.mkv", split="train") for letter in "abc"]
    assert choose_videos(videos, []) == videos
    assert choose_videos(videos, ["c", "a.mkv"]) == [videos[0], videos[2]]
    with pytest.raises(DataError, match=r"--videos: x is none of the 3 videos .*\(2 such in all\)"):
        choose_videos(videos, ["y", "a", "x"])


def test_ids_are_the_first_column(tmp_path):
    path = Path(tmp_path / "a.csv")
    path.write_text("-a,0902,0.1\nb,0903\n\n-a,0904\n")
    assert read_video_ids(path) == {"-a", "b"}
