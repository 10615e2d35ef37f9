"""Seconds and memory of checking lists of AVA's size, without videos.

    python benchmarks/check_dataset.py [--repeats 3] [--rows 1500000] [--data-dir DIR]

Draws 299 videos (235 to train on, 64 for validation) with annotations and person boxes of
1.5 million rows together, and checks them as `tools/check_dataset.py --no-videos` does, each run
in a fresh process from start to end. A second data set has one fault of each kind among its rows,
so that every file goes through the reader that names lines. The generated files are compared
with what the report counts. Nothing is written into the repository.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
NUM_VIDEOS = {"train": 235, "val": 64}
LABELS_A_BOX = 2.4
FAULTS = {
    "annotations_train.csv": "v0000,0902,0.1,0.2,1.5,0.4,12,0",
    "annotations_val.csv": "w0000,0902,0.1,0.2,nan,0.4,12,0",
    "person_boxes_train.csv": "v0000,0902,0.5,0.2,0.1,0.4,,0.9",  # a warning: not used
    "person_boxes_val.csv": "w0000,seven,0.1,0.2,0.3,0.4,,0.9",
}

_CHILD = """
import json, re, resource, sys
from pathlib import Path
sys.path.insert(0, "tools")
import check_dataset
code = check_dataset.main(sys.argv[2:])
usage = resource.getrusage(resource.RUSAGE_SELF)
# Its peak would count the parent, whose memory this process began with.
peak_kb = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
Path(sys.argv[1]).write_text(json.dumps({
    "code": code,
    "cpu_seconds": usage.ru_utime + usage.ru_stime,
    "peak_mb": peak_kb / 1024,
}))
"""


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return 1 if a report does not count what was generated."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each data set")
    parser.add_argument("--rows", type=int, default=1_500_000, help="of all four lists together")
    parser.add_argument("--data-dir", type=Path, help="keep the generated files here")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.data_dir or Path(temporary)
        good, spoilt = folder / "good", folder / "spoilt"
        rows = make_lists(good, arguments.rows)
        spoil(good, spoilt)
        print(f"{rows:,} rows, {sum(NUM_VIDEOS.values())} videos, {os.cpu_count()} CPUs")
        print(f"{'lists':8s} {'s, best':>8s} {'s, median':>10s} {'CPU s':>7s} {'MB':>6s}")
        is_right = True
        for root, num_faults in ((good, 0), (spoilt, len(FAULTS))):
            runs = [run_once(root) for _ in range(arguments.repeats)]
            seconds = sorted(run["wall_seconds"] for run in runs)
            cpu, peak = min(r["cpu_seconds"] for r in runs), max(r["peak_mb"] for r in runs)
            print(
                f"{root.name:8s} {seconds[0]:8.2f} {seconds[len(seconds) // 2]:10.2f} "
                f"{cpu:7.2f} {peak:6.0f}"
            )
            report = json.loads((root / "check" / "report.json").read_text())
            counted = sum(s["num_rows"] + s["detected"]["num_boxes"] for s in report["splits"])
            found = report["counts"]["error"] + report["counts"]["warning"]
            if counted != rows or found != num_faults:
                print(f"{root}: {counted:,} rows and {report['counts']} found", file=sys.stderr)
                is_right = False
    return 0 if is_right else 1


def run_once(root: Path) -> dict:
    """Check a data set in a fresh process; return its numbers."""
    numbers = root / "numbers.json"
    options = [
        *("--config", "x3d_m_ava.yaml", "--set", f"dataset.root={root}", "--no-videos"),
        *("--set", "dataset.label_map=label_map.pbtxt", "--output-dir", str(root / "check")),
    ]
    for split in NUM_VIDEOS:
        for name in ("annotations", "person_boxes", "exclusions"):
            options += ["--set", f"dataset.{split}.{name}={name}_{split}.csv"]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(numbers), *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    if done.returncode or not numbers.is_file():
        raise SystemExit(done.stderr)
    return {"wall_seconds": seconds, **json.loads(numbers.read_text())}


def make_lists(root: Path, num_rows: int) -> int:
    """Write the files of both splits and return their rows; a third are person boxes."""
    from x3d_det.io.ava_csv import write_annotations, write_proposals
    from x3d_det.io.label_map import ava_label_map, write_label_map

    root.mkdir(parents=True, exist_ok=True)
    write_label_map(ava_label_map(60), root / "label_map.pbtxt")
    ids = np.array(ava_label_map(60).action_ids)
    total = 0
    for split, num_videos in NUM_VIDEOS.items():
        rng = np.random.default_rng(num_videos)
        share = num_rows * num_videos / sum(NUM_VIDEOS.values())
        num_boxes = round(share / (LABELS_A_BOX + 1))
        boxes = _boxes(rng, num_boxes, num_videos, split)
        counts = rng.choice([1, 2, 3, 4, 5], num_boxes, p=[0.2, 0.4, 0.25, 0.1, 0.05])
        rows = boxes.loc[boxes.index.repeat(counts)].reset_index(drop=True)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        first = np.repeat(rng.integers(len(ids), size=num_boxes), counts)
        rows["action_id"] = ids[(first + 7 * place) % len(ids)]
        write_annotations(rows, root / f"annotations_{split}.csv")
        found = boxes.drop(columns="person_id").assign(score=rng.uniform(0.8, 1.0, num_boxes))
        write_proposals(found, root / f"person_boxes_{split}.csv")
        (root / f"exclusions_{split}.csv").touch()
        total += len(rows) + len(found)
    return total


def _boxes(rng: np.random.Generator, num_boxes: int, num_videos: int, split: str) -> pd.DataFrame:
    """Return boxes of three decimals, a few on each keyframe, none near another of its keyframe."""
    names = np.array([f"{'v' if split == 'train' else 'w'}{n:04d}" for n in range(num_videos)])
    keyframes = np.sort(rng.integers(num_videos * 897, size=num_boxes))
    starts = np.flatnonzero(np.append(True, np.diff(keyframes) > 0))
    counts = np.diff(np.append(starts, num_boxes))
    person = np.arange(num_boxes) - np.repeat(starts, counts)
    left = 0.03 * (person % 20) + rng.integers(0, 15, num_boxes) / 1000
    top = rng.integers(0, 400, num_boxes) / 1000
    return pd.DataFrame(
        {
            "video_id": names[keyframes // 897],
            "timestamp": 902.0 + keyframes % 897,
            "x1": left,
            "y1": top,
            "x2": left + rng.integers(100, 380, num_boxes) / 1000,
            "y2": top + rng.integers(150, 600, num_boxes) / 1000,
            "person_id": person,
        }
    )


def spoil(good: Path, spoilt: Path) -> None:
    """Copy the files and put one faulty line at the end of each list."""
    spoilt.mkdir(exist_ok=True)
    for path in sorted(good.iterdir()):
        if path.is_file():
            content = path.read_bytes()
            fault = FAULTS.get(path.name)
            (spoilt / path.name).write_bytes(content + (f"{fault}\n".encode() if fault else b""))


if __name__ == "__main__":
    sys.exit(main())
