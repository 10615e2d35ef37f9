"""A trainer of candidates that computes a score instead: for tests of what is around trainings.

It notes each call in `calls.txt` beside the candidates' folders, and does what `FAKE_FAULTS`,
a JSON object of folder-name parts, asks of it.
"""

import json
import math
import os
import signal
import time
from pathlib import Path

from x3d_det.errors import DataError, TrainingDiverged
from x3d_det.runs.candidate_job import JobResult, TrainingJob

TRAINER = "fake_trainer:train"
EPOCHS = 4


def final_score(config) -> float:
    """Spatial is worth most, then bottleneck; depth only a little."""
    clip, model = config["clip"], config["model"]
    score = 0.20 * math.log2(clip["train_crop"] / 64) + 0.10 * math.log2(model["bottleneck_factor"])
    return score + 0.02 * math.log2(model["depth_factor"]) + 0.01 * config["seed"]


def train(job: TrainingJob) -> JobResult:
    """Give the share of the final score that the epochs asked for stand for."""
    folder = Path(job.folder)
    epochs = job.stop_after_epoch or EPOCHS
    with open(folder.parent / "calls.txt", "a") as calls:
        calls.write(f"{folder.name} {epochs}\n")
    faults = json.loads(os.environ.get("FAKE_FAULTS", "{}"))
    for part, fault in faults.items():
        if part in folder.name:
            _fail(fault, folder)
    score = final_score(job.config) * epochs / EPOCHS
    return JobResult(
        status="done", score=score, seconds=10.0 * epochs, epochs=epochs, metrics={"top1": score}
    )


def _fail(fault: str, folder: Path) -> None:
    if fault == "crash":
        raise ZeroDivisionError("by a candidate")
    if fault == "memory":
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 TB")
    if fault == "diverge":
        raise TrainingDiverged("20 steps in a row were not finite")
    if fault == "data":
        raise DataError("videos/x.mp4 is damaged.")
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "exit":
        os._exit(3)
    if fault == "where":
        (folder / "where").write_text(os.getcwd())
    if fault == "interrupted" and not (folder / "interrupted").exists():
        (folder / "interrupted").touch()
        for process in (os.getpid(), os.getppid()):  # Slurm's warning goes to all of a job
            os.kill(process, signal.SIGUSR2)
        time.sleep(60)
    if fault == "hang":
        (folder / "hung").touch()
        time.sleep(60)


def calls(candidates: Path) -> list[str]:
    """Return the calls so far, in their order."""
    file = candidates / "calls.txt"
    return file.read_text().splitlines() if file.exists() else []
