"""Which keyframes are looked at: grids over files, annotations, lists, and their shards."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from video_files import cut_file, make_video

from x3d_det.errors import DataError
from x3d_det.io.ava_csv import read_annotations, read_exclusions
from x3d_det.persons.keyframe_plan import (
    KEYFRAMES_PER_PIECE,
    KeyframePlan,
    Piece,
    Shard,
    find_videos,
    plan_annotated,
    plan_annotated_range,
    plan_every,
    plan_listed,
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 2.4 seconds."""
    return make_video(tmp_path_factory.mktemp("plan") / "clip.mp4", num_frames=24, fps=10)


def _write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


# Grids over files


def test_every_second_of_a_file(clip):
    plan = plan_every({"clip": clip})
    assert plan.timestamps == {"clip": (0.0, 1.0, 2.0)}  # 2.4 s: 3 is not shown any more
    assert plan.num_keyframes == 3
    assert (plan.unreadable, plan.notes) == ({}, ())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"interval_seconds": 0.8}, (0.0, 0.8, 1.6)),  # 2.4 is the file's end
        ({"interval_seconds": 0.1, "last_second": 0.3}, (0.0, 0.1, 0.2, 0.3)),
        ({"first_second": 1.5}, (1.5,)),
        ({"first_second": 1, "last_second": 5}, (1.0, 2.0, 3.0, 4.0, 5.0)),
        ({"video_start_seconds": 900.0}, (900.0, 901.0, 902.0)),
        ({"video_start_seconds": 10.5}, (11.0, 12.0)),  # shows 10.5 to 12.9: two whole seconds
    ],
)
def test_grids(clip, options, expected):
    assert plan_every({"clip": clip}, **options).timestamps == {"clip": expected}


def test_a_file_without_a_length_in_its_header_is_decoded_for_it(tmp_path):
    path = make_video(tmp_path / "live.mkv", num_frames=21, fps=10, container_options={"live": "1"})
    assert plan_every({"live": path}).timestamps == {"live": (0.0, 1.0, 2.0)}


def test_a_broken_file_is_named_and_changes_neither_identity_nor_shards(clip, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(cut_file(clip, share=0.5).read_bytes())
    spoilt = plan_every({"a": clip, "broken": broken, "c": clip})
    assert spoilt.timestamps["broken"] == ()
    assert list(spoilt.unreadable) == ["broken"]
    assert str(broken) in spoilt.unreadable["broken"]
    mended = plan_every({"a": clip, "broken": clip, "c": clip})
    assert mended.identity == spoilt.identity
    for index in (1, 2):
        pieces = set(mended.pieces(Shard(index, 2)))
        assert set(spoilt.pieces(Shard(index, 2))) <= pieces


def test_no_keyframe_in_any_file_is_an_error(clip):
    with pytest.raises(DataError, match="of 1 video files none reaches second 7"):
        plan_every({"clip": clip}, first_second=7)


# Files and folders


def test_files_and_folders_of_videos(tmp_path):
    folder = tmp_path / "more"
    folder.mkdir()
    for name in ("b.MKV", "-5KQ66BBWC4.mp4", "notes.txt"):
        (folder / name).touch()
    single = tmp_path / "a.strange"
    single.touch()
    found = find_videos([single, folder, folder / "b.MKV"])  # the same file twice is one
    assert found == {
        "-5KQ66BBWC4": folder / "-5KQ66BBWC4.mp4",
        "a": single,
        "b": folder / "b.MKV",
    }
    assert list(found) == sorted(found)


def test_two_files_of_one_id_are_refused(tmp_path):
    for name in ("film.mp4", "film.mkv"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"film\.mkv and .*film\.mp4 have the same video id film;"):
        find_videos([tmp_path])


def test_missing_and_empty_places_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.mp4: there is no such file or folder"):
        find_videos([tmp_path / "nowhere.mp4"])
    with pytest.raises(DataError, match="holds no video; endings looked for: mp4, mkv"):
        find_videos([tmp_path])


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("a,b.mp4", "holds ','"),
        ('a"b.mp4', "holds '\"'"),
        ("a..b.mp4", "holds '..'"),
        (" a.mp4", "has blanks at its ends or is not UTF-8"),
        ("a\udcff.mp4", "has blanks at its ends or is not UTF-8"),
    ],
)
def test_a_name_that_no_csv_can_hold_is_refused_at_once(tmp_path, name, what):
    (tmp_path / name).touch()
    with pytest.raises(DataError, match="cannot hold as a video id; rename it") as caught:
        find_videos([tmp_path / name])
    assert what in str(caught.value)


# Annotations and lists


def test_the_seconds_between_the_first_and_last_annotated_one_less_the_excluded(tmp_path):
    # Seconds 3 to 6 of the whole split, for each video, also those where nobody is annotated.
    path = _write(
        tmp_path / "val.csv",
        "b,0004,0.1,0.1,0.5,0.5,12,0",
        "b,0006,0.1,0.1,0.5,0.5,12,0",
        "a,0003,0.1,0.1,0.5,0.5,12,0",
    )
    exclusions = read_exclusions(_write(tmp_path / "excluded.csv", "a,0005", "a,0099", "c,0004"))
    plan = plan_annotated_range(read_annotations(path), exclusions=exclusions)
    assert plan.timestamps == {"a": (3.0, 4.0, 6.0), "b": (3.0, 4.0, 5.0, 6.0)}
    assert list(plan.timestamps) == ["a", "b"]
    assert plan.notes == ("1 keyframes of the exclusion list",)


def test_broken_seconds_ask_for_the_annotated_keyframes(tmp_path):
    path = _write(tmp_path / "k.csv", "a,17.500000,0.1,0.1,0.5,0.5,12", "a,0003")
    annotations = read_annotations(path)
    with pytest.raises(DataError, match=r"such as 17\.500000.*--keyframes annotated"):
        plan_annotated_range(annotations)
    # The keyframe without a person is one too.
    assert plan_annotated(annotations).timestamps == {"a": (3.0, 17.5)}


def test_listed_keyframes_each_once(tmp_path):
    path = _write(tmp_path / "list.csv", "b,0902", "a,1.5", "b,0901", "b,902", "c,3", "c,4")
    rows = read_exclusions(path)
    assert plan_listed(rows, path=path).timestamps == {
        "a": (1.5,),
        "b": (901.0, 902.0),
        "c": (3.0, 4.0),
    }
    some = plan_listed(rows, path=path, video_ids=["b", "other"])
    assert some.timestamps == {"b": (901.0, 902.0)}
    assert some.notes == (
        f"3 keyframes of 2 videos of {path} that were not given",
        f"videos without a keyframe in {path}: other",
    )


def test_a_list_of_other_videos_is_an_error(tmp_path):
    path = _write(tmp_path / "list.csv", "film_1,0902")
    with pytest.raises(DataError, match="its video ids: film_1; did you mean film_1"):
        plan_listed(read_exclusions(path), path=path, video_ids=["film_2"])


def test_real_annotations(shared_dir):
    # AVA v1.0 names each third second; the seconds between count too.
    annotations = read_annotations(shared_dir / "ava/annotations/ava_test_v1.0.csv")
    plan = plan_annotated_range(annotations)
    named = plan_annotated(annotations)
    first, last = (int(find(annotations.rows["timestamp"])) for find in (min, max))
    assert len(plan.timestamps) == len(named.timestamps) == 38
    assert plan.num_keyframes == 38 * (last - first + 1)
    assert named.num_keyframes == 10_140
    # AVA-Kinetics: seconds with fractions, and keyframes looked at without a person.
    path = shared_dir / "ava/annotations/ava_kinetics_val_v1.0_first_12000_rows.csv"
    lines = path.read_text().splitlines()
    keyframes = {
        (video_id, float(second)) for video_id, second, *_ in (x.split(",") for x in lines)
    }
    kinetics = plan_annotated(read_annotations(path))
    assert {(v, s) for v, own in kinetics.timestamps.items() for s in own} == keyframes


# Shards


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/2", "a/b", "1/2/3", "1.0/2"])
def test_what_is_no_shard(text):
    with pytest.raises(ValueError, match="write i/n with i from 1 to n, as in 1/4"):
        Shard.parse(text)


def test_pieces_are_dealt_out_in_turn():
    # Two videos of two pieces each (16 and 1 keyframes), worked by hand.
    seconds = tuple(float(second) for second in range(KEYFRAMES_PER_PIECE + 1))
    plan = KeyframePlan(timestamps={"a": seconds, "b": seconds}, identity="")
    assert list(plan.pieces(Shard(1, 2))) == [Piece("a", seconds[:16]), Piece("b", (16.0,))]
    assert list(plan.pieces(Shard(2, 2))) == [Piece("a", (16.0,)), Piece("b", seconds[:16])]


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(0, 70), max_size=6), count=st.integers(1, 9))
def test_shards_share_the_keyframes_out_evenly(lengths, count):
    plan = KeyframePlan(
        timestamps={f"v{i}": tuple(map(float, range(n))) for i, n in enumerate(lengths)},
        identity="",
    )
    shares = [list(plan.pieces(Shard(index + 1, count))) for index in range(count)]
    found = Counter(
        (piece.video_id, second)
        for share in shares
        for piece in share
        for second in piece.timestamps
    )
    assert found == {(v, s): 1 for v, own in plan.timestamps.items() for s in own}
    for i, n in enumerate(lengths):  # of each video, no shard has two pieces more than another
        num = [sum(piece.video_id == f"v{i}" for piece in share) for share in shares]
        assert sum(num) == -(-n // KEYFRAMES_PER_PIECE)
        assert max(num) - min(num) <= 1


def test_identity_tells_plans_apart(tmp_path, clip):
    def listed(*rows: tuple[str, float]) -> str:
        return plan_listed(pd.DataFrame(rows, columns=["video_id", "timestamp"]), path="x").identity

    plans = [
        listed(("a", 1)),
        listed(("a", 2)),
        listed(("b", 1)),
        listed(("a", 1), ("a", 2)),
        plan_every({"a": clip}).identity,
        plan_every({"b": clip}).identity,
        plan_every({"a": clip}, interval_seconds=2).identity,
        plan_every({"a": clip}, first_second=1).identity,
        plan_every({"a": clip}, last_second=1).identity,
    ]
    assert len(set(plans)) == len(plans)
    assert listed(("a", 1), ("b", 2)) == listed(("b", 2), ("a", 1), ("a", 1))
