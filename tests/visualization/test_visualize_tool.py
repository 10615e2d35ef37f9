"""The command `tools/visualize_ava.py`, from its options to its files."""

import importlib.util
import os
import subprocess
import sys

import av
import pandas as pd
import pytest

from x3d_det.io.ava_csv import write_annotations, write_detections

BOX = {"x1": 0.2, "y1": 0.2, "x2": 0.6, "y2": 0.9}


@pytest.fixture(scope="module")
def tool(repository):
    spec = importlib.util.spec_from_file_location(
        "visualize_ava", repository / "tools" / "visualize_ava.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["visualize_ava"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["visualize_ava"]


def annotations(path, video_ids=("v",), start=900.0):
    rows = [
        {"video_id": name, "timestamp": start + t, **BOX, "action_id": a, "person_id": 1}
        for name in video_ids
        for t in range(3)
        for a in (12, 80)
    ]
    write_annotations(pd.DataFrame(rows), path)
    return path


def detections(path, score=0.8):
    rows = [{"video_id": "v", "timestamp": 900.0, **BOX, "action_id": 12, "score": score}]
    write_detections(pd.DataFrame(rows), path)
    return path


def num_frames(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_one_video_with_both_csv_files(tool, make_video, tmp_path, capsys):
    out = tmp_path / "out"
    code = tool.main(
        [
            f"--video={make_video()}",
            f"--annotations={annotations(tmp_path / 'a.csv')}",
            f"--detections={detections(tmp_path / 'd.csv')}",
            "--video-start-seconds=900",
            "--contact-sheet",
            f"--output-dir={out}",
        ]
    )
    printed = capsys.readouterr()
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == ["v.mp4", "v_keyframes.png"]
    assert num_frames(out / "v.mp4") == 30
    assert "3 annotated and 1 detected boxes on 3 keyframes" in printed.out
    assert printed.out.splitlines()[-2:] == [
        f"wrote {out / 'v.mp4'}",
        f"wrote {out / 'v_keyframes.png'}",
    ]


def test_part_of_a_video_and_a_threshold(tool, make_video, tmp_path, capsys):
    code = tool.main(
        [
            f"--video={make_video()}",
            f"--detections={detections(tmp_path / 'd.csv', score=0.2)}",
            "--video-start-seconds=900",
            "--start=900",
            "--end=901",
            "--score-threshold=0.5",
            f"--output-dir={tmp_path / 'out'}",
        ]
    )
    printed = capsys.readouterr().out
    assert code == 0
    assert num_frames(tmp_path / "out" / "v.mp4") == 10
    assert "0 of 1 keyframe with detections have a score of 0.50 or more" in printed
    assert "is 0.20: lower --score-threshold" in printed


def test_id_that_begins_with_a_dash(tool, make_video, tmp_path):
    code = tool.main(
        [
            f"--video={make_video()}",
            f"--annotations={annotations(tmp_path / 'a.csv', ['-5KQ66BBWC4'])}",
            "--video-id=-5KQ66BBWC4",
            "--video-start-seconds=900",
            "--no-video",
            f"--output-dir={tmp_path / 'out'}",
        ]
    )
    assert code == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["-5KQ66BBWC4_keyframes.png"]


def data_set(tmp_path, make_video, names=("v", "w")):
    """Write a data set as `configs/datasets/ava_mini.yaml` has it; return the options."""
    root = tmp_path / "data"
    for folder in ("annotations", "videos", "person_boxes"):
        (root / folder).mkdir(parents=True)
    for split in ("train", "val"):
        annotations(root / "annotations" / f"ava_mini_{split}.csv", names)
    for name in names:
        make_video(f"data/videos/{name}.mp4", num_frames=25)
    (root / "annotations" / "ava_mini_action_list.pbtxt").write_text(
        'item {\n  name: "stand"\n  id: 12\n}\n'
    )
    return [
        "--config=x3d_xs_ava.yaml",
        "--set=dataset=ava_mini",
        f"--set=dataset.root={root}",
        f"--output-dir={tmp_path / 'out'}",
    ]


def test_videos_of_a_data_set(tool, make_video, tmp_path):
    options = data_set(tmp_path, make_video)
    assert tool.main([*options, "--no-video"]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["v_keyframes.png", "w_keyframes.png"]


def test_one_video_of_a_data_set(tool, make_video, tmp_path):
    options = data_set(tmp_path, make_video)
    assert tool.main([*options, "--video-id=w", "--split=train"]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["w.mp4"]


def test_action_names_of_ava_fill_up_a_shorter_list(tool, tmp_path):
    path = tmp_path / "list.pbtxt"
    path.write_text('item {\n  name: "stand"\n  id: 12\n}\n')
    names = tool._action_names(path, full_names=False)
    assert (names[12], names[80], names[79]) == ("stand", "watch a person", "talk to")
    # Ids that mean something else are not mixed with AVA's.
    path.write_text('item {\n  name: "wave"\n  id: 12\n}\n')
    assert tool._action_names(path, full_names=False) == {12: "wave"}
    assert tool._action_names(None, full_names=True)[79].endswith("(e.g., self, a person, a group)")


def test_real_clip_with_boxes_from_a_csv(tool, shared_dir, tmp_path, capsys):
    table = tmp_path / "chaplin.csv"
    table.write_text(
        "chaplin,0900,0.180,0.120,0.300,0.970,12,1\n"
        "chaplin,0900,0.470,0.020,0.660,0.990,79,2\n"
        "chaplin,0901,0.182,0.120,0.302,0.970,12,1\n"
    )
    code = tool.main(
        [
            f"--video={shared_dir / 'clips' / 'chaplin.mp4'}",
            f"--annotations={table}",
            "--video-start-seconds=900",
            "--end=901",
            f"--output-dir={tmp_path / 'out'}",
        ]
    )
    assert code == 0
    assert num_frames(tmp_path / "out" / "chaplin.mp4") == 25
    assert "25 frames, 25 of them with boxes" in capsys.readouterr().out


# Errors: one line, exit code 1; wrong usage 2


def failing(tool, capsys, *options):
    code = tool.main(list(options))
    return code, capsys.readouterr().err


def test_wrong_usage(tool, tmp_path, capsys):
    assert failing(tool, capsys)[0] == 2
    code, text = failing(tool, capsys, "--video=v.mp4")
    assert (code, "nothing to draw" in text) == (2, True)
    code, text = failing(tool, capsys, "--video=v.mp4", "--annotations=a", "--score-threshold=30")
    assert (code, "30 is not a number from 0 to 1" in text) == (2, True)
    code, text = failing(
        tool, capsys, "--video=v.mp4", "--annotations=a", "--video-id=a", "--video-id=b"
    )
    assert (code, "one --video-id" in text) == (2, True)
    assert failing(tool, capsys, "--video=v.mp4", "--annotations=a", "--top-k=0")[0] == 2


def test_errors_are_one_line_each(tool, make_video, tmp_path, capsys):
    video, table = make_video(), annotations(tmp_path / "a.csv", ["film"])
    out = f"--output-dir={tmp_path / 'out'}"
    cases = {
        "none.mp4: there is no such file": [f"--video={tmp_path}/none.mp4"],
        "video id v; they have film. Set it by --video-id=ID": [f"--video={video}"],
        "they have film; did you mean film?": [f"--video={video}", "--video-id=fim"],
        "keyframes are at 0900 to 0902 s": [f"--video={video}", "--video-id=film"],
    }
    for wanted, options in cases.items():
        code, text = failing(tool, capsys, *options, f"--annotations={table}", out)
        assert code == 1
        assert wanted in text
        assert len(text.splitlines()) == 1


def test_missing_files_of_a_data_set_are_named(tool, make_video, tmp_path, capsys):
    options = data_set(tmp_path, make_video)
    (tmp_path / "data" / "videos" / "w.mp4").unlink()
    code, text = failing(tool, capsys, *options, "--no-video")
    assert code == 1
    assert "no video w in" in text
    (tmp_path / "data" / "annotations" / "ava_mini_val.csv").unlink()
    code, text = failing(tool, capsys, *options)
    assert code == 1
    assert "ava_mini_val.csv" in text
    assert "make_ava_mini.py" in text


def test_help_is_quick_to_import(repository):
    command = [sys.executable, "-X", "importtime", "tools/visualize_ava.py", "--help"]
    done = subprocess.run(
        command,
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--score-threshold" in done.stdout
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "x3d_det.cli" in imported
    assert imported.isdisjoint({"torch", "pandas", "matplotlib", "PIL", "av", "numpy"})
