"""Time and memory of the AVA evaluator on five million detections, reading included.

    python benchmarks/evaluate_ava.py [--repeats 3] [--data-dir DIR] [--output FILE] \\
        [--format csv,parquet,npz] [--rules pyslowfast ... | all | report]

Makes (once, in `--data-dir` or a temporary folder) an annotation file of some 50,000
keyframes and a result file with 60 scores for each of 83,303 boxes, from the real
boxes of AVA v1.0 test where `--shared` has them, else from drawn ones; the annotations
stay csv, the detections are csv, parquet and npz. Each run is a fresh process that
imports the package, reads both files and evaluates them; time is taken from its start to
its end ("no import": without the start of Python and its imports), and the formats and
rule sets take turns. All formats must give the same bits. A
subset is checked against the loops of tests/evaluation/ava_oracle.py. `--rules all` times
the comparison of all rule sets, `--rules report` the command with report.html and all its
files. Nothing is written into the repository.
"""

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
NUM_BOXES = 83_303
NUM_KEYFRAMES = 50_000
SUBSET_BOXES = 400
_FORMATS = ("csv", "parquet", "npz")

_CHILD = """
import contextlib, io, json, re, resource, sys, tempfile, time
start = time.perf_counter()
from pathlib import Path
from x3d_det.evaluation import compare_files, evaluate_files
imported = time.perf_counter()
if sys.argv[3] == "report":
    sys.path.insert(0, "tools")
    from evaluate_ava import main
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        files = ["--annotations", sys.argv[1], "--detections", sys.argv[2]]
        assert main([*files, "--output-dir", folder]) == 0
        reports = [json.loads(Path(folder, "report.json").read_text())]
elif sys.argv[3] == "all":
    reports = [outcome.report.to_dict() for outcome in compare_files(*sys.argv[1:3]).outcomes]
else:
    reports = [evaluate_files(*sys.argv[1:3], rules=sys.argv[3]).to_dict()]
scored = time.perf_counter()
usage = resource.getrusage(resource.RUSAGE_SELF)
# Its peak would count the parent, whose memory this process began with.
peak_kb = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps({
    "mAP": [report["mAP"] for report in reports],
    "per_class": [report["per_class"] for report in reports],
    "import_seconds": imported - start,
    "score_seconds": scored - imported,
    "user_seconds": usage.ru_utime,
    "system_seconds": usage.ru_stime,
    "peak_mb": peak_kb / 1024,
}))
"""


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return 1 if the result differs from the oracle's."""
    from x3d_det.evaluation import RULES

    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each rule set")
    parser.add_argument("--boxes", type=int, default=NUM_BOXES, help="detected boxes")
    parser.add_argument("--data-dir", type=Path, help="keep the generated files here")
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared")
    parser.add_argument(
        "--rules", nargs="+", default=list(RULES), choices=[*RULES, "all", "report"]
    )
    parser.add_argument("--format", default="csv,parquet,npz", help="of the detections")
    parser.add_argument("--output", type=Path, help="write the JSON here too")
    arguments = parser.parse_args(argv)
    formats = arguments.format.split(",")
    if not set(formats) <= set(_FORMATS):
        parser.error(f"--format {arguments.format}: allowed are {', '.join(_FORMATS)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.data_dir or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        paths = make_files(folder, arguments.shared, arguments.boxes)
        check_subset(*paths, folder)
        files = {name: in_format(paths[1], name) for name in formats}
        runs = [
            {"rules": rules, "format": name, **run_once(paths[0], file, rules)}
            for _ in range(arguments.repeats)
            for rules in arguments.rules
            for name, file in files.items()
        ]
        require_same_bits(runs)
        summary = {
            "detection_rows": arguments.boxes * 60,
            "file_mb": {name: file.stat().st_size / 1e6 for name, file in files.items()},
            "cpus": os.cpu_count(),
            "python": sys.version.split()[0],
            "numpy": np.__version__,
            "pandas": pd.__version__,
            "runs": [{k: v for k, v in run.items() if k != "per_class"} for run in runs],
        }
    print(json.dumps(summary, indent=1))
    print(
        f"\n{'rules':18s} {'format':8s} {'mAP':>8s} {'s, best':>8s} {'s, median':>10s} "
        f"{'no import':>10s} {'CPU s':>7s} {'MB':>6s}"
    )
    for rules, name in itertools.product(arguments.rules, formats):
        mine = [run for run in runs if (run["rules"], run["format"]) == (rules, name)]
        seconds = sorted(run["wall_seconds"] for run in mine)
        scored = min(run["score_seconds"] for run in mine)
        cpu = min(run["user_seconds"] + run["system_seconds"] for run in mine)
        median = seconds[len(seconds) // 2]
        peak = max(run["peak_mb"] for run in mine)
        print(
            f"{rules:18s} {name:8s} {mine[0]['mAP'][0]:8.4f} {seconds[0]:8.2f} {median:10.2f} "
            f"{scored:10.2f} {cpu:7.2f} {peak:6.0f}"
        )
    if arguments.output:
        arguments.output.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {arguments.output}")
    return 0


def in_format(path: Path, name: str) -> Path:
    """Write a csv file's detections in another format beside it; keep what stands."""
    from x3d_det.io.detection_tables import read_detection_table, write_detection_table

    other = path.with_suffix(f".{name}")
    if not other.is_file():
        write_detection_table(read_detection_table(path), other)
    return other


def require_same_bits(runs: list[dict]) -> None:
    """Exit if a rule set gave one format another AP than the others."""
    for rules in {run["rules"] for run in runs}:
        results = [run["per_class"] for run in runs if run["rules"] == rules]
        if any(result != results[0] for result in results):
            raise SystemExit(f"{rules}: the formats or runs differ")


def run_once(annotations: Path, detections: Path, rules: str) -> dict:
    """Evaluate in a fresh process; return its numbers."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(annotations), str(detections), rules],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=REPOSITORY,
    )
    seconds = time.perf_counter() - start
    return {"wall_seconds": seconds, **json.loads(done.stdout)}


def make_files(folder: Path, shared: Path, num_boxes: int) -> tuple[Path, Path]:
    """Write annotations and detections, the same ones for the same boxes; keep what stands."""
    from x3d_det.io.ava_csv import write_annotations, write_detections
    from x3d_det.io.label_map import ava_label_map

    real = shared / "ava" / "annotations" / "ava_test_v1.0.csv"
    stem = f"{'real' if real.is_file() else 'drawn'}_{num_boxes}"
    annotations_path = folder / f"annotations_{stem}.csv"
    detections_path = folder / f"detections_{stem}.csv"
    if annotations_path.is_file() and detections_path.is_file():
        return annotations_path, detections_path
    rng = np.random.default_rng(20181)
    num_keyframes = max(1, round(NUM_KEYFRAMES * num_boxes / NUM_BOXES))
    rows = _repeated(_real_rows(real) if real.is_file() else _drawn_rows(rng), num_keyframes)
    write_annotations(rows, annotations_path)

    ids = np.array(ava_label_map(60).action_ids)
    key = ["video_id", "timestamp", "x1", "y1", "x2", "y2"]
    box_of_row = rows.groupby(key, sort=False).ngroup().to_numpy()
    boxes = rows.drop_duplicates(key).reset_index(drop=True)
    labels = np.zeros((len(boxes), ids[-1] + 1), bool)
    labels[box_of_row, rows["action_id"].clip(0, ids[-1])] = True

    chosen = np.flatnonzero(rng.random(len(boxes)) < 0.85)
    chosen = np.sort(np.concatenate([chosen, rng.choice(len(boxes), len(boxes) // 10)]))
    chosen = np.resize(chosen, num_boxes)
    corners = boxes.loc[chosen, key[2:]].to_numpy()
    sizes = np.tile(corners[:, 2:] - corners[:, :2], 2)
    corners = corners + rng.normal(0, 0.06, corners.shape) * sizes
    stray = rng.random(num_boxes) < 0.1
    corners[stray] = _random_boxes(rng, int(stray.sum()))
    corners = np.clip(corners, 0, 1).round(3)
    frequency = np.log(labels[:, ids].mean(axis=0) + 1e-3)
    logits = frequency + 3 * labels[chosen][:, ids] + rng.normal(0, 1.2, (num_boxes, len(ids)))
    table = pd.DataFrame(
        {
            "video_id": np.repeat(boxes["video_id"].to_numpy()[chosen], len(ids)),
            "timestamp": np.repeat(boxes["timestamp"].to_numpy()[chosen], len(ids)),
            **{name: np.repeat(corners[:, i], len(ids)) for i, name in enumerate(key[2:])},
            "action_id": np.tile(ids, num_boxes),
            "score": np.round(1 / (1 + np.exp(-logits)), 8).ravel(),
        }
    )
    write_detections(table, detections_path)
    return annotations_path, detections_path


def _real_rows(path: Path) -> pd.DataFrame:
    from x3d_det.io.ava_csv import read_annotations

    return read_annotations(path).rows


def _drawn_rows(rng: np.random.Generator) -> pd.DataFrame:
    """Return rows like AVA's: one to four boxes a keyframe, two actions a box."""
    counts = rng.integers(1, 5, 5_000)
    keyframe = np.repeat(np.arange(len(counts)), counts)
    box = _random_boxes(rng, len(keyframe)).round(3)
    rows = pd.DataFrame(box, columns=["x1", "y1", "x2", "y2"]).loc[lambda t: t.x1 < t.x2]
    rows = rows.loc[rows.y1 < rows.y2]
    rows.insert(0, "video_id", [f"video_{k // 300:05d}" for k in keyframe[rows.index]])
    rows.insert(1, "timestamp", 902.0 + keyframe[rows.index] % 300)
    rows = rows.loc[rows.index.repeat(2)].reset_index(drop=True)
    rows["action_id"] = np.minimum(rng.zipf(1.4, len(rows)), 80)
    return rows.drop_duplicates(ignore_index=True)


def _random_boxes(rng: np.random.Generator, number: int) -> np.ndarray:
    low = rng.uniform(0, 0.6, (number, 2))
    return np.concatenate([low, low + rng.uniform(0.05, 0.4, (number, 2))], axis=1)


def _repeated(rows: pd.DataFrame, num_keyframes: int) -> pd.DataFrame:
    """Return the rows over and over under new video ids, up to the number of keyframes."""
    keyframe = rows.groupby(["video_id", "timestamp"], sort=False).ngroup()
    per_copy = int(keyframe.max()) + 1
    copies = []
    for copy in range(math.ceil(num_keyframes / per_copy)):
        part = rows[keyframe < num_keyframes - copy * per_copy].copy()
        part["video_id"] = part["video_id"].str[:-1] + chr(ord("a") + copy)
        copies.append(part)
    return pd.concat(copies, ignore_index=True)


def check_subset(annotations: Path, detections: Path, folder: Path) -> None:
    """Compare the first keyframes with the oracle under every rule set, else exit."""
    from x3d_det.evaluation import evaluate_files
    from x3d_det.io.label_map import ava_label_map

    sys.path.insert(0, str(REPOSITORY / "tests" / "evaluation"))
    import ava_oracle

    with detections.open(encoding="utf-8") as file:
        found = [line for line, _ in zip(file, range(SUBSET_BOXES * 60), strict=False)]
    last = found[-1].split(",")[:2]
    keyframes = list(dict.fromkeys(tuple(line.split(",")[:2]) for line in found))
    truth = [
        line
        for line in annotations.read_text(encoding="utf-8").splitlines(keepends=True)
        if tuple(line.split(",")[:2]) in set(keyframes)
    ]
    paths = [folder / "subset_annotations.csv", folder / "subset_detections.csv"]
    for path, lines in zip(paths, (truth, found), strict=True):
        path.write_text("".join(lines), encoding="utf-8")
    ids = ava_label_map(60).action_ids
    for rules in ava_oracle.PROTOCOLS:
        ours = evaluate_files(*paths, rules=rules).per_class
        theirs = ava_oracle.evaluate(
            [(*_values(line), None) for line in truth],
            [(*_values(line), float(line.split(",")[7])) for line in found],
            ids,
            rules,
        )
        for action_id in ids:
            ours_ap, theirs_ap = ours[action_id], theirs[action_id]
            same = math.isnan(ours_ap) if theirs_ap is None else abs(ours_ap - theirs_ap) < 1e-12
            if not same:
                raise SystemExit(f"{rules}, action {action_id}: {ours_ap}, oracle {theirs_ap}")
    print(f"equal to the oracle on {len(found):,} rows up to {','.join(last)}", file=sys.stderr)


def _values(line: str) -> tuple:
    fields = line.split(",")
    return (fields[0], *(float(value) for value in fields[1:6]), int(fields[6]))


if __name__ == "__main__":
    sys.exit(main())
