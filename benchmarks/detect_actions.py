"""Speed and memory of finding actions in a film: 720p, boxes given, 1 and 30 minutes of it.

    python benchmarks/detect_actions.py [--minutes 1 30] [--model m] [--output FILE]

Makes one film of moving rectangles and repeats it to each length by copying packets, so that
nothing but the length differs. Weights are random: they cost what trained ones do. Each length
is gone through in a fresh process, as `tools/detect_actions.py` does it with drawn video, and
once without. Stages work at the same time, so that their seconds add up to more than the
whole's; a stage's frames a second are those it would reach alone. Peak memory is the process's
own highest (VmHWM); that of the longest film over that of the shortest is the last line.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from x3d_det.io.video_writer import VideoWriter

REPOSITORY = Path(__file__).resolve().parents[1]
NUM_ACTIONS = 80
PERSONS = ((0.1, 0.2), (0.45, 0.25), (0.75, 0.3))  # left and top; 0.2 wide, 0.6 high

_CHILD = """
import json, re, sys
from pathlib import Path
import torch
from x3d_det import ActionDetector
from x3d_det.tracking import make_linker
from x3d_det.video_detection.request import Request
from x3d_det.video_detection.run import RunOptions, detect_in_video
film, checkpoint, folder, threads, draws, boxes = json.loads(sys.argv[1])
torch.set_num_threads(threads)
import numpy as np
rows = np.array(boxes)
detector = ActionDetector.load(checkpoint, device="cpu")
from x3d_det.io.video import probe_video
seconds = int(probe_video(film).duration_seconds)
result = detect_in_video(
    detector, film, Path(folder), linker=make_linker("iou"), linker_name="iou",
    request=Request(boxes={float(second): rows for second in range(seconds)}),
    options=RunOptions(draws_video=draws),
)
times = result.progress.times
# getrusage's peak would count the parent, whose memory this process began with.
peak_kb = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps({
    "video_seconds": result.done_seconds, "wall_seconds": result.wall_seconds,
    "frames": result.progress.num_frames, "clips": result.progress.num_clips,
    "stages": {"decoding": times.decode, "scaling": times.convert, "X3D": times.actions,
               "drawing": result.draw_seconds, "encoding": result.encode_seconds},
    "peak_mb": peak_kb / 1024,
}))
"""


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, print its table, and return 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 30.0])
    parser.add_argument("--model", choices=("xs", "s", "m", "l"), default="m")
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--piece-seconds", type=int, default=20, help="of film that is repeated")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of PyTorch")
    parser.add_argument("--output", type=Path, help="write the numbers here too, as JSON")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        checkpoint = save_random_model(folder / "model.safetensors", arguments.model)
        piece = make_piece(
            folder / "piece.mp4",
            height=arguments.height,
            fps=arguments.fps,
            seconds=arguments.piece_seconds,
        )
        runs = []
        print_head(arguments)
        for minutes in sorted(arguments.minutes):
            film = repeat(piece, folder / f"film{minutes:g}.mp4", seconds=60 * minutes)
            for draws in (True, False):
                run = run_once(film, checkpoint, folder, arguments.threads, draws=draws)
                runs.append({"minutes": minutes, "draws": draws, **run})
                print_run(runs[-1])
            film.unlink()
    drawn = [run["peak_mb"] for run in runs if run["draws"]]
    print(f"peak memory, longest over shortest film: {drawn[-1] / drawn[0]:.3f}")
    if arguments.output:
        settings = {key: value for key, value in vars(arguments).items() if key != "output"}
        content = {"settings": settings, "cpus": os.cpu_count(), "runs": runs}
        arguments.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {arguments.output}")
    return 0


def print_head(arguments: argparse.Namespace) -> None:
    """Print what is measured and the heads of the columns."""
    print(
        f"X3D-{arguments.model.upper()}, {arguments.height} lines, {arguments.fps} frames/s, "
        f"{len(PERSONS)} persons, one keyframe a second, {arguments.threads} threads"
    )
    print(
        f"{'minutes':>7s} {'video':>6s} {'s':>8s} {'frames/s':>9s} {'x real':>7s} {'peak MB':>8s}  "
        "frames/s of each stage alone"
    )


def print_run(run: dict) -> None:
    """Print a line of the table."""
    stages = ", ".join(
        f"{name} {run['frames'] / seconds:,.0f}"
        for name, seconds in run["stages"].items()
        if seconds
    )
    print(
        f"{run['minutes']:7g} {'drawn' if run['draws'] else 'none':>6s} "
        f"{run['wall_seconds']:8.1f} {run['frames'] / run['wall_seconds']:9.1f} "
        f"{run['video_seconds'] / run['wall_seconds']:7.2f} {run['peak_mb']:8.0f}  {stages}",
        flush=True,
    )


def run_once(film: Path, checkpoint: Path, folder: Path, threads: int, *, draws: bool) -> dict:
    """Go through a film in a fresh process; return its numbers."""
    output = folder / "output"
    output.mkdir(exist_ok=True)
    boxes = [[left, top, left + 0.2, top + 0.6, 0.9] for left, top in PERSONS]
    options = json.dumps([str(film), str(checkpoint), str(output), threads, draws, boxes])
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, options],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def make_piece(path: Path, *, height: int, fps: int, seconds: int) -> Path:
    """Write a film of rectangles that sway before a coloured ground with noise."""
    width = 2 * round(height * 8 / 9)
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 120, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    ground = ground.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    with VideoWriter(path, height=height, width=width, fps=fps, gop_frames=fps) as video:
        for number in range(seconds * fps):
            frame = ground.copy()
            shift = 0.02 * np.sin(2 * np.pi * number / (2 * fps))
            for place, (left, top) in enumerate(PERSONS):
                x, y = round((left + shift) * width), round(top * height)
                color = np.roll((220, 160, 90), place)
                frame[y : y + round(0.6 * height), x : x + round(0.2 * width)] = color
            video.write(frame)
    return path


def repeat(piece: Path, path: Path, *, seconds: float) -> Path:
    """Copy the packets of a film one after another until it is so long."""
    with av.open(str(path), "w") as target:
        written, offset, time_base = None, 0, Fraction(0)
        while written is None or float(offset * time_base) < seconds:
            with av.open(str(piece)) as source:
                stream = source.streams.video[0]
                written = written or target.add_stream_from_template(stream)
                assert stream.time_base is not None
                assert stream.duration is not None
                time_base = stream.time_base
                for packet in source.demux(stream):
                    if packet.dts is None or packet.pts is None:
                        continue
                    if float((packet.pts + offset) * time_base) >= seconds:
                        continue
                    packet.pts += offset
                    packet.dts += offset
                    packet.stream = written
                    target.mux(packet)
                offset += stream.duration
    return path


def save_random_model(path: Path, size: str) -> Path:
    """Write a detector of random weights, as `train_ava` exports it."""
    from x3d_det.builders.common import build_spec
    from x3d_det.config.load import load_config
    from x3d_det.io.weights import save_model
    from x3d_det.models import build_detector

    config = load_config(f"x3d_{size}_ava.yaml", [])
    model = build_detector(
        build_spec(config.model),
        num_actions=NUM_ACTIONS,
        head=config.model.head,
        feature_stride=config.model.feature_stride,
        roi_size=config.model.roi_size,
        zero_init_residual=False,
    )
    ids = range(1, NUM_ACTIONS + 1)
    metadata = {
        "format": "x3d_det action detector",
        "config": json.dumps(config.model_dump(mode="json")),
        "classes": json.dumps({str(number): f"action {number}" for number in ids}),
        "output_ids": json.dumps(list(ids)),
        "labels": config.dataset.labels,
    }
    save_model(path, model.state_dict(), metadata)
    return path


if __name__ == "__main__":
    sys.exit(main())
