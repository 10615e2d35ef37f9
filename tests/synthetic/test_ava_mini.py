"""The generated AVA on disk: AVA's files, the same every time, kept and completed."""

import json
import os
import runpy
import shutil

import av
import numpy as np
import pytest
from made_sets import assert_same_set, digests, pictures

from x3d_det.errors import DataError
from x3d_det.io.ava_csv import read_annotations, read_exclusions, read_proposals
from x3d_det.io.label_map import ava_label_map, read_label_map
from x3d_det.synthetic import ACTION_IDS, AvaMiniSummary, generate_ava_mini
from x3d_det.synthetic.ava_mini import LABEL_MAP_PATH, table_paths
from x3d_det.synthetic.film import open_shot
from x3d_det.synthetic.script import plan_split

TINY = {"num_train_videos": 2, "num_val_videos": 1, "seconds_per_video": 6}
SMALLEST = {"num_train_videos": 1, "num_val_videos": 1, "seconds_per_video": 4}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> AvaMiniSummary:
    return generate_ava_mini(tmp_path_factory.mktemp("tiny"), seed=5, workers=1, **TINY)


def test_folder_holds_avas_files_and_nothing_else(tiny):
    ids = [
        plan.video_id
        for split, count in (("train", 2), ("val", 1))
        for plan in plan_split(5, split, num_videos=count, seconds_per_video=6)
    ]
    expected = {"manifest.json", "annotations/ava_mini_action_list.pbtxt"}
    expected |= {f"videos/{video_id}.mp4" for video_id in ids}
    for split in ("train", "val"):
        expected |= {
            f"annotations/ava_mini_{split}.csv",
            f"annotations/ava_mini_{split}_excluded_timestamps.csv",
            f"person_boxes/ava_mini_{split}_predicted_boxes.csv",
        }
    assert set(digests(tiny.output_dir)) == expected


def test_rows_are_as_avas(tiny):
    for split in ("train", "val"):
        for line in (tiny.output_dir / table_paths(split)["annotations"]).read_text().splitlines():
            video_id, second, *box, action_id, person_id = line.split(",")
            assert len(video_id) == 11
            assert len(second) == 4
            assert second >= "0902"
            assert all(len(side) == 5 and 0 <= float(side) <= 1 for side in box)
            assert int(action_id) in ACTION_IDS
            assert int(person_id) >= 0
        proposals = (tiny.output_dir / table_paths(split)["proposals"]).read_text().splitlines()
        assert all(line.split(",")[6] == "" and len(line.split(",")) == 8 for line in proposals)


def test_rows_of_one_box_stand_together(tiny):
    rows = read_annotations(tiny.output_dir / table_paths("train")["annotations"]).rows
    keys = [tuple(row) for row in rows[["video_id", "timestamp", "person_id"]].to_numpy()]
    blocks = [key for number, key in enumerate(keys) if number == 0 or keys[number - 1] != key]
    assert len(blocks) == len(set(blocks))


def test_our_strict_readers_take_every_file(tiny):
    label_map = read_label_map(tiny.output_dir / LABEL_MAP_PATH)
    everything = ava_label_map(60)
    assert label_map.action_ids == ACTION_IDS
    assert all(label_map.names[i] == everything.names[i] for i in ACTION_IDS)
    assert all(label_map.groups[i] == everything.groups[i] for i in ACTION_IDS)
    videos = {}
    for split in ("train", "val"):
        paths = {kind: tiny.output_dir / name for kind, name in table_paths(split).items()}
        rows = read_annotations(paths["annotations"], action_ids=ACTION_IDS).rows
        excluded = read_exclusions(paths["exclusions"])
        proposals = read_proposals(paths["proposals"])
        keys = set(zip(rows["video_id"], rows["timestamp"], strict=True))
        out = set(zip(excluded["video_id"], excluded["timestamp"], strict=True))
        assert not keys & out
        assert set(zip(proposals["video_id"], proposals["timestamp"], strict=True)) <= keys | out
        assert proposals["score"].between(0, 1).all()
        videos[split] = set(rows["video_id"])
    assert not videos["train"] & videos["val"]


def test_videos_last_as_long_as_planned_with_short_gops(tiny):
    for split, count in (("train", 2), ("val", 1)):
        for plan in plan_split(5, split, num_videos=count, seconds_per_video=6):
            path = tiny.output_dir / "videos" / f"{plan.video_id}.mp4"
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                assert (stream.height, stream.width) == (plan.height, plan.width)
                frames = list(container.decode(stream))
            times = [float(frame.time) for frame in frames]
            keys = [float(frame.time) for frame in frames if frame.key_frame]
            assert 5.9 < times[-1] < 6
            assert max(np.diff([*keys, 6.0])) <= 1.05
            steps = set(np.round(np.diff(times), 4))
            assert (len(steps) > 2) == (plan.fps is None)


def test_the_video_shows_at_a_keyframe_what_the_script_draws_there(tiny):
    [plan] = plan_split(5, "val", num_videos=1, seconds_per_video=6)
    shown = pictures(tiny.output_dir / "videos" / f"{plan.video_id}.mp4")
    shot = plan.shots[0]
    second = shot.keyframes[0]
    [drawn] = open_shot(plan, 0, seed=5).pictures([float(second - shot.start)])
    assert plan.fps is not None
    away = np.abs(shown[int(second * plan.fps)].astype(float) - drawn).mean()
    assert away < 6  # what compression changes
    assert away < np.abs(shown[int(second * plan.fps) - 12].astype(float) - drawn).mean()


def test_two_processes_make_the_same_set(tiny, tmp_path):
    other = generate_ava_mini(tmp_path / "again", seed=5, workers=2, **TINY)
    assert_same_set(other.output_dir, tiny.output_dir)


def test_summary_counts_the_rows(tiny):
    for split in ("train", "val"):
        rows = read_annotations(tiny.output_dir / table_paths(split)["annotations"]).rows
        assert sum(tiny.instances[split].values()) == len(rows)
        assert tiny.num_keyframes[split] == rows.groupby(["video_id", "timestamp"]).ngroups
        boxes = rows.groupby(["video_id", "timestamp", "person_id"])
        assert tiny.num_boxes[split] == boxes.ngroups
    assert tiny.num_videos == {"train": 2, "val": 1}
    lines = tiny.lines()
    assert len(lines) == 3 + len(ACTION_IDS)
    assert lines[0].startswith("train: 2 videos, ")
    assert any("hand wave" in line for line in lines)


def test_a_complete_folder_is_left_alone(tiny):
    before = {path: path.stat().st_mtime_ns for path in tiny.output_dir.rglob("*")}
    again = generate_ava_mini(tiny.output_dir, seed=5, workers=1, **TINY)
    assert again.reused
    assert not tiny.reused
    assert again.instances == tiny.instances
    assert {path: path.stat().st_mtime_ns for path in tiny.output_dir.rglob("*")} == before


def test_a_damaged_video_and_a_missing_table_are_made_again(tiny, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(tiny.output_dir, folder)
    damaged, *others = sorted((folder / "videos").iterdir())
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    (folder / LABEL_MAP_PATH).unlink()
    stamps = {path: path.stat().st_mtime_ns for path in others}
    found = generate_ava_mini(folder, seed=5, workers=1, **TINY)
    assert not found.reused
    assert_same_set(folder, tiny.output_dir)
    assert {path: path.stat().st_mtime_ns for path in others} == stamps


class _Stop(Exception):
    pass


def test_a_stopped_run_is_completed(tiny, tmp_path):
    folder = tmp_path / "half"

    def stop(done: int, total: int) -> None:
        assert total == 3
        if done == 2:
            raise _Stop

    with pytest.raises(_Stop):
        generate_ava_mini(folder, seed=5, workers=1, progress=stop, **TINY)
    assert not (folder / "manifest.json").exists()
    made = {path: path.stat().st_mtime_ns for path in (folder / "videos").iterdir()}
    assert len(made) == 2
    generate_ava_mini(folder, seed=5, workers=1, **TINY)
    assert_same_set(folder, tiny.output_dir)
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_other_settings_replace_the_set(tiny, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(tiny.output_dir, folder)
    found = generate_ava_mini(folder, seed=6, workers=1, **SMALLEST)
    assert found.num_videos == {"train": 1, "val": 1}
    assert len(list((folder / "videos").iterdir())) == 2
    assert json.loads((folder / "manifest.json").read_text())["settings"]["seed"] == 6
    assert not {p.name for p in (folder / "videos").iterdir()} & {
        p.name for p in (tiny.output_dir / "videos").iterdir()
    }


def test_a_folder_of_somebody_else_is_not_touched(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="holds files that are not of a generated AVA"):
        generate_ava_mini(tmp_path, workers=1, **SMALLEST)
    assert os.listdir(tmp_path) == ["letter.txt"]


def test_every_number_out_of_range_is_named(tmp_path):
    with pytest.raises(DataError) as caught:
        generate_ava_mini(
            tmp_path,
            seed=-1,
            num_train_videos=0,
            num_val_videos=0,
            seconds_per_video=3,
            workers=0,
        )
    for words in (
        "seed = -1 is below 0",
        "num_train_videos = 0 is below 1",
        "num_val_videos = 0 is below 1",
        "seconds_per_video = 3 is below 4",
        "workers = 0 is below 1",
    ):
        assert words in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_the_command_makes_reuses_and_refuses(tmp_path, repository, capsys):
    main = runpy.run_path(str(repository / "tools" / "make_ava_mini.py"))["main"]
    words = ["--train-videos", "1", "--val-videos", "1", "--seconds", "4", "--workers", "1"]
    folder = str(tmp_path / "made")
    assert main(["--output-dir", folder, *words]) == 0
    assert f"{folder}: made in" in capsys.readouterr().out
    assert main(["--output-dir", folder, *words]) == 0
    assert f"{folder}: stands already" in capsys.readouterr().out
    assert main(["--output-dir", folder, "--seconds", "1"]) == 1
    assert "seconds_per_video = 1 is below 4" in capsys.readouterr().err
    assert main(["--seconds", "many"]) == 2
