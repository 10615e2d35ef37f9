from fractions import Fraction

import av
import numpy as np
import pandas as pd
import pytest

from x3d_det.errors import VideoError
from x3d_det.visualization import build_timeline, render_video
from x3d_det.visualization.palette import PERSON_COLORS

KEYS = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id"]
BOX = (0.25, 0.25, 0.75, 1.0)
NAMES = {12: "stand", 80: "watch a person"}


def timeline_of(annotated=(), detected=(), **options):
    """Rows of (second, box, action id, person id or score)."""
    tables = {
        "annotations": (annotated, "person_id"),
        "detections": (detected, "score"),
    }
    frames = {
        name: pd.DataFrame(
            [("v", float(t), *b, a, x) for t, b, a, x in rows], columns=[*KEYS, last]
        )
        for name, (rows, last) in tables.items()
    }
    return build_timeline("v", **frames, **options)


def read(path):
    """Return seconds, frames and stream facts of a video, all decoded."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        codec = stream.codec_context
        return (
            np.array([frame.time for frame in frames]),
            [frame.to_ndarray(format="rgb24") for frame in frames],
            (codec.name, codec.pix_fmt, bool(container.streams.audio)),
        )


def render(source, output, timeline, **options):
    options.setdefault("video_start_seconds", 900.0)
    return render_video(source, output, timeline, action_names=NAMES, **options)


def test_h264_in_yuv420p_with_every_frame_at_its_time(make_video, tmp_path):
    source = make_video(fps=Fraction(30000, 1001), num_frames=20)
    summary = render(source, tmp_path / "out.mp4", timeline_of([(900, BOX, 12, 1)]))
    before, _, _ = read(source)
    after, frames, facts = read(tmp_path / "out.mp4")
    assert facts == ("h264", "yuv420p", False)
    assert summary.num_frames == len(frames) == 20
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_varying_rate_stays_as_it_was(make_video, tmp_path):
    seconds = [0.0, 0.04, 0.08, 0.3, 0.35, 0.9, 1.0, 1.5]
    source = make_video(num_frames=8, seconds=seconds)
    render(source, tmp_path / "out.mp4", timeline_of([(901, BOX, 12, 1)]))
    after, _, _ = read(tmp_path / "out.mp4")
    np.testing.assert_allclose(after, seconds, atol=1e-4)


def test_box_is_where_and_when_it_should_be(make_video, tmp_path):
    # 30 frames at 10 a second from 900.0: the keyframe 901 is shown from 900.5 to 901.5.
    source = make_video(height=240, width=320)
    summary = render(source, tmp_path / "out.mp4", timeline_of([(901, BOX, 12, 1)]))
    _, frames, _ = read(tmp_path / "out.mp4")
    has_box = []
    for index, frame in enumerate(frames):
        line = frame[100:220, 80:82].astype(int)  # the left line: 0.25 of 320
        grey = 40 + 2 * index
        has_box.append(bool((np.abs(line - grey).max(axis=2) > 30).mean() > 0.4))
    assert has_box == [5 <= index <= 15 for index in range(30)]
    assert summary.num_frames_with_persons == 11
    assert summary.num_keyframes == summary.num_annotated == 1


def test_solid_line_has_the_colour_of_the_person(make_video, tmp_path):
    source = make_video(height=240, width=320, num_frames=5)
    render(source, tmp_path / "out.mp4", timeline_of(detected=[(900, BOX, 12, 0.9)]), crf=5)
    _, frames, _ = read(tmp_path / "out.mp4")
    # yuv420p halves the colour's resolution, so the line's own pixels are near it only.
    found = frames[2][200, 80:82].astype(int).mean(axis=0)
    assert np.abs(found - PERSON_COLORS[0]).max() < 40


def test_part_of_a_video_starts_at_zero(make_video, tmp_path):
    source = make_video()
    summary = render(
        source,
        tmp_path / "out.mp4",
        timeline_of([(901, BOX, 12, 1), (902, BOX, 12, 1)]),
        start_seconds=901.0,
        end_seconds=901.5,
    )
    after, _, _ = read(tmp_path / "out.mp4")
    np.testing.assert_allclose(after, [0.0, 0.1, 0.2, 0.3, 0.4], atol=1e-4)
    assert summary.num_keyframes == 1
    assert summary.notes == (
        "1 keyframe (0902) outside the drawn part, 901.00 to 901.40 s of the film.",
    )


def test_odd_size(make_video, tmp_path):
    source = make_video(height=97, width=129, num_frames=3)
    render(source, tmp_path / "out.mp4", timeline_of([(900, BOX, 12, 1)]))
    _, frames, _ = read(tmp_path / "out.mp4")
    assert frames[0].shape == (98, 130, 3)


def test_same_input_same_bytes(make_video, tmp_path):
    source = make_video(num_frames=10)
    timeline = timeline_of([(900, BOX, 12, 1)], [(900, BOX, 12, 0.8)])
    for name in ("a.mp4", "b.mp4"):
        render(source, tmp_path / name, timeline)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_progress_tells_how_far_it_is_and_ends_at_the_end(make_video, tmp_path, monkeypatch):
    monkeypatch.setattr("x3d_det.visualization.render._Meter._EVERY_SECONDS", 0.0)
    told = []
    timeline = timeline_of([(901, BOX, 12, 1)])
    render(
        make_video(), tmp_path / "o.mp4", timeline, progress=lambda *amounts: told.append(amounts)
    )
    done, totals = zip(*told, strict=True)
    assert totals == (pytest.approx(3.0, abs=0.05),) * 31  # 30 frames and the end
    assert done[-1] == totals[-1]
    assert list(done) == sorted(done)


# What the summary says


def test_summary_says_what_was_drawn(make_video, tmp_path):
    output = tmp_path / "out.mp4"
    detected = [(900, BOX, 12, 0.9), (901, BOX, 12, 0.12), (901, BOX, 80, 0.05)]
    summary = render(make_video(), output, timeline_of([(900, BOX, 12, 1)], detected))
    assert summary.lines() == [
        f"{output}: 30 frames, 16 of them with boxes; 1 annotated and 2 detected boxes on "
        "2 keyframes; 1 of the detected are grey, without an action at 0.30 or more.",
        "1 of 2 keyframes with detections has a score of 0.30 or more; the highest on the "
        "others is 0.12: lower --score-threshold to see it.",
    ]


def test_summary_says_why_no_action_is_shown(make_video, tmp_path):
    detected = [(900 + t, BOX, 12, 0.1 + 0.01 * t) for t in range(3)]
    summary = render(make_video(), tmp_path / "out.mp4", timeline_of(detected=detected))
    assert summary.num_detected_without_action == 3
    assert summary.notes == (
        "0 of 3 keyframes with detections have a score of 0.30 or more; the highest on the "
        "others is 0.12: lower --score-threshold to see it.",
    )


def test_summary_says_when_no_box_was_given(make_video, tmp_path):
    summary = render(make_video(num_frames=3), tmp_path / "out.mp4", timeline_of())
    assert summary.notes == ("Nothing was drawn: no box of this video was given.",)
    assert summary.num_frames == 3


def test_summary_says_when_all_keyframes_are_elsewhere(make_video, tmp_path):
    rows = [(902 + t, BOX, 12, 1) for t in range(9)]
    source = make_video(num_frames=10)
    summary = render(source, tmp_path / "out.mp4", timeline_of(rows), video_start_seconds=0.0)
    assert summary.notes == (
        "Nothing was drawn: none of the 9 keyframes (0902, 0903, 0904, 0905, ..., 0910) lies in "
        "the drawn part, 0.00 to 0.90 s of the film; check the second at which the video file "
        "starts.",
    )


def test_summary_counts_keyframes_without_a_person(make_video, tmp_path):
    empty = pd.DataFrame({"video_id": ["v"], "timestamp": [901.0]})
    timeline = timeline_of([(900, BOX, 12, 1)], empty_keyframes=empty)
    summary = render(make_video(), tmp_path / "out.mp4", timeline)
    assert summary.notes == ("1 keyframe (0901) is annotated as without any person.",)


# Errors


@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [
        (10.0, None, "10 s to the end"),
        (905.0, None, "905 s to the end"),
        (901.0, 901.0, "901 s to 901 s"),
        (None, 899.0, "the start to 899 s"),
    ],
)
def test_range_outside_the_video_is_named(make_video, tmp_path, start, end, wanted):
    output = tmp_path / "out.mp4"
    with pytest.raises(
        VideoError, match=rf"range from {wanted} has no frame; .*900 to 903\.00 of the film"
    ):
        render(make_video(), output, timeline_of(), start_seconds=start, end_seconds=end)
    assert not output.exists()


def test_missing_source_is_named(tmp_path):
    with pytest.raises(VideoError, match=r"none\.mp4"):
        render(tmp_path / "none.mp4", tmp_path / "out.mp4", timeline_of())


# Real clips


def test_rotated_clip_is_drawn_upright(shared_dir, tmp_path):
    source = shared_dir / "clips" / "rotated_90.mov"
    render(source, tmp_path / "out.mp4", timeline_of([(900, BOX, 12, 1)]))
    before, _, _ = read(source)
    after, frames, facts = read(tmp_path / "out.mp4")
    assert frames[0].shape == (568, 320, 3)
    assert facts[:2] == ("h264", "yuv420p")
    np.testing.assert_allclose(after, before - before[0], atol=1e-4)


def test_real_clip_keeps_its_sound_and_frames(shared_dir, tmp_path):
    rows = [(900 + t, (0.18, 0.12, 0.30, 0.97), action, 1) for t in range(3) for action in (12, 80)]
    output = tmp_path / "out.mp4"
    summary = render(
        shared_dir / "clips" / "chaplin.mp4", output, timeline_of(rows), end_seconds=902.0
    )
    after, frames, facts = read(output)
    assert facts == ("h264", "yuv420p", True)
    assert summary.num_frames == len(frames) == 50
    np.testing.assert_allclose(np.diff(after), 1 / 25, atol=1e-4)
    render(
        shared_dir / "clips" / "chaplin.mp4",
        output,
        timeline_of(rows),
        end_seconds=900.2,
        keep_sound=False,
    )
    assert read(output)[2] == ("h264", "yuv420p", False)


def test_matroska_without_a_frame_count(shared_dir, tmp_path):
    summary = render(
        shared_dir / "clips" / "asl_eat.mkv", tmp_path / "o.mp4", timeline_of([(901, BOX, 12, 1)])
    )
    assert summary.num_frames == 47


def test_damaged_clip_is_an_error_and_leaves_no_file(shared_dir, tmp_path):
    with pytest.raises(VideoError, match=r"corrupted\.mp4"):
        render(
            shared_dir / "clips" / "corrupted.mp4",
            tmp_path / "out.mp4",
            timeline_of([(901, BOX, 12, 1)]),
        )
    assert list(tmp_path.iterdir()) == []
