"""tools/prepare_ava.py as a user runs it, against a mirror on loopback and against a folder."""

import hashlib
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import pytest
from ava_mirror import NAMES, OTHER_ID, TRAIN_ID, VAL_ID, make_mirror
from http_server import Answer, Server, serving

CUT = ("--cut", "--cut-seconds", 1, 3)


@dataclass(frozen=True)
class Done:
    """A command that has run."""

    returncode: int
    stdout: str
    stderr: str


Tool = Callable[..., Done]


@pytest.fixture
def tool(repository: Path, capsys: pytest.CaptureFixture[str]) -> Tool:
    """Run the command with these options, in this process: a process each would cost a minute."""
    main = runpy.run_path(str(repository / "tools" / "prepare_ava.py"))["main"]

    def run(*options: object) -> Done:
        code = main([str(option) for option in options])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture
def server(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        for path in sorted(mirror.rglob("*.*")):
            running.add(f"/ava/{path.relative_to(mirror)}", path.read_bytes())
        yield running


@pytest.fixture
def prepare(tool: Tool, server: Server, tmp_path: Path) -> Tool:
    """Run the command on the loopback mirror, or on what `mirror=` names."""

    def run(*options: object, mirror: object = None) -> Done:
        source = mirror or f"{server.base}/ava"
        return tool(
            *("--output-dir", tmp_path / "ava", "--from", source, "--accept-changed"),
            *("--retry-wait", 0.01, "--timeout", 5, "--jobs", 2),
            *options,
        )

    return run


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def frames_of(path: Path) -> list[float]:
    """Count frames and read their times with PyAV alone."""
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


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


def test_a_full_decode_finds_what_a_look_does_not(prepare, server):
    film = server.files[f"/ava/trainval/{NAMES[TRAIN_ID]}"]
    film.content = film.content[: len(film.content) * 6 // 10]  # Matroska: opens all the same
    asked = ("--what", "videos", f"--videos={TRAIN_ID}")
    done = prepare(*asked, "--full-decode")
    assert done.returncode == 1
    assert "is truncated: its last frame ends at second" in done.stdout
    assert prepare(*asked).returncode == 0


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


def test_unofficial_lists_are_refused_by_default(tool, server, tmp_path):
    done = tool(
        *("--output-dir", tmp_path / "ava", "--from", f"{server.base}/ava"),
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
        (["--cut", "--crf", "52"], "52 is not from 0 to 51"),
        (["--jobs", "0"], "0 is not at least 1"),
        (["--what", "films"], "invalid choice: 'films'"),
    ],
)
def test_wrong_usage_is_told(tool, options, text):
    done = tool(*options)
    assert done.returncode == 2
    assert text in done.stderr


IN_ARCHIVE, IN_FILM = ".downloads/*ava_v2.2.zip.part", f".downloads/*{OTHER_ID}.mkv.part"
IN_CUT, IN_LAST_CUT = "videos/.*.tmp", f"videos/.{OTHER_ID}*.tmp"


def has_come(folder: Path, pattern: str) -> bool:
    """Return whether a file is there; of a film's part, some bytes too."""
    try:
        return any(path.stat().st_size or pattern != IN_FILM for path in folder.glob(pattern))
    except FileNotFoundError:  # it went between the two looks
        return False


@pytest.mark.parametrize(
    ("number", "moments"),
    [
        pytest.param(
            *(signal.SIGKILL, [IN_ARCHIVE, IN_CUT, IN_FILM, IN_LAST_CUT]),
            marks=pytest.mark.slow,
            id="kill",
        ),
        pytest.param(signal.SIGINT, [IN_FILM], id="ctrl-c"),
    ],
)
def test_stopped_anywhere_the_next_run_goes_on(
    repository, server, mirror, tmp_path, number, moments
):
    """In a list, in a film, in a cut; no final name ever holds a part."""
    film = f"/ava/trainval/{NAMES[OTHER_ID]}"
    slow = {IN_ARCHIVE: "/ava/annotations/ava_v2.2.zip", IN_FILM: film}
    folder = tmp_path / "ava"
    command = [
        *(sys.executable, "tools/prepare_ava.py", "--output-dir", str(folder)),
        *("--from", f"{server.base}/ava", "--accept-changed", "--jobs", "1"),
        *("--cut", "--cut-seconds", "1", "3"),
    ]
    codes = []
    for moment in [*moments, None]:
        for wanted, path in slow.items():  # Ctrl-C stops a film at its next piece
            pauses = {"pause_seconds": 1.0, "num_pauses": 4} if moment == wanted else {}
            server.files[path].default = Answer(**pauses)
        process = subprocess.Popen(
            command,
            cwd=repository,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Tests that run in the background of a shell have Ctrl-C ignored, and pass it on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        while process.poll() is None:
            if moment is not None and has_come(folder, moment):
                process.send_signal(number)
                break
            time.sleep(0.005)
        _, errors = process.communicate(timeout=60)
        codes.append(process.returncode)
        assert "Traceback" not in errors, errors
        for path in folder.glob("films/*"):
            assert path.read_bytes() == (mirror / "trainval" / path.name).read_bytes()
        for path in folder.glob("videos/[!.]*"):
            assert len(frames_of(path)) == 50
    assert codes[-1] == 0
    # A machine may be so quick or slow that a cut passes unseen; what is slow never does.
    stopped = codes[:-1].count(-signal.SIGKILL if number == signal.SIGKILL else 130)
    assert stopped >= max(len(moments) - 1, 1), codes
    assert len(list(folder.glob("videos/*.mp4"))) == 3
    left = [name for name in files_below(folder) if name.endswith((".tmp", ".part", ".part.json"))]
    assert left == []
    assert any(server.gets(film)), "the film was not resumed"


def test_two_runs_do_not_share_a_folder(prepare, repository, server, tmp_path):
    server.files["/ava/annotations/ava_v2.2.zip"].default = Answer(pause_seconds=4)
    (tmp_path / "ava").mkdir()
    first = subprocess.Popen(
        [
            *(sys.executable, "tools/prepare_ava.py", "--output-dir", str(tmp_path / "ava")),
            *("--from", f"{server.base}/ava", "--what", "annotations"),
        ],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not server.requests:
        time.sleep(0.02)
    second = prepare("--what", "annotations")
    first.kill()
    first.communicate()
    assert second.returncode == 1
    assert "another process prepares this folder" in second.stderr


def test_kinetics_lists_come_beside_avas_own(prepare, server, tmp_path):
    from ava_mirror import tarred

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
