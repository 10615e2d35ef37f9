"""How fast clips come out of video files, beside decoding every frame of the same files.

`python benchmarks/decode.py --output result.json` makes three videos (320x240, 340x256,
1280x720), reads clips of 16 frames of stride 5 round random keyframes from them, and in
turns with it decodes whole files frame by frame. One thread; the median of the rounds.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from x3d_det.io.video import read_frames_at
from x3d_det.io.video_writer import VideoWriter
from x3d_det.keyframes import clip_seconds

SIZES = {"320x240": (240, 320), "340x256": (256, 340), "1280x720": (720, 1280)}
FPS = 30


def make_video(path: Path, *, height: int, width: int, num_seconds: int) -> None:
    """Write a moving texture with noise, in x264's usual groups of 250 frames."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 4 + 1, 3), dtype=np.uint8)
    texture = np.kron(coarse, np.ones((8, 8, 1), np.uint8))
    with VideoWriter(path, height=height, width=width, fps=FPS) as writer:
        for place in range(num_seconds * FPS):
            left = place * 2 % (texture.shape[1] - width)
            frame = texture[:height, left : left + width]
            noise = rng.integers(0, 8, frame.shape, dtype=np.uint8)
            writer.write(np.minimum(frame, 247) + noise)


def decode_everything(path: Path) -> int:
    """Decode every frame to RGB, one thread; return how many there were."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for frame in container.decode(stream) if frame.to_ndarray(format="rgb24").size)


def measure(path: Path, *, num_seconds: int, num_clips: int, num_rounds: int) -> dict[str, float]:
    """Return the rates of both ways, round by round in turns."""
    rng = np.random.default_rng(1)
    clips_per_second, decoded_per_second, plain_per_second, decoded_per_clip = [], [], [], []
    for _ in range(num_rounds):
        seconds = rng.integers(2, num_seconds - 1, size=num_clips)
        started = time.perf_counter()
        decoded = sum(
            read_frames_at(path, clip_seconds(s, num_frames=16, sampling_stride=5)).num_decoded
            for s in seconds.astype(float)
        )
        elapsed = time.perf_counter() - started
        clips_per_second.append(num_clips / elapsed)
        decoded_per_second.append(decoded / elapsed)
        decoded_per_clip.append(decoded / num_clips)
        started = time.perf_counter()
        num_frames = decode_everything(path)
        plain_per_second.append(num_frames / (time.perf_counter() - started))
    rates = {
        "clips_per_second": statistics.median(clips_per_second),
        "frames_decoded_per_second": statistics.median(decoded_per_second),
        "frames_decoded_per_clip": statistics.median(decoded_per_clip),
        "plain_frames_per_second": statistics.median(plain_per_second),
    }
    rates["ratio_to_plain"] = rates["frames_decoded_per_second"] / rates["plain_frames_per_second"]
    return {name: round(rate, 3) for name, rate in rates.items()}


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--seconds", type=int, default=20, help="length of the videos")
    parser.add_argument("--clips", type=int, default=8, help="clips a round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(argv)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (height, width) in SIZES.items():
            path = Path(folder) / f"{name}.mp4"
            make_video(path, height=height, width=width, num_seconds=arguments.seconds)
            results[name] = measure(
                path,
                num_seconds=arguments.seconds,
                num_clips=arguments.clips,
                num_rounds=arguments.rounds,
            )
            print(name, results[name], file=sys.stderr)
    text = json.dumps({"pyav": av.__version__, "threads": 1, "results": results}, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
