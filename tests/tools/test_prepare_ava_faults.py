"""tools/prepare_ava.py and faults: of the mirror, on the way, in the folder, in its options."""

import os
import shutil

import pytest
from ava_mirror import NAMES, OTHER_ID, TRAIN_ID, VAL_ID
from http_server import Answer
from prepared_files import CUT, files_below


def test_a_mirror_that_is_none_is_named(prepare, tmp_path):
    assert "there is no such folder to take files from" in prepare(mirror=tmp_path / "no").stderr
    done = prepare("--list", mirror="ftp://host/ava")
    assert "ftp://host/ava: ftp is not one of http, https, file" in done.stderr


def test_a_mirror_without_the_list_of_names_is_told_once(prepare, server, tmp_path):
    del server.files["/ava/annotations/ava_file_names_trainval_v2.1.txt"]
    done = prepare("--list")
    assert done.returncode == 1
    assert f"belongs at {tmp_path / 'ava' / 'annotations' / 'ava_file_names_tr'}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_full_decode_finds_what_a_look_does_not(prepare, server):
    film = server.files[f"/ava/trainval/{NAMES[TRAIN_ID]}"]
    film.content = film.content[: len(film.content) * 6 // 10]  # Matroska: opens all the same
    asked = ("--what", "videos", f"--videos={TRAIN_ID}")
    done = prepare(*asked, "--full-decode")
    assert done.returncode == 1
    assert "is truncated: its last frame ends at second" in done.stdout
    assert prepare(*asked).returncode == 0


def test_drops_and_faults_on_the_way_change_nothing(prepare, server, mirror, tmp_path):
    path = f"/ava/trainval/{NAMES[VAL_ID]}"
    server.files[path].answers = [Answer(status=500), Answer(drop_after=3000), Answer(drop_after=1)]
    server.files["/ava/annotations/ava_v2.2.zip"].answers = [Answer(drop_after=500)]
    done = prepare("--what", "annotations", "videos", f"--videos={VAL_ID}")
    assert done.returncode == 0, done.stderr
    film = tmp_path / "ava" / "films" / NAMES[VAL_ID]
    assert film.read_bytes() == (mirror / "trainval" / NAMES[VAL_ID]).read_bytes()
    assert server.gets(path) == [None, None, "bytes=3000-", "bytes=3001-"]


def test_what_is_missing_or_broken_is_named_and_the_rest_stands(prepare, server, tmp_path):
    film = server.files[f"/ava/trainval/{NAMES[VAL_ID]}"]
    film.content = film.content[:3000]  # the mirror's own copy is truncated
    del server.files[f"/ava/trainval/{NAMES[OTHER_ID]}"]
    del server.files["/ava/annotations/ava_val_predicted_boxes.csv"]
    done = prepare(*CUT)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "person boxes: 1 of 2" in done.stdout
    assert "videos: 1 of 3" in done.stdout
    missing = [line for line in done.stdout.splitlines() if line.startswith("missing:")]
    assert len(missing) == 3
    assert any("ava_val_predicted_boxes.csv" in line and "404" in line for line in missing)
    assert any(NAMES[OTHER_ID] in line and "404" in line for line in missing)
    assert any(NAMES[VAL_ID] in line and "is no readable video" in line for line in missing)
    assert files_below(tmp_path / "ava" / "videos") == [f"{TRAIN_ID}.mp4"]
    assert files_below(tmp_path / "ava" / "films") == [NAMES[TRAIN_ID]]


def test_a_film_that_changed_since_is_refused(prepare, tmp_path):
    asked = ("--what", "videos", f"--videos={VAL_ID}")
    assert prepare(*asked).returncode == 0
    film = tmp_path / "ava" / "films" / NAMES[VAL_ID]
    facts = film.stat()
    content = bytearray(film.read_bytes())
    content[-100] ^= 1
    film.write_bytes(content)
    os.utime(film, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert prepare(*asked).returncode == 0  # size and date are as noted
    done = prepare(*asked, "--verify")
    assert done.returncode == 1
    assert "is not as it was when it came: SHA-256" in done.stdout


def test_unofficial_lists_are_refused_by_default(run_tool, server, tmp_path):
    done = run_tool(
        *("prepare_ava.py", "--output-dir", tmp_path / "ava", "--from", f"{server.base}/ava"),
        *("--what", "annotations"),
    )
    assert done.returncode == 1
    assert "annotations: 0 of 6" in done.stdout
    assert "the official one has c543206f4047604617d83413d74cba2353b2c486" in done.stdout, (
        done.stdout
    )
    assert not (tmp_path / "ava" / "annotations").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--gop", "12"], "--gop needs --cut"),
        (["--delete-originals"], "--delete-originals needs --cut"),
        (["--cut", "--cut-seconds", "5", "5"], "the first must be before the end"),
        (["--cut", "--crf", "52"], "52 is not a whole number from 0 to 51"),
        (["--jobs", "0"], "0 is not a whole number 1 or more"),
        (["--what", "films"], "invalid choice: 'films'"),
    ],
)
def test_wrong_usage_is_told(run_tool, options, text):
    done = run_tool("prepare_ava.py", *options)
    assert done.returncode == 2
    assert text in done.stderr


def test_a_disk_that_is_too_small_is_told_before_the_first_byte(
    server, mirror, tmp_path, monkeypatch
):
    from x3d_det.errors import DataError
    from x3d_det.preparation import FetchSettings, PrepareSettings, prepare, run

    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(run.shutil, "disk_usage", lambda folder: usage)
    shutil.copytree(mirror / "annotations", tmp_path / "annotations")
    settings = PrepareSettings(
        folder=tmp_path,
        mirror=f"{server.base}/ava",
        parts=frozenset({"videos"}),
        fetch=FetchSettings(first_wait_seconds=0.01),
    )
    with pytest.raises(
        DataError, match=r"0\.0 GB are to come and 0\.0 GB are free.*--cut --delete"
    ):
        prepare(settings)
    assert not list(tmp_path.glob("films/*"))
