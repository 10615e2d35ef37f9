"""Ends runs at random moments: `kill_video_run.py VIDEO CHECKPOINT FOLDER SEED`; prints JSON.

The parent imports everything once and forks a child for each attempt; a child resumes the run
and gets SIGINT, SIGTERM or SIGKILL after a random time. In the end one child is left to finish.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from action_checkpoints import BrightPersons

from x3d_det import ActionDetector
from x3d_det.tracking import IouLinker
from x3d_det.video_detection.request import Request
from x3d_det.video_detection.run import RunOptions, detect_in_video

KILLS = 4


class Pace(BrightPersons):
    """Takes its time, so that a run is long enough to be hit."""

    def detect(self, frames_HWC):
        """Return what `BrightPersons` does, a little later."""
        time.sleep(0.05)
        return super().detect(frames_HWC)


def run(video: Path, checkpoint: Path, folder: Path) -> None:
    """Go on with the run in the folder, to its end or to a signal."""
    detect_in_video(
        ActionDetector.load(checkpoint, persons=Pace(), device="cpu"),
        video,
        folder,
        request=Request(interval_seconds=0.5),
        linker=IouLinker(),
        linker_name="iou",
        options=RunOptions(),
        resume=True,
    )


def attempt(number: int | None, delay_seconds: float, *places: Path) -> bool:
    """Run in a child, send it a signal, and return whether the signal ended it."""
    child = os.fork()
    if child == 0:
        run(*places)
        os._exit(0)
    if number is None:
        return os.waitpid(child, 0)[1] != 0
    time.sleep(delay_seconds)
    has_ended, status = os.waitpid(child, os.WNOHANG)
    if has_ended:
        return False
    os.kill(child, number)
    status = os.waitpid(child, 0)[1]
    return number != signal.SIGKILL or os.WIFSIGNALED(status)


def main() -> None:
    """Kill each kind of run until it was hit often enough, then let it finish."""
    video, checkpoint, root = map(Path, sys.argv[1:4])
    generator = random.Random(int(sys.argv[4]))
    torch.set_num_threads(1)
    killed, finished = {}, []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        folder = root / number.name
        folder.mkdir()
        hits = tries = 0
        while hits < KILLS and tries < 8 * KILLS:
            tries += 1
            hits += attempt(number, generator.uniform(0.15, 0.6), video, checkpoint, folder)
            for path in folder.glob("actions.mp4"):  # whatever stands there is whole
                assert path.read_bytes()[4:8] == b"ftyp"
        assert not attempt(None, 0, video, checkpoint, folder)
        killed[number.name] = hits
        finished.append(folder.name)
    print(json.dumps({"killed": killed, "finished": finished}))


if __name__ == "__main__":
    main()
