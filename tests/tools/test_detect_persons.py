"""`tools/detect_persons.py` as a user runs it: real detectors small, the rest on lit films."""

import importlib.util
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from detector_files import DETECTOR
from lit_films import LitDetector, drawn_boxes, lit_film
from video_files import cut_file

from x3d_det.io.ava_csv import read_proposals


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
    monkeypatch.setattr(logger, "handlers", logger.handlers)
    monkeypatch.setattr(logger, "propagate", logger.propagate)
    monkeypatch.setattr(logger, "level", logger.level)
    path = repository / "tools" / "detect_persons.py"
    spec = importlib.util.spec_from_file_location("detect_persons", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "detect_persons", module)
    spec.loader.exec_module(module)

    def run(*options: object) -> Done:
        capsys.readouterr()
        code = module.main([str(option) for option in options])
        caught = capsys.readouterr()
        assert "Traceback" not in caught.err
        return Done(code, caught.out, caught.err)

    return run


@pytest.fixture
def lit(monkeypatch: pytest.MonkeyPatch) -> Callable[[LitDetector], None]:
    """Let the command find bright rectangles instead of persons."""

    def use(detector: LitDetector) -> None:
        monkeypatch.setattr(
            "x3d_det.persons.detector.make_person_detector", lambda options: detector
        )

    use(LitDetector())
    return use


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 3 seconds."""
    folder = tmp_path_factory.mktemp("film")
    return lit_film(folder / "film.mp4", [drawn_boxes(second) for second in range(1, 4)])


@pytest.fixture
def ava(tmp_path: Path) -> Path:
    """A data set in AVA's files with two videos, but without person boxes.

    Annotated are the seconds 902 and 905; second 904 of video b is excluded.
    """
    root = tmp_path / "ava"
    for folder in ("annotations", "videos"):
        (root / folder).mkdir(parents=True)
    row = "0.1,0.1,0.5,0.5,12,0"
    annotations = root / "annotations"
    (annotations / "ava_val_v2.2.csv").write_text(f"a,0902,{row}\n-b,0905,{row}\n")
    (annotations / "ava_val_excluded_timestamps_v2.2.csv").write_text("-b,0904\n")
    (annotations / "ava_action_list_v2.2_for_activitynet_2019.pbtxt").write_text(
        'item {\n  name: "stand"\n  id: 12\n}\n'
    )
    for video_id in ("a", "-b"):
        lit_film(root / "videos" / f"{video_id}.mp4", [drawn_boxes(s) for s in range(7)])
    return root


def _config(root: Path) -> tuple[str, ...]:
    return "--config", "x3d_m_ava.yaml", "--set", f"dataset.root={root}"


def _seconds(path: Path) -> list[tuple[str, float]]:
    rows = read_proposals(path)[["video_id", "timestamp"]].drop_duplicates()
    return list(rows.itertuples(index=False, name=None))


# Real detectors


def test_a_video_through_torchvision_as_a_user_does(run_tool, film, detector_weights, tmp_path):
    out = tmp_path / "out"
    done = run_tool(
        "detect_persons.py",
        *(film, "--detector", "torchvision", "--model", DETECTOR, "--weights", detector_weights),
        *("--short-side", 64, "--min-score", 0.2, "--device", "cpu", "--threads", 1),
        *("--output-dir", out),
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("3 keyframes of 1 video: ")
    assert lines[1].startswith("0 persons above 0.8 in 3 of 3 keyframes; highest score 0.")
    assert lines[-1] == f"wrote to {out}: person_boxes.csv, shard-1-of-1.jsonl"
    rows = read_proposals(out / "person_boxes.csv")
    assert set(rows["timestamp"]) == {0.0, 1.0, 2.0}
    assert rows["score"].between(0.2, 0.8).all()
    text = (out / "person_boxes.csv").read_text()
    assert text.startswith("film,0000,0.")
    header = json.loads((out / "shard-1-of-1.jsonl").read_text().splitlines()[0])
    assert header["settings"]["detector"]["short_side"] == 64


def test_a_real_clip_in_shards_gives_the_same_bytes(tool, shared_dir, detector_weights, tmp_path):
    # One clip is one piece of work; a second one gives each shard something to do.
    clip = shared_dir / "clips" / "chaplin.mp4"
    shutil.copy(clip, tmp_path / "second.mp4")
    options = [
        *(clip, tmp_path / "second.mp4", "--detector", "torchvision", "--model", DETECTOR),
        *("--weights", detector_weights, "--short-side", 64, "--min-score", 0.2, "--device", "cpu"),
        *("--batch-size", 4, "--video-start-seconds", 900, "--interval", 4),
    ]
    whole = tool(*options, "--output-dir", tmp_path / "one")
    assert whole.code == 0, whole.err
    assert whole.out.startswith("6 keyframes of 2 videos: ")
    first = tool(*options, "--shard", "2/2", "--output-dir", tmp_path / "two")
    assert first.code == 0
    assert "shard 2/2 has ended, person_boxes.csv waits for shard 1\n" in first.out
    assert not (tmp_path / "two" / "person_boxes.csv").exists()
    last = tool(*options, "--shard", "1/2", "--output-dir", tmp_path / "two")
    assert last.code == 0
    boxes = [(tmp_path / name / "person_boxes.csv").read_bytes() for name in ("one", "two")]
    assert boxes[0] == boxes[1]
    assert _seconds(tmp_path / "one" / "person_boxes.csv") == [
        (video_id, 900.0 + second) for video_id in ("chaplin", "second") for second in (0, 4, 8)
    ]


@pytest.mark.skipif(
    importlib.util.find_spec("detectron2") is not None, reason="Detectron2 is installed"
)
def test_a_missing_detectron2_names_its_recipe(tool, film, tmp_path):
    done = tool(film, "--detector", "detectron2", "--output-dir", tmp_path)
    assert done.code == 1
    assert "Detectron2 is not installed" in done.err
    assert "pip install" in done.err
    assert not list(tmp_path.iterdir())


def test_options_reach_the_detector(tool, film, tmp_path, monkeypatch):
    seen = []

    def make(options):
        seen.append(options)
        return LitDetector()

    monkeypatch.setattr("x3d_det.persons.detector.make_person_detector", make)
    digits = "0123456789abcdef"
    done = tool(
        *(film, "--detector", "torchvision", "--model", "m", "--weights", "w.pth"),
        *("--weights-sha256", digits, "--person-class", 3, "--short-side", 400),
        *("--max-side", 900, "--min-score", 0.2, "--device", "cpu", "--output-dir", tmp_path),
    )
    assert done.code == 0, done.err
    (options,) = seen
    assert (options.backend, options.model, str(options.weights)) == ("torchvision", "m", "w.pth")
    assert (options.weights_sha256, options.person_class) == (digits, 3)
    assert (options.short_side, options.max_side, options.min_score) == (400, 900, 0.2)
    assert options.device == "cpu"


# Data sets


def test_a_data_set_from_its_first_to_its_last_annotated_second(tool, lit, ava, tmp_path):
    out = tmp_path / "out"
    done = tool(*_config(ava), "--split", "val", "--output-dir", out)
    assert done.code == 0, done.err
    assert "left out: 1 keyframes of the exclusion list\n" in done.err
    # Of 902 to 905 second 903 shows nobody, and 904 of -b is excluded.
    path = out / "person_boxes.csv"
    assert done.out.splitlines() == [
        "7 keyframes of 2 videos: 9 boxes, 3 of them above 0.8",
        "0 persons above 0.8 in 4 of 7 keyframes; highest score 0.56",
        "  a lower boxes.score_threshold keeps more (above 0.5: 0 persons in 2 of 7 keyframes); "
        "more persons: a larger --short-side, or another --model",
        f"wrote to {out}: person_boxes.csv, shard-1-of-1.jsonl",
        f"train and evaluate with them:  --set dataset.val.person_boxes={path}",
    ]
    assert _seconds(path) == [("-b", 902), ("-b", 905), ("a", 902), ("a", 904), ("a", 905)]


def test_the_named_setting_is_one_that_evaluation_takes(tool, lit, ava, tmp_path):
    from x3d_det.builders.ava import build_evaluation_data
    from x3d_det.config.load import load_config

    done = tool(*_config(ava), "--output-dir", tmp_path / "out put")
    assert done.code == 0, done.err
    setting = done.out.splitlines()[-1].split("--set ")[1]
    assert setting.startswith("'")  # the blank is quoted for the shell
    config = load_config("x3d_m_ava.yaml", [f"dataset.root={ava}", setting.strip("'")])
    data = build_evaluation_data(config)
    assert data is not None


def test_the_annotated_keyframes_or_a_list_of_ones_own(tool, lit, ava, tmp_path):
    done = tool(*_config(ava), "--keyframes", "annotated", "--output-dir", tmp_path / "annotated")
    assert done.code == 0, done.err
    assert _seconds(tmp_path / "annotated" / "person_boxes.csv") == [("-b", 905), ("a", 902)]
    listed = tmp_path / "list.csv"
    listed.write_text("a,901.5\n-b,0904\n")
    done = tool(*_config(ava), "--keyframes", listed, "--output-dir", tmp_path / "listed")
    assert done.code == 0, done.err
    assert _seconds(tmp_path / "listed" / "person_boxes.csv") == [("-b", 904), ("a", 901.5)]


def test_a_data_set_of_frame_folders(tool, lit, ava, tmp_path):
    import av

    for video_id in ("a", "-b"):
        folder = ava / "frames" / video_id
        folder.mkdir(parents=True)
        with av.open(str(ava / "videos" / f"{video_id}.mp4")) as container:
            for index, frame in enumerate(container.decode(video=0), start=1):
                frame.to_image().save(folder / f"img_{index:05d}.png")
    done = tool(*_config(ava), "--output-dir", tmp_path / "videos")
    assert done.code == 0, done.err
    shutil.rmtree(ava / "videos")
    done = tool(
        *(*_config(ava), "--set", "dataset.frames.folder=frames", "--set", "dataset.frames.fps=4"),
        *("--set", "dataset.frames.template=img_{index:05d}.png"),
        *("--output-dir", tmp_path / "frames"),
    )
    assert done.code == 0, done.err
    paths = [tmp_path / name / "person_boxes.csv" for name in ("videos", "frames")]
    assert paths[0].read_bytes() == paths[1].read_bytes() != b""


def test_missing_files_of_a_data_set_are_named_but_not_its_person_boxes(tool, ava, tmp_path):
    (ava / "annotations" / "ava_val_v2.2.csv").unlink()
    done = tool(*_config(ava), "--output-dir", tmp_path / "out")
    assert done.code == 1
    assert f"1 of 4 files or folders are missing in {ava}" in done.err
    assert "annotations/ava_val_v2.2.csv" in done.err
    assert "person_boxes" not in done.err
    assert not (tmp_path / "out").exists()


def test_a_data_set_without_any_video_is_refused_before_any_work(tool, ava, tmp_path):
    for path in (ava / "videos").iterdir():
        path.unlink()
    done = tool(*_config(ava), "--output-dir", tmp_path / "out")
    assert done.code == 1
    assert "2 of 2 videos are missing: -b, a; looked for" in done.err


def test_the_config_may_leave_the_person_boxes_open(tool, ava):
    done = tool(*_config(ava), "--print-config")
    assert done.code == 0
    assert "evaluate: detected" in done.out  # as written, not as this command works


# Ends


def test_broken_videos_stop_the_csv_unless_it_is_to_go_without(tool, lit, film, tmp_path):
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    shutil.copy(film, folder / "a.mp4")
    shutil.copy(cut_file(folder / "a.mp4", share=0.5), tmp_path / "cut.mp4")
    (folder / "cut_a.mp4").rename(folder / "b.mp4")
    done = tool(folder, "--output-dir", out)
    assert done.code == 1
    assert done.out.startswith("3 keyframes of 1 video: ")
    assert "error: 1 of 2 videos could not be read:\n" in done.err
    assert f"  {folder / 'b.mp4'}: " in done.err
    assert "run again with --resume, or add --skip-unreadable to write the file without" in done.err
    assert not (out / "person_boxes.csv").exists()
    done = tool(folder, "--output-dir", out, "--resume", "--skip-unreadable")
    assert done.code == 0
    assert "person_boxes.csv is without them: 1 of 2 videos could not be read:" in done.out
    assert _seconds(out / "person_boxes.csv") == [("a", 0), ("a", 1)]
    shutil.copy(film, folder / "b.mp4")
    done = tool(folder, "--output-dir", out, "--resume")
    assert done.code == 0, done.err
    assert _seconds(out / "person_boxes.csv") == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def test_ctrl_c_says_how_to_go_on(tool, lit, film, tmp_path):
    lit(LitDetector(fail_after=2, error=KeyboardInterrupt()))
    done = tool(film, "--batch-size", 1, "--output-dir", tmp_path)
    assert done.code == 130
    assert "interrupted; the same command with --resume goes on\n" in done.err
    assert not (tmp_path / "person_boxes.csv").exists()
    detector = LitDetector()
    lit(detector)
    done = tool(film, "--batch-size", 1, "--output-dir", tmp_path, "--resume")
    assert done.code == 0
    assert detector.num_frames == 1
    assert _seconds(tmp_path / "person_boxes.csv") == [("film", 0), ("film", 1)]


def test_an_earlier_run_is_refused_before_the_detector_is_loaded(tool, lit, film, tmp_path):
    assert tool(film, "--output-dir", tmp_path).code == 0
    done = tool(film, "--output-dir", tmp_path, "--detector", "detectron2", "--model", "nothing")
    assert done.code == 1
    assert (
        "shard-1-of-1.jsonl: an earlier run has begun here; go on with it by --resume" in done.err
    )


def test_seconds_that_no_video_shows(tool, lit, film, tmp_path):
    done = tool(film, "--first-second", 1, "--last-second", 5, "--output-dir", tmp_path / "some")
    assert done.code == 0
    # Second 3, at which the last frame's time is up, still shows it.
    assert done.out.startswith("3 keyframes of 1 video: ")
    assert "2 keyframes lie outside their videos and were skipped: film,0004, film,0005\n" in (
        done.out
    )
    done = tool(film, "--first-second", 90, "--last-second", 95, "--output-dir", tmp_path / "none")
    assert done.code == 1
    assert "none of 6 keyframes lies inside its video; the files are taken to start at" in done.err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "give either videos (files or folders) or --config (a data set)"),
        (("v.mp4", "--config", "c.yaml"), "give either videos"),
        (("--print-config",), "give either videos"),
        (("v.mp4", "--print-config"), "--print-config needs --config"),
        (("v.mp4", "--split", "val"), "--split is for --config"),
        (("v.mp4", "--set", "a=b"), "--set is for --config"),
        (("--config", "c.yaml", "--interval", "2"), "--interval is for video files"),
        (("--config", "c.yaml", "--video-start-seconds", "0"), "--video-start-seconds is for"),
        (("v.mp4", "--keyframes", "k.csv", "--last-second", "2"), "--last-second is not for"),
        (("v.mp4", "--keyframes", "annotated"), "--keyframes annotated needs --config"),
        (("v.mp4", "--first-second", "5", "--last-second", "4"), "--last-second 4 comes before"),
        (("v.mp4", "--threshold", "0.01"), "--threshold 0.01 is below --min-score 0.05"),
        (("v.mp4", "--shard", "3/2"), "shard 3/2 is none; write i/n with i from 1 to n"),
        (("v.mp4", "--shard", "half"), "shard 'half' is none"),
        (("v.mp4", "--batch-size", "17"), "17 is not a whole number from 1 to 16"),
        (("v.mp4", "--batch-size", "two"), "two is not a whole number from 1 to 16"),
        (("v.mp4", "--interval", "0"), "0 is not a number 0.001 or more"),
        (("v.mp4", "--first-second", "nan"), "nan is not a number 0 or more"),
        (("v.mp4", "--last-second", "inf"), "inf is not a number 0 or more"),
        (("v.mp4", "--min-score", "1.5"), "1.5 is not a number from 0 to 1"),
        (("v.mp4", "--short-side", "0"), "0 is not a whole number 1 or more"),
    ],
)
def test_wrong_usage(tool, options, text):
    done = tool(*options)
    assert done.code == 2
    assert text in done.err


def test_a_video_that_is_not_there(tool, tmp_path):
    done = tool(tmp_path / "none.mp4", "--output-dir", tmp_path / "out")
    assert done.code == 1
    assert "none.mp4: there is no such file or folder of videos." in done.err
