"""Runs over videos for the tests of this folder, and what they leave."""

import io
import threading
from pathlib import Path

import av
import numpy as np
from action_checkpoints import BrightPersons
from video_files import HEIGHT, WIDTH

from x3d_det import ActionDetector
from x3d_det.tracking import make_linker
from x3d_det.video_detection import PipelineOptions
from x3d_det.video_detection.request import Request
from x3d_det.video_detection.run import RunOptions, RunResult, detect_in_video

FILES = ["actions.mp4", "detections.csv", "timeline.png", "tracks.json"]
ONE_BOX = np.array([[0.1, 0.2, 0.6, 0.9, 0.9]])


def detect(
    detector, video, folder: Path, *, options=None, queues=None, progress=None, **request
) -> RunResult:
    """Run as the command does."""
    folder.mkdir(exist_ok=True)
    resume = request.pop("resume", False)
    request["options"] = queues or PipelineOptions()
    return detect_in_video(
        detector,
        video,
        folder,
        request=Request(**request),
        linker=make_linker("iou", spacing_seconds=4.0),
        linker_name="iou",
        options=options or RunOptions(),
        resume=resume,
        progress=progress,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Return all that a run leaves, hidden files too."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def pictures_of(video: bytes) -> tuple[list[tuple[int, bool]], list[int]]:
    """Return time and kind of all pictures, and the times of the sound.

    The bytes of the pictures are no test: beside other threads x264 has been seen to code the
    very same frames otherwise, in about 3 of 100 runs (PyAV 18.1).
    """
    with av.open(io.BytesIO(video)) as container:
        found = [(p.stream.type, p.pts, p.is_keyframe) for p in container.demux() if p.size]
    pictures = [(pts, is_key) for kind, pts, is_key in found if kind == "video"]
    return pictures, [pts for kind, pts, _ in found if kind == "audio"]


def assert_same(found: dict[str, bytes], whole: dict[str, bytes]) -> None:
    """Compare what two runs leave: all bytes but for those of the drawn video."""
    assert found.keys() == whole.keys()
    for name, content in found.items():
        if name == "actions.mp4":
            assert pictures_of(content) == pictures_of(whole[name])
        else:
            assert content == whole[name], name


def own_threads() -> list[threading.Thread]:
    """Return the threads of runs that are alive."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("x3d_det")]


def streams_of(path: Path) -> tuple[int, float, float | None]:
    """Return frames, seconds of the picture, seconds of the sound."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        sound = container.streams.audio[0] if container.streams.audio else None
        assert video.codec_context.name == "h264"
        return (
            sum(1 for _ in container.decode(video=0)),
            float(video.duration * video.time_base),
            None if sound is None else float(sound.duration * sound.time_base),
        )


def calm_frame(number: int, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return a picture that grows a little brighter, so that nobody leaps and nothing is a cut."""
    ramp = np.linspace(20, 60, width)[None, :, None] + number
    return np.broadcast_to(ramp, (height, width, 3)).astype(np.uint8)


def loaded(checkpoint: Path, persons=None, **options) -> ActionDetector:
    persons = BrightPersons() if persons is None else persons
    return ActionDetector.load(checkpoint, persons=persons, device="cpu", **options)
