"""`tools/detect_actions.py` as a user runs it, on small generated films with boxes given."""

import importlib.util
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from action_checkpoints import BrightPersons, detector_config, save_action_checkpoint
from detector_files import DETECTOR
from http_server import serving
from video_files import cut_file, make_audio, make_video

from x3d_det.io.weights import save_model

FINAL = {"actions.mp4", "detections.csv", "tracks.json", "timeline.png"}


@dataclass
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


Tool = Callable[..., Done]


@pytest.fixture
def tool(repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Tool:
    """Run the command's `main` in this process; the package's log is put back afterwards."""
    logger = logging.getLogger("x3d_det")
    for name in ("handlers", "propagate", "level"):
        monkeypatch.setattr(logger, name, getattr(logger, name))
    path = repository / "tools" / "detect_actions.py"
    spec = importlib.util.spec_from_file_location("detect_actions", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "detect_actions", module)
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()

    def run(*options: object) -> Done:
        capsys.readouterr()
        code = module.main([str(option) for option in options])
        caught = capsys.readouterr()
        assert "Traceback" not in caught.err
        return Done(code, caught.out, caught.err)

    yield run
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_action_checkpoint(tmp_path_factory.mktemp("actions") / "model.safetensors")


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Three seconds with sound."""
    folder = tmp_path_factory.mktemp("film")
    return make_video(folder / "_film-1.mp4", num_frames=36, fps=12, with_audio=True)


@pytest.fixture(scope="module")
def boxes(tmp_path_factory) -> Path:
    """Two persons a second, in AVA's form, as if the film began at second 900."""
    path = tmp_path_factory.mktemp("boxes") / "boxes.csv"
    rows = [
        f"_film-1,{900 + second:04d},{left},0.2,{left + 0.3},0.9,,{score}\n"
        for second in range(3)
        for left, score in ((0.1, 0.9), (0.6, 0.85))
    ]
    path.write_text("".join(rows))
    return path


@pytest.fixture
def bright(monkeypatch):
    """Let the command find persons without weights."""
    monkeypatch.setattr(
        "x3d_det.video_detection.persons.make_person_detector", lambda options: BrightPersons()
    )


def test_boxes_of_a_table_to_files_that_the_evaluation_reads(
    tool, run_tool, film, boxes, checkpoint, tmp_path
):
    out = tmp_path / "out"
    done = tool(
        *(film, "--checkpoint", checkpoint, "--boxes", boxes, "--output-dir", out),
        *("--video-start-seconds", 900, "--device", "cpu", "--threads", 1),
    )
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert re.match(r"3\.0 s of video in \d+\.\d s: [\d.]+ x real time, [\d.]+ frames/s", lines[0])
    assert lines[1].startswith("where the time went, side by side: decoding ")
    assert re.match(r"\d persons, seen 6 times at 3 keyframes; most often \w+ \(", lines[2])
    assert lines[3] == (f"wrote to {out}: actions.mp4, detections.csv, tracks.json, timeline.png")
    assert {path.name for path in out.iterdir()} == FINAL | {"journal.jsonl"}
    truth = tmp_path / "truth.csv"
    truth.write_text(
        "".join(f"_film-1,{902 + k:04d},0.1,0.2,0.4,0.9,{a},1\n" for k in (0,) for a in (1, 4))
    )
    label_map = tmp_path / "map.pbtxt"
    label_map.write_text(
        "".join(f'item {{\n  name: "{n}"\n  id: {i}\n}}\n' for i, n in ((1, "wave"), (4, "sit")))
    )
    scored = run_tool(
        *("evaluate_ava.py", "--annotations", truth, "--detections", out / "detections.csv"),
        *("--label-map", label_map, "--output-dir", tmp_path / "scored"),
    )
    assert scored.returncode == 0, scored.stderr
    assert json.loads((tmp_path / "scored" / "report.json").read_text())["mAP"] > 0.2


def test_persons_by_torchvision_and_why_nobody(tool, film, checkpoint, detector_weights, tmp_path):
    done = tool(
        *(film, "--checkpoint", checkpoint, "--output-dir", tmp_path, "--device", "cpu"),
        *("--person-detector", "torchvision", "--person-model", DETECTOR),
        *("--person-weights", detector_weights, "--person-short-side", 64, "--end", 2),
    )
    assert done.code == 0, done.err
    assert re.search(
        r"nobody found at 2 keyframes: \d+ persons, none above 0\.8; highest (0\.\d\d): "
        r"try --person-threshold 0\.\d",
        done.out,
    ), done.out
    assert {path.name for path in tmp_path.iterdir()} == FINAL | {"journal.jsonl"}
    assert (tmp_path / "detections.csv").read_text() == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_says_how_to_go_on(
    number, code, tool, bright, film, checkpoint, tmp_path, monkeypatch
):
    options = (film, "--checkpoint", checkpoint, "--device", "cpu", "--interval", 0.5)
    assert tool(*options, "--output-dir", tmp_path / "whole").code == 0
    from x3d_det.video_detection.journal import ActionJournal

    add = ActionJournal.add

    def interrupted(self, moment):
        add(self, moment)
        if self.num_moments == 3:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(ActionJournal, "add", interrupted)
        done = tool(*options, "--output-dir", tmp_path / "stopped")
    assert done.code == code
    assert "stopped at second 0.50; the files hold what was done, the same command with" in done.err
    assert {path.name for path in (tmp_path / "stopped").iterdir()} == FINAL | {"journal.jsonl"}
    done = tool(*options, "--output-dir", tmp_path / "stopped", "--resume")
    assert done.code == 0
    assert done.out.startswith("3 keyframes came from the run before\n")
    for name in FINAL - {"actions.mp4"}:  # see `pictures_of` in test_video_run.py
        first, second = (tmp_path / folder / name for folder in ("whole", "stopped"))
        assert first.read_bytes() == second.read_bytes(), name
    other = tool(*options, "--output-dir", tmp_path / "stopped", "--resume", "--interval", 1)
    assert other.code == 1
    assert other.err.count("\n") == 1
    assert "was begun with interval_seconds = 0.5, now it is 1.0; set it back" in other.err


def test_a_damaged_end_is_one_line_and_code_1(tool, bright, checkpoint, tmp_path):
    film = make_video(
        tmp_path / "v.mp4", num_frames=90, container_options={"movflags": "faststart"}
    )
    done = tool(
        *(cut_file(film, share=0.6), "--checkpoint", checkpoint, "--device", "cpu"),
        *("--output-dir", tmp_path / "out"),
    )
    assert done.code == 1
    last = done.err.splitlines()[-1]
    assert last.startswith("detect_actions.py: error: ")
    assert "cut_v.mp4: is " in last
    assert re.search(r"second \d\.\d{3}", last)
    assert last.endswith(" What came before is written.")
    assert {path.name for path in (tmp_path / "out").iterdir()} >= FINAL


def test_a_stream_is_watched(tool, bright, checkpoint, tmp_path):
    path = make_video(tmp_path / "live.ts", num_frames=60, container_format="mpegts")
    with serving() as server:
        url = server.add("/live.ts", path.read_bytes())
        done = tool(
            *(url, "--checkpoint", checkpoint, "--device", "cpu", "--seconds", 0.5),
            *("--output-dir", tmp_path / "out"),
        )
    assert done.code == 0, done.err
    assert "actions.mp4" in done.out


def huge(path: Path) -> Path:
    return make_video(path, num_frames=1, height=8192, width=8192, options={"preset": "ultrafast"})


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("missing", r"v\.mp4: there is no such file"),
        ("folder", r"v\.mp4: is a folder, no video file"),
        ("fifo", r"v\.mp4: is a device, no video file"),
        ("empty", r"v\.mp4: is empty \(0 bytes\)"),
        ("text", r"v\.mp4: "),
        ("sound alone", r"v\.mp4: .*video stream"),
        ("huge", r"v\.mp4: .*8192x8192"),
    ],
)
def test_what_is_no_video_is_one_line(kind, found, tool, checkpoint, tmp_path):
    path = tmp_path / "v.mp4"
    {
        "missing": lambda: None,
        "folder": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
        "empty": path.touch,
        "text": lambda: path.write_text("no video\n" * 99),
        "sound alone": lambda: make_audio(path),
        "huge": lambda: huge(path),
    }[kind]()
    done = tool(path, "--checkpoint", checkpoint, "--output-dir", tmp_path / "out")
    assert done.code == 1
    assert re.match(f"detect_actions.py: error: .*{found}", done.err), done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_other_faults_are_one_line(tool, bright, film, boxes, checkpoint, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    classifier = tmp_path / "classifier.safetensors"
    config = json.dumps(detector_config().model_dump(mode="json"))
    save_model(
        classifier,
        {"a": torch.zeros(1)},
        {"format": "x3d_det classifier", "classes": "[]", "config": config},
    )
    good = (film, "--checkpoint", checkpoint, "--device", "cpu")
    for options, found in (
        ((*good, "--output-dir", blocked), f"output folder {blocked} cannot be written to"),
        ((film, "--checkpoint", classifier), "is 'x3d_det classifier'; a video needs an"),
        ((film, "--checkpoint", tmp_path / "none"), "none"),
        ((*good, "--boxes", tmp_path / "none.csv"), "none.csv"),
        ((*good, "--boxes", boxes), "Check the second at which the video starts"),
        ((*good, "--tracker", "soort"), "there is no tracker 'soort'; did you mean sort"),
        ((*good, "--start", 99), "has no frame from second 99 on"),
    ):
        given = () if "--output-dir" in options else ("--output-dir", tmp_path / "out")
        done = tool(*options, *given)
        assert done.code == 1, options
        assert found in done.err, done.err
        assert done.err.splitlines()[-1].startswith("detect_actions.py: error: ")
        folder = tmp_path / "out"
        assert not folder.exists() or not FINAL & {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "give either VIDEO or --camera N"),
        (("v.mp4", "--camera", "0"), "give either VIDEO or --camera N"),
        (("v.mp4", "--seconds", "3"), "--seconds is for a camera or a stream"),
        (("--camera", "0", "--resume"), "--boxes, --resume, --start and --end are for a file"),
        (("rtsp://h/x", "--end", "3"), "--boxes, --resume, --start and --end are for a file"),
        (("v.mp4", "--boxes", "b.csv", "--person-looks", "2"), "--boxes gives the persons"),
        (("v.mp4", "--start", "5", "--end", "5"), "--end 5 is not after --start 5"),
        (("v.mp4", "--interval", "0"), "0 is not a number 0.001 or more"),
        (("v.mp4", "--person-threshold", "2"), "2 is not a number from 0 to 1"),
        (("v.mp4", "--top-k", "0"), "0 is not a whole number 1 or more"),
    ],
)
def test_wrong_usage(tool, options, text):
    done = tool(*options, "--checkpoint", "m.safetensors")
    assert done.code == 2
    assert text in done.err


def test_the_example_of_the_page_runs(repository, film, checkpoint, tmp_path, monkeypatch, bright):
    """The Python of docs/detect_actions.md, on a film of ours."""
    page = (repository / "docs" / "detect_actions.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.mp4").write_bytes(film.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(checkpoint.read_bytes())
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/detect_actions.md", "exec"), names)
    assert names["keyframe"].persons[0].actions
