"""Rows a second of every reader of annotation and box files, on files of AVA's size.

    python benchmarks/readers.py [--rows 1500000] [--repeats 3] [--data-dir DIR] [--output FILE]

Draws annotations (1.5 million rows are AVA v2.2's training set and more) and person
boxes, writes them in each form once, and reads each in a fresh process; the time is that
of the call, imports not counted. The best of the repeats is shown, with the peak memory
of the process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from x3d_det.formats.form_writers import Writer
from x3d_det.formats.options import ConvertOptions
from x3d_det.formats.person_boxes import PersonBoxes
from x3d_det.formats.registry import FORMS
from x3d_det.io.ava_csv import AvaAnnotations
from x3d_det.io.label_map import ava_label_map

REPOSITORY = Path(__file__).resolve().parents[1]
ROWS_PER_BOX = 2  # labels of a box, as in AVA v1.0 and AVA-Kinetics
BOXES_PER_KEYFRAME = 2
KEYFRAMES_PER_VIDEO = 897

_CHILD = """
import json, re, sys, time
from pathlib import Path
from x3d_det.formats.options import ConvertOptions
from x3d_det.formats.registry import FORMS
read, path = FORMS[sys.argv[1]].read, Path(sys.argv[2])
options = ConvertOptions(images=Path(sys.argv[3]))
import pandas, pyarrow.csv
start = time.perf_counter()
loaded = read(path, options)
seconds = time.perf_counter() - start
table = loaded.table if hasattr(loaded.table, "columns") else loaded.table.rows
# getrusage's peak would count the parent, whose memory this process began with.
peak_kb = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps({"seconds": seconds, "rows": len(table), "peak_mb": peak_kb / 1024}))
"""


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=1_500_000, help="rows of the annotations")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data-dir", type=Path, help="keep the generated files here")
    parser.add_argument("--output", type=Path, help="write the JSON here too")
    arguments = parser.parse_args(argv)
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.data_dir or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{'form':20s} {'MB':>7s} {'rows':>10s} {'s':>7s} {'rows a s':>11s} {'peak MB':>8s}")
        for name, path in make_files(folder, arguments.rows).items():
            runs = [run_once(name, path, folder) for _ in range(arguments.repeats)]
            best = min(runs, key=lambda run: run["seconds"])
            results.append({"form": name, "file_mb": path.stat().st_size / 1e6, **best})
            rate = best["rows"] / best["seconds"]
            print(
                f"{name:20s} {results[-1]['file_mb']:7.1f} {best['rows']:10,d} "
                f"{best['seconds']:7.2f} {rate:11,.0f} {best['peak_mb']:8.0f}",
                flush=True,
            )
    if arguments.output:
        content = {"cpus": os.cpu_count(), "python": sys.version.split()[0], "readers": results}
        arguments.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {arguments.output}")
    return 0


def run_once(name: str, path: Path, folder: Path) -> dict:
    """Read one file in a fresh process; return seconds, rows and peak memory."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, name, str(path), str(folder / "coco-persons.json")],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    return json.loads(done.stdout)


def make_files(folder: Path, num_rows: int) -> dict[str, Path]:
    """Write every form that has rows of boxes; return the files by form."""
    annotations = drawn_annotations(num_rows)
    rows = annotations.rows.drop_duplicates(["video_id", "timestamp", "x1"], ignore_index=True)
    boxes = rows[["video_id", "timestamp", "x1", "y1", "x2", "y2"]].copy()
    boxes["label"] = pd.array([pd.NA] * len(boxes), dtype="Int64")
    boxes["score"] = np.linspace(0, 1, len(boxes))
    boxes["line"] = np.arange(1, len(boxes) + 1)
    persons = PersonBoxes(boxes, annotations.empty_keyframes)
    detections = annotations.rows.assign(score=np.linspace(0, 1, len(annotations.rows)))
    tables: dict[str, object] = {
        **dict.fromkeys(["ava", "ava-v1.0", "ava-kinetics", "result-ground-truth"], annotations),
        "coco": annotations,
        **dict.fromkeys(["person-boxes", "mmaction2-proposals", "coco-persons"], persons),
        "coco-results": persons,
        "detections": detections,
        "keyframes": rows.drop_duplicates(["video_id", "timestamp"], ignore_index=True),
    }
    options = ConvertOptions(
        frame_size=(360, 640), label_map=ava_label_map(80), images=folder / "coco-persons.json"
    )
    paths = {}
    for name, table in tables.items():
        path = folder / f"{name}{FORMS[name].suffixes[0]}"
        write: Writer | None = FORMS[name].write
        assert write is not None
        write(table, path, options)
        paths[name] = path
    return paths


def drawn_annotations(num_rows: int) -> AvaAnnotations:
    """Return annotations whose boxes, seconds and labels are distributed about as AVA's."""
    rng = np.random.default_rng(0)
    box = np.arange(num_rows) // ROWS_PER_BOX
    keyframe = box // BOXES_PER_KEYFRAME
    num_boxes = int(box[-1]) + 1
    low = rng.integers(0, 500, (num_boxes, 2))
    corners = np.concatenate([low, low + rng.integers(50, 500, (num_boxes, 2))], axis=1) / 1000
    rows = pd.DataFrame(
        {
            "video_id": [f"video{number:06d}" for number in keyframe // KEYFRAMES_PER_VIDEO],
            "timestamp": 902.0 + keyframe % KEYFRAMES_PER_VIDEO,
            **{name: corners[box, place] for place, name in enumerate(["x1", "y1", "x2", "y2"])},
            "action_id": rng.integers(1, 40, num_rows) + 40 * (np.arange(num_rows) % ROWS_PER_BOX),
            "person_id": box,
            "line": np.arange(1, num_rows + 1),
        }
    )
    return AvaAnnotations(rows, rows.iloc[:0][["video_id", "timestamp", "line"]], "drawn")


if __name__ == "__main__":
    sys.exit(main())
