"""The drawn video of a run: persons between keyframes, and frames coded on another thread."""

import json
import threading

import numpy as np
import pytest
from video_files import make_video
from video_runs import ONE_BOX, contents, detect

from x3d_det.errors import VideoError
from x3d_det.io.video_writer import VideoWriter
from x3d_det.video_detection import drawing
from x3d_det.video_detection.encoding import encoding
from x3d_det.video_detection.run import RunOptions

pytestmark = pytest.mark.usefixtures("calm_films")


def test_boxes_move_between_keyframes_and_carry_number_actions_and_scores(
    film, detector, tmp_path, monkeypatch
):
    drawn = []
    original = drawing.draw_persons

    def record(frame_HWC, persons, **options):
        drawn.append((options["caption"].text, list(persons)))
        return original(frame_HWC, persons, **options)

    monkeypatch.setattr(drawing, "draw_persons", record)
    boxes = {
        0.0: np.array([[0.1, 0.2, 0.5, 0.9, 0.9]]),
        1.0: np.array([[0.3, 0.2, 0.7, 0.9, 0.9]]),
    }
    detect(detector, film, tmp_path, boxes=boxes)
    assert len(drawn) == 48
    at = dict(drawn)
    # half a second on, half of the way: 0.2 * 64 to 0.6 * 64 pixels
    assert at["0.50 s"][0].box_xyxy_px == pytest.approx((12.8, 9.6, 38.4, 43.2))
    assert at["0.75 s"][0].box_xyxy_px == pytest.approx((16, 9.6, 41.6, 43.2))
    assert (at["0.50 s"][0].tag, at["0.50 s"][0].person_id) == ("1", 1)
    keyframe = json.loads((tmp_path / "tracks.json").read_text())["tracks"][0]["keyframes"][0]
    assert dict(at["0.25 s"][0].labels) == {a["name"]: a["score"] for a in keyframe["actions"]}
    # held for half an interval behind the last keyframe
    assert len(at["1.50 s"]) == 1
    assert at["1.58 s"] == []


def test_keyframes_far_apart_are_joined_up_to_four_seconds(detector, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        drawing,
        "draw_persons",
        lambda frame, persons, *, caption, **_: drawn.update({caption.text: persons}) or frame,
    )
    film = make_video(tmp_path / "film.mp4", num_frames=26, fps=2)
    options = RunOptions(keeps_sound=False)
    near = {0.0: ONE_BOX, 4.0: ONE_BOX + [[0.2, 0, 0.2, 0, 0]], 8.0: ONE_BOX}
    detect(detector, film, tmp_path / "near", boxes=near, options=options)
    assert [person.box_xyxy_px[0] for person in drawn["1.00 s"]] == [pytest.approx(0.15 * 64)]
    drawn.clear()
    detect(detector, film, tmp_path / "far", boxes={0.0: ONE_BOX, 5.0: ONE_BOX}, options=options)
    shown = [text for text, persons in drawn.items() if persons]
    assert shown == [
        f"{second:.2f} s" for second in (0, 0.5, 1, 1.5, 2, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7)
    ]


def test_an_error_in_the_middle_leaves_no_video_and_the_earlier_one_as_it_was(
    film, detector, tmp_path, monkeypatch
):
    (tmp_path / "actions.mp4").write_bytes(b"of an earlier run")
    count = []

    def fail(self, frame_HWC, seconds=None):
        count.append(seconds)
        if len(count) == 20:
            raise VideoError("actions.mp4: frame 20 could not be written: No space left on device.")
        return original(self, frame_HWC, seconds)

    original = VideoWriter.write
    monkeypatch.setattr(VideoWriter, "write", fail)
    with pytest.raises(VideoError, match="No space left on device"):
        detect(detector, film, tmp_path)
    left = contents(tmp_path)
    assert sorted(left) == ["actions.mp4", "journal.jsonl"]
    assert left["actions.mp4"] == b"of an earlier run"


# the thread that codes


def coded_beside(path, times, *, error: Exception | None = None) -> None:
    """Have a frame coded for each time; then the one who draws fails, if told so."""
    with VideoWriter(path, height=16, width=16, fps=10) as writer, encoding(writer) as encoder:
        for number, seconds in enumerate(times):
            encoder.write(np.full((16, 16, 3), 10 * number, np.uint8), seconds=seconds)
        if error is not None:
            raise error
    assert encoder.seconds > 0


def test_frames_are_coded_in_their_order_to_the_bytes_of_the_writer_alone(tmp_path):
    times = [number / 10 for number in range(20)]
    with VideoWriter(tmp_path / "alone.mp4", height=16, width=16, fps=10) as writer:
        for number, seconds in enumerate(times):
            writer.write(np.full((16, 16, 3), 10 * number, np.uint8), seconds=seconds)
    coded_beside(tmp_path / "beside.mp4", times)
    assert (tmp_path / "beside.mp4").read_bytes() == (tmp_path / "alone.mp4").read_bytes()


@pytest.mark.parametrize("later", [[], [2.0 + number for number in range(20)]])
def test_what_cannot_be_coded_reaches_the_one_who_draws(tmp_path, later):
    """By the next write where frames follow, else at the end."""
    with pytest.raises(VideoError, match="times start at 0 and rise"):
        coded_beside(tmp_path / "v.mp4", [1.0, 0.5, *later])
    assert list(tmp_path.iterdir()) == []


def test_who_draws_may_fail_while_frames_wait(tmp_path):
    with pytest.raises(KeyError, match="drawing"):
        coded_beside(tmp_path / "v.mp4", [0.0, 1.0, 2.0, 3.0], error=KeyError("drawing"))
    assert list(tmp_path.iterdir()) == []
    assert "x3d_det encode" not in [thread.name for thread in threading.enumerate()]
