"""Does the detector see motion? The demo's training against one that sees a still picture.

    python benchmarks/motion_control.py --seeds 0 1 --output-dir outputs/motion_control

For each seed the demo's config is trained twice: as it is, and with every frame of a clip replaced
by its keyframe (`--set clip.still_keyframe=true`). Both are scored on annotated boxes. Five of the
generated AVA's actions look alike in a single frame: get up and fall down are one movement played
forwards or backwards; stand, walk and run share their poses. Their mean AP is what to compare.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIG = "x3d_xs_ava_mini.yaml"
MOTION_ACTIONS = {5: "fall down", 6: "get up", 10: "run/jog", 12: "stand", 14: "walk"}


def main() -> int:
    """Train, score, print a table, and write motion_control.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output-dir", type=Path, default=Path("outputs/motion_control"))
    args = parser.parse_args()
    rows = []
    for seed in args.seeds:
        for name, still in (("clip", "false"), ("still keyframe", "true")):
            folder = args.output_dir / f"seed{seed}_{name.split()[0]}"
            rows.append({"seed": seed, "frames": name, **_result(folder, seed, still)})
            print(json.dumps(rows[-1]), flush=True)
    for name in ("clip", "still keyframe"):
        own = [row for row in rows if row["frames"] == name]
        for key in ("mAP", "motion_mAP"):
            values = [float(row[key]) for row in own]
            spread = f"{min(values):.3f} to {max(values):.3f}"
            print(f"{name:15} {key:11} mean {statistics.mean(values):.3f} ({spread})")
    (args.output_dir / "motion_control.json").write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def _result(folder: Path, seed: int, still: str) -> dict[str, object]:
    """Train (or go on) and return the scores of one run."""
    settings = [
        "--config",
        CONFIG,
        "--set",
        f"seed={seed}",
        "--set",
        f"clip.still_keyframe={still}",
    ]
    _tool("train_ava.py", *settings, "--resume", "--output-dir", str(folder / "train"))
    model = folder / "train" / "model.safetensors"
    _tool("evaluate_ava.py", *settings, "--checkpoint", str(model), "--output-dir", str(folder))
    report = json.loads((folder / "report.json").read_text())
    per_class = {MOTION_ACTIONS[i]: report["per_class"][str(i)] for i in MOTION_ACTIONS}
    motion = statistics.mean(per_class.values())
    return {"mAP": report["mAP"], "motion_mAP": motion, "per_class": per_class}


def _tool(name: str, *options: str) -> None:
    command = [sys.executable, str(REPOSITORY / "tools" / name), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
