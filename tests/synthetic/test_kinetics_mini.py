"""The generated Kinetics: one label a clip, the same every time, kept and completed."""

import os
import re
import shutil
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from made_sets import assert_same_set, digests

from x3d_det.errors import DataError
from x3d_det.io.class_names import read_class_names
from x3d_det.io.video import iterate_frames, probe_video
from x3d_det.io.video_lists import read_video_list
from x3d_det.synthetic import KineticsMiniSummary, generate_ava_mini, generate_kinetics_mini
from x3d_det.synthetic.actions import GAITS
from x3d_det.synthetic.kinetics_mini import HEIGHT, framing, open_clip
from x3d_det.synthetic.kinetics_script import (
    CLASS_NAMES,
    MOTION_GROUPS,
    KineticsClip,
    clip_stream,
    plan_clips,
)
from x3d_det.synthetic.made_folder import check_at_least
from x3d_det.synthetic.script import random_stream

CLASSES = ("bend", "clap", "fall_down", "shake_hands")
TINY = {"train_clips_per_class": 1, "val_clips_per_class": 1, "class_names": CLASSES}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> KineticsMiniSummary:
    return generate_kinetics_mini(tmp_path_factory.mktemp("tiny"), seed=5, workers=1, **TINY)


def clip_of(name: str, *, index: int = 0) -> KineticsClip:
    return plan_clips(0, "train", clips_per_class=index + 1, class_names=[name])[index]


def test_folder_holds_lists_classes_and_one_clip_a_line(tiny):
    folder = tiny.output_dir
    names = (folder / "classes.txt").read_text().splitlines()
    assert names == list(CLASSES)
    expected = {"manifest.json", "classes.txt", "train.csv", "val.csv"}
    for split in ("train", "val"):
        rows = [line.split(" ") for line in (folder / f"{split}.csv").read_text().splitlines()]
        for path, label in rows:  # no path holds a space, so PySlowFast's readers take it
            assert path == f"{split}/{names[int(label)]}/{names[int(label)]}_0000.mp4"
        assert Counter(int(label) for _, label in rows) == dict.fromkeys(range(len(names)), 1)
        expected |= {path for path, _ in rows}
    assert set(digests(folder)) == expected


def test_our_strict_readers_find_the_same_labels_in_the_list_and_in_the_folders(tiny):
    folder = tiny.output_dir
    names = read_class_names(folder / "classes.txt")
    listed = read_video_list(
        folder / "train.csv", videos_folder=folder, class_names=names, form="pyslowfast"
    )
    train = folder / "train"
    tree = read_video_list(train, videos_folder=train, class_names=None, form="class_folders")
    assert listed.class_names == tree.class_names == CLASSES
    assert [(v.path.name, v.label) for v in listed.videos] == [
        (f"{name}_0000.mp4", label) for label, name in enumerate(CLASSES)
    ]
    assert {(v.path, v.label) for v in listed.videos} == {(v.path, v.label) for v in tree.videos}


def test_a_file_is_as_long_and_large_as_planned_and_shows_the_drawn_picture(tiny):
    for clip in plan_clips(5, "train", clips_per_class=1, class_names=CLASSES[1:3]):
        path = tiny.output_dir / clip.path
        info = probe_video(path)
        shot, (left, top, right, bottom) = open_clip(clip, seed=5)
        assert info.height == HEIGHT
        assert info.width == pytest.approx(HEIGHT * (right - left) / (bottom - top), abs=1.01)
        assert 1.9 <= clip.seconds <= 3.05
        shown = [frame for _, frame in iterate_frames(path)]
        assert len(shown) == clip.num_frames
        [drawn] = shot.pictures([float(5 / clip.fps)])
        kept = drawn[round(top) : round(bottom), round(left) : round(right)]
        np.testing.assert_allclose(shown[5].mean(axis=(0, 1)), kept.mean(axis=(0, 1)), atol=3)


def test_drawn_sizes_are_avas_and_rates_half_of_them():
    clips = plan_clips(0, "train", clips_per_class=12)
    sizes = {(clip.drawn_height, clip.drawn_width) for clip in clips}
    assert sizes == {(240, 320), (256, 256), (240, 426)}
    assert {c.fps for c in clips} == {
        Fraction(15),
        Fraction(25, 2),
        Fraction(12),
        Fraction(15000, 1001),
    }


def test_every_class_is_played_by_its_own_roles():
    for name in ("stand", "walk", "run", "sit", "crouch", "bend", "jump", "lie"):
        roles = {
            (r.body, r.gesture, r.pair) for i in range(4) for r in clip_of(name, index=i).roles
        }
        assert roles == {(name, "none", None)}
    for name, gesture in (("wave", "wave"), ("raise_hand", "raise"), ("join_hands", "join")):
        assert {r.gesture for r in clip_of(name).roles} == {gesture}
    assert [r.pair for r in clip_of("shake_hands").roles] == ["hand shake"] * 2
    for name, falls in (("fall_down", True), ("get_up", False)):
        clip = clip_of(name)
        assert {r.first_is_fall for r in clip.roles} == {falls}
        assert clip.roles[0].middles == (clip.seconds / 2,)


def test_classes_of_a_motion_group_are_cast_from_the_same_bodies():
    bodies = {
        name: {r.body for i in range(12) for r in clip_of(name, index=i).roles}
        for group in MOTION_GROUPS
        for name in group
    }
    assert bodies["wave"] == bodies["raise_hand"] == bodies["clap"] == bodies["join_hands"]
    assert bodies["fall_down"] == bodies["get_up"] == {"descent"}
    assert {b for name in MOTION_GROUPS[0] for b in bodies[name]} == set(GAITS)


@pytest.mark.parametrize("name", ["run", "stand", "get_up", "raise_hand"])
def test_every_figure_is_inside_the_picture_from_beginning_to_end(name):
    clip = clip_of(name)
    shot, (left, top, right, bottom) = open_clip(clip, seed=0)
    assert 0 <= left < right <= shot.width
    assert 0 <= top < bottom <= shot.height
    for second in (0.1, clip.seconds / 2, clip.seconds - 0.1):
        boxes = [person.box_norm for person in shot.boxes(second)]
        assert len(boxes) == len(clip.roles)
        assert all(left <= x1 * shot.width < x2 * shot.width <= right for x1, _, x2, _ in boxes)


def test_classes_are_the_alphabets_and_their_clips_do_not_depend_on_the_others():
    assert list(CLASS_NAMES) == sorted(set(CLASS_NAMES))
    assert all(set(group) <= set(CLASS_NAMES) for group in MOTION_GROUPS)
    everything = plan_clips(0, "val", clips_per_class=2)
    some = plan_clips(0, "val", clips_per_class=2, class_names=["hug", "walk"])
    assert some == [clip for clip in everything if clip.class_name in ("hug", "walk")]


@pytest.mark.parametrize(
    ("box", "window"),
    [
        # 100 high x 1.15 is below the smallest window, 0.6 x 200 = 120; its middle is (150, 100)
        ((0.45, 0.25, 0.55, 0.75), (90.0, 40.0, 210.0, 160.0)),
        # the same at the left edge: the window is moved into the picture
        ((0.0, 0.25, 0.1, 0.75), (0.0, 40.0, 120.0, 160.0)),
        # 240 wide x 1.15 = 276 is more than the picture is high: wider than high
        ((0.1, 0.25, 0.9, 0.75), (12.0, 0.0, 288.0, 200.0)),
        ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 300.0, 200.0)),
    ],
)
def test_framing_worked_by_hand(box, window):
    found = framing(np.array([box]), height=200, width=300)
    assert found == pytest.approx(window)


def test_more_clips_leave_the_first_ones_as_they_are():
    few, many = (plan_clips(0, "val", clips_per_class=count) for count in (1, 3))
    assert [clip for clip in many if clip.index == 0] == few
    assert plan_clips(0, "val", clips_per_class=0) == []


def test_splits_seeds_clips_and_avas_videos_share_no_stream():
    clips = [c for split in ("train", "val") for c in plan_clips(0, split, clips_per_class=2)]
    purposes = ("look", "motion", "scene")
    draws = [
        clip_stream(seed, clip, attempt, purpose).integers(2**62)
        for seed in (0, 1)
        for clip in clips
        for attempt in (0, 1)
        for purpose in purposes
    ]
    draws += [
        random_stream(0, split, video, shot, purpose).integers(2**62)
        for split in ("train", "val")
        for video in range(4)
        for shot in range(4)
        for purpose in purposes
    ]
    assert len(set(draws)) == len(draws)


def test_summary_counts_clips_and_seconds(tiny):
    assert tiny.num_clips == {"train": 4, "val": 4}
    planned = sum(
        clip.seconds for clip in plan_clips(5, "val", clips_per_class=1, class_names=CLASSES)
    )
    assert tiny.num_seconds["val"] == pytest.approx(planned, abs=1e-3)
    sizes = [p.stat().st_size for p in tiny.output_dir.rglob("*.*") if p.name != "manifest.json"]
    assert tiny.num_bytes == sum(sizes)
    assert tiny.lines()[0].startswith("train: 4 clips of 4 classes, 1 each, ")
    assert tiny.lines()[-1] == "classes: bend, clap, fall_down, shake_hands"


def test_a_complete_folder_is_left_alone(tiny):
    before = {path: path.stat().st_mtime_ns for path in tiny.output_dir.rglob("*")}
    again = generate_kinetics_mini(tiny.output_dir, seed=5, workers=1, **TINY)
    assert (again.reused, tiny.reused) == (True, False)
    assert again.num_seconds == tiny.num_seconds
    assert {path: path.stat().st_mtime_ns for path in tiny.output_dir.rglob("*")} == before


class _Stop(Exception):
    pass


def test_a_stopped_run_is_completed_by_two_processes_to_the_same_bytes(tiny, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(tiny.output_dir, folder)
    (folder / "classes.txt").unlink()  # no longer complete: the next run starts over from clips
    damaged, missing, *_ = sorted((folder / "train").rglob("*.mp4"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    missing.unlink()
    stamps = {path: path.stat().st_mtime_ns for path in (folder / "val").rglob("*.mp4")}

    def stop(done: int, total: int) -> None:
        assert total == 8
        raise _Stop

    with pytest.raises(_Stop):
        generate_kinetics_mini(folder, seed=5, workers=1, progress=stop, **TINY)
    assert not (folder / "manifest.json").exists()
    found = generate_kinetics_mini(folder, seed=5, workers=2, **TINY)
    assert not found.reused
    assert_same_set(folder, tiny.output_dir)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_folders_of_somebody_else_and_of_the_generated_ava_are_not_touched(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="holds files that are not of a generated Kinetics"):
        generate_kinetics_mini(tmp_path, workers=1, **TINY)
    assert os.listdir(tmp_path) == ["letter.txt"]
    ava = tmp_path / "ava"
    ava.mkdir()
    manifest = '{"settings": {"seed": 0, "num_train_videos": 1}, "sha256": {"videos/a.mp4": "0"}}'
    (ava / "manifest.json").write_text(manifest)
    with pytest.raises(DataError, match="ava holds files that are not of a generated Kinetics"):
        generate_kinetics_mini(ava, workers=1, **TINY)
    assert os.listdir(ava) == ["manifest.json"]


def test_the_ava_maker_does_not_take_a_kinetics_folder(tiny, tmp_path):
    folder = tmp_path / "kinetics"
    shutil.copytree(tiny.output_dir, folder)
    with pytest.raises(DataError, match="kinetics holds files that are not of a generated AVA"):
        generate_ava_mini(folder, workers=1)
    assert digests(folder) == digests(tiny.output_dir)


def test_every_number_out_of_range_is_named(tmp_path):
    with pytest.raises(DataError) as caught:
        generate_kinetics_mini(
            tmp_path, seed=-1, train_clips_per_class=0, val_clips_per_class=-2, workers=0
        )
    for words in (
        "the generated Kinetics cannot be made: seed = -1 is below 0",
        "train_clips_per_class = 0 is below 1",
        "val_clips_per_class = -2 is below 1",
        "workers = 0 is below 1",
    ):
        assert words in str(caught.value)
    assert os.listdir(tmp_path) == []
    check_at_least("set", [("seed", 0, 0)])


@pytest.mark.parametrize(
    ("names", "words"),
    [(["walk", "wlak"], "'wlak' is no class of it; did you mean walk?"), ([], "it needs a class")],
)
def test_unknown_and_missing_classes_are_named(tmp_path, names, words):
    with pytest.raises(
        DataError, match=rf"{re.escape(words)}; there are answer_phone, bend, .*, wave"
    ):
        generate_kinetics_mini(tmp_path, class_names=names, workers=1)
    assert os.listdir(tmp_path) == []
