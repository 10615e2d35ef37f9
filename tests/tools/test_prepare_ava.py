"""tools/prepare_ava.py as a user runs it: what is chosen comes from a mirror, and is cut."""

import hashlib
import json
import shutil

import av
import pytest
from ava_mirror import NAMES, OTHER_ID, TRAIN_ID, VAL_ID, tarred
from prepared_files import CUT, files_below, frames_of

LISTS = [
    "annotations/ava_action_list_v2.2.pbtxt",
    "annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt",
    "annotations/ava_file_names_trainval_v2.1.txt",
    "annotations/ava_included_timestamps_v2.2.txt",
    "annotations/ava_test_excluded_timestamps_v2.2.csv",
    "annotations/ava_test_v2.2.txt",
    "annotations/ava_train_excluded_timestamps_v2.2.csv",
    "annotations/ava_train_v2.2.csv",
    "annotations/ava_val_excluded_timestamps_v2.2.csv",
    "annotations/ava_val_v2.2.csv",
]
BOXES = [f"person_boxes/ava_{split}_predicted_boxes.csv" for split in ("train", "val")]


def test_everything_arrives_cut_and_a_second_run_fetches_nothing(prepare, server, mirror, tmp_path):
    done = prepare(*CUT)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "ava"
    films = [f"films/{name}" for name in sorted(NAMES.values())]
    cuts = [f"videos/{video}.mp4" for video in sorted(NAMES)]
    assert files_below(folder) == sorted(
        [".prepare.lock", "manifest.json", *LISTS, *BOXES, *films, *cuts]
    )
    for name in NAMES.values():
        assert (folder / "films" / name).read_bytes() == (mirror / "trainval" / name).read_bytes()
    for video in NAMES:
        # Seconds 1 to 3 at 25 frames a second.
        times = frames_of(folder / "videos" / f"{video}.mp4")
        assert times == pytest.approx([number / 25 for number in range(50)], abs=1e-6)
    assert "annotations: 10 of 10" in done.stdout
    assert "person boxes: 2 of 2" in done.stdout
    assert "videos: 3 of 3" in done.stdout
    assert "second 0 of each video is second 1 of the film" in done.stdout
    assert f"note: {OTHER_ID}: this film does not convert cleanly" in done.stdout
    assert (
        "next: python tools/check_dataset.py --config x3d_m_ava.yaml "
        f"--set dataset.root={folder} --set dataset.video_start_seconds=1"
    ) in done.stdout
    notes = json.loads((folder / "manifest.json").read_text())["files"]
    assert notes[cuts[0]]["num_frames"] == 50
    assert notes[cuts[0]]["cut"]["settings"]["short_side"] is None
    sha256 = hashlib.sha256((folder / films[0]).read_bytes()).hexdigest()
    assert notes[films[0]]["sha256"] == sha256

    stamps = {name: (folder / name).stat().st_mtime_ns for name in cuts + films}
    server.requests.clear()
    again = prepare(*CUT)
    assert again.returncode == 0, again.stderr
    assert server.requests == []
    assert {name: (folder / name).stat().st_mtime_ns for name in stamps} == stamps
    assert "videos: 3 of 3" in again.stdout


def test_the_list_names_sizes_and_writes_nothing(prepare, server, mirror, tmp_path):
    done = prepare("--list")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ava").exists()
    size = (mirror / "trainval" / NAMES[TRAIN_ID]).stat().st_size
    assert (
        f"{size / 1e6:,.1f} MB  films/{NAMES[TRAIN_ID]}  {server.base}/ava/trainval/" in done.stdout
    )
    packed = (mirror / "annotations" / "ava_v2.2.zip").stat().st_size
    total = packed + sum(
        path.stat().st_size for path in mirror.rglob("*.*") if path.suffix != ".zip"
    )
    assert f"15 files, 0 of them stand; {total / 1e9:,.3f} GB to fetch" in done.stdout
    assert "GB free in" in done.stdout
    assert not any(path.endswith((".mkv", ".mp4")) for m, path, _ in server.requests if m == "GET")


def test_parts_splits_and_videos_are_chosen(prepare, tmp_path):
    done = prepare("--what", "videos", "--split", "val")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "ava"
    assert [path.name for path in (folder / "films").iterdir()] == [NAMES[VAL_ID]]
    assert "--set dataset.videos=films --set dataset.video_start_seconds=0" in done.stdout
    assert "whole films: 1 of 1" in done.stdout
    done = prepare("--what", "videos", f"--videos={TRAIN_ID}")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (folder / "films").iterdir()} == {NAMES[VAL_ID], NAMES[TRAIN_ID]}
    unknown = prepare("--what", "videos", "--videos=-5KQ66BBWC5")
    assert unknown.returncode == 1
    assert "-5KQ66BBWC5 is none of the 3 videos" in unknown.stderr
    assert f"did you mean {TRAIN_ID}?" in unknown.stderr


def test_videos_may_stand_in_a_file(prepare, tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text(f"{VAL_ID}\n{NAMES[TRAIN_ID]}\n")
    done = prepare("--what", "videos", "--videos", ids, "--list")
    assert done.returncode == 0, done.stderr
    assert "2 files, 0 of them stand" in done.stdout
    ids.write_bytes(b"\xff")
    assert "cannot be read as text" in prepare("--videos", ids).stderr
    assert "names no video" in prepare("--videos", ",").stderr
    assert "is none of the 3 videos" in prepare("--what", "videos", "--videos", "a," * 400).stderr


def test_files_put_there_by_hand_are_taken_as_they_are(prepare, mirror, server, tmp_path):
    videos = tmp_path / "ava" / "videos"
    videos.mkdir(parents=True)
    shutil.copy(mirror / "trainval" / NAMES[TRAIN_ID], videos)
    (videos / f"{VAL_ID}.mp4").write_text("no video")
    done = prepare(*CUT, "--what", "videos", "--full-decode")
    assert done.returncode == 1
    assert "videos: 2 of 3" in done.stdout
    assert f"{VAL_ID}.mp4: is no readable video" in done.stdout
    assert server.gets(f"/ava/trainval/{NAMES[TRAIN_ID]}") == []
    notes = json.loads((tmp_path / "ava" / "manifest.json").read_text())["files"]
    assert notes[f"videos/{NAMES[TRAIN_ID]}"]["origin"] == "by hand"
    assert notes[f"videos/{NAMES[TRAIN_ID]}"]["num_frames"] == 100
    assert notes[f"films/{NAMES[OTHER_ID]}"]["num_frames"] == 100


def test_a_folder_is_a_mirror_and_its_films_are_cut_where_they_lie(prepare, mirror, tmp_path):
    done = prepare(*CUT, "--delete-originals", "--no-sound", mirror=mirror)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ava" / "films").exists()
    assert len(list((mirror / "trainval").iterdir())) == 3
    with av.open(str(tmp_path / "ava" / "videos" / f"{VAL_ID}.mp4")) as container:
        assert len(container.streams.audio) == 0
    assert len(frames_of(tmp_path / "ava" / "videos" / f"{VAL_ID}.mp4")) == 50


def test_originals_leave_once_their_cut_stands(prepare, tmp_path):
    done = prepare(*CUT, "--delete-originals")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "ava" / "films").iterdir()) == []
    assert len(list((tmp_path / "ava" / "videos").iterdir())) == 3


def test_scaling_is_never_silent(prepare, tmp_path):
    done = prepare(*CUT, "--what", "videos", f"--videos={VAL_ID}", "--short-side", 64)
    assert done.returncode == 0, done.stderr
    assert "warning: scaled videos cost about 3 points of mAP" in done.stderr
    assert "scaled from 64x48 to short side 64" in done.stdout
    with av.open(str(tmp_path / "ava" / "videos" / f"{VAL_ID}.mp4")) as container:
        assert (container.streams.video[0].height, container.streams.video[0].width) == (64, 86)
    other = prepare(*CUT, "--what", "videos", f"--videos={VAL_ID}")
    assert other.returncode == 1
    assert "was cut with short_side = 64, now None is asked for" in other.stdout


def test_kinetics_lists_come_beside_avas_own(prepare, server, tmp_path):
    files = {
        "kinetics_train_v1.0.csv": "-2cE2I-fYUY,12.000000,0.1,0.2,0.5,0.6,80\n",
        "kinetics_val_v1.0.csv": "-2cE2I-fYUY,13.500000\n-2cE2I-fYUY,14.5,0.1,0.2,0.5,0.6,12\n",
        "ava_val_v2.2.csv": f"{VAL_ID},0903\n{VAL_ID},0902,0.1,0.2,0.5,0.6,12,0\n",
    }
    server.add("/ava/annotations/ava_kinetics_v1_0.tar.gz", tarred(files))
    done = prepare("--what", "annotations", "--with-kinetics-lists")
    assert done.returncode == 0, done.stderr + done.stdout
    folder = tmp_path / "ava" / "annotations"
    for name, text in files.items():
        assert (folder / "ava_kinetics_v1.0" / name).read_text() == text
    assert (folder / "ava_val_v2.2.csv").read_text() != files["ava_val_v2.2.csv"]
    assert "holds no kinetics_test_v1.0.csv" in done.stdout
    assert "its videos are yours to bring" in done.stdout
    assert len(server.gets("/ava/annotations/ava_kinetics_v1_0.tar.gz")) == 1
