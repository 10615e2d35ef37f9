"""Cameras and streams: gone through like a file; who is late misses frames."""

import gc

import pytest
from http_server import serving
from video_files import frame_number, make_video
from video_runs import own_threads

from x3d_det import Request
from x3d_det.errors import VideoError
from x3d_det.video_detection import PipelineOptions
from x3d_det.video_detection.live import LiveSource

pytestmark = pytest.mark.usefixtures("no_thread_is_left_over")


@pytest.fixture
def stream(tmp_path):
    """The address of four seconds of numbered frames, served on loopback."""
    path = make_video(tmp_path / "live.ts", num_frames=120, container_format="mpegts")
    with serving() as server:
        yield server.add("/live.ts", path.read_bytes())


def test_a_stream_is_gone_through_like_a_file(stream, detector):
    run = detector.detect(stream, Request(options=PipelineOptions(live_frames=500)))
    assert [k.seconds for k in run] == [0.0, 1.0, 2.0, 3.0]
    assert (run.info.is_live, run.num_decoded, run.num_dropped) == (True, 120, 0)


def test_who_is_late_misses_the_oldest_frames(stream):
    source = LiveSource(stream, max_frames=10)
    source._thread.join()  # all frames have come, and nobody took one
    seen = [frame_number(frame.rgb_HWC()) for frame in source.frames()]
    assert seen == list(range(110, 120))
    assert (source.num_decoded, source.num_dropped) == (120, 110)
    source.close()


def test_a_stream_that_nobody_watches_is_let_go(stream, detector):
    run = detector.detect(stream)
    del run
    gc.collect()
    assert own_threads() == []


def test_a_stream_that_is_not_there_is_named(detector):
    with pytest.raises(VideoError, match=r"http://127\.0\.0\.1:9/x: cannot be opened"):
        detector.detect("http://127.0.0.1:9/x")
    with pytest.raises(VideoError, match="camera 4321: cannot be opened"):
        detector.detect(4321)
