"""A small data set without any fault: two videos, tables by hand; tests put faults into it."""

import functools
import shutil
from pathlib import Path

from video_files import make_video

from x3d_det.checks.dataset import check_dataset
from x3d_det.config.load import load_config

TRAIN, VAL = "annotations_train.csv", "annotations_val.csv"
BOXES, EXCLUDED, MAP = "person_boxes_val.csv", "exclusions_val.csv", "label_map.pbtxt"
FPS, SECONDS = 10, 10
ACTIONS = {1: "wave", 2: "jump", 3: "sit down"}
# Two people on each of the keyframes 902 to 907; the first waves and jumps, the second sits.
PEOPLE = (("0.100,0.200,0.300,0.900", (1, 2)), ("0.500,0.250,0.800,0.950", (3,)))
KEYFRAMES = range(902, 908)


def make_tables(root: Path) -> Path:
    """Write the tables of both splits: train has video `v0`, val has `-v1`."""
    root.mkdir(parents=True, exist_ok=True)
    entries = [f'label {{\n  name: "{n}"\n  label_id: {i}\n}}\n' for i, n in ACTIONS.items()]
    (root / "label_map.pbtxt").write_text("".join(entries))
    for split, video in (("train", "v0"), ("val", "-v1")):
        keys = [f"{video},{second:04d}" for second in KEYFRAMES]
        rows = [
            f"{key},{box},{action},{person}\n"
            for key in keys
            for person, (box, actions) in enumerate(PEOPLE)
            for action in actions
        ]
        (root / f"annotations_{split}.csv").write_text("".join(rows))
        found = [f"{key},{box},,0.9\n" for key in keys for box, _ in PEOPLE]
        (root / f"person_boxes_{split}.csv").write_text("".join(found))
        (root / f"exclusions_{split}.csv").write_text(f"{video},0908\n")
    return root


def make_small_dataset(root: Path) -> Path:
    """Write tables and videos."""
    make_tables(root)
    (root / "videos").mkdir()
    for name in ("v0", "-v1"):
        path = root / "videos" / f"{name}.mp4"
        make_video(path, num_frames=FPS * SECONDS, fps=FPS, container_options=FAST_START)
    return root


FAST_START = {"movflags": "faststart"}  # the index in front, as download sites have it


def copy_dataset(source: Path, target: Path) -> Path:
    """Return a copy that a test may spoil."""
    return shutil.copytree(source, target)


def overrides(root: Path) -> list[str]:
    """Return the `--set` values that make a config of the data set."""
    values = [
        "dataset.name=small",
        f"dataset.root={root}",
        "dataset.label_map=label_map.pbtxt",
        f"dataset.num_classes={len(ACTIONS)}",
    ]
    for split in ("train", "val"):
        for name in ("annotations", "person_boxes", "exclusions"):
            values.append(f"dataset.{split}.{name}={name}_{split}.csv")
    return values


@functools.cache
def _config(*further: str):
    return load_config("x3d_m_ava.yaml", [*overrides(Path("small")), *further])


def config_of(root: Path, *further: str):
    """Return the config of the data set, further settings last; each list is parsed once."""
    config = _config(*further)
    return config.model_copy(update={"dataset": config.dataset.model_copy(update={"root": root})})


def check(root: Path, *further: str, with_videos: bool = False, **options):
    """Return the report of `check_dataset`."""
    return check_dataset(config_of(root, *further), with_videos=with_videos, **options)


def found(report, kind: str):
    """Return the findings of a kind."""
    return [finding for finding in report.findings if finding.kind == kind]


def assert_one(report, kind: str, place: str, *texts: str, severity: str = "error") -> None:
    """Assert that there is exactly one finding of a kind, here, with these texts."""
    findings = found(report, kind)
    assert len(findings) == 1, [str(finding) for finding in report.findings]
    finding = findings[0]
    assert finding.severity == severity
    assert str(finding).startswith(f"set/{place}: "), str(finding)
    for text in texts:
        assert text in finding.text, finding.text


def edit(path: Path, line: int, old: str, new: str) -> None:
    """Replace `old` by `new` in one line (1-based) of a file."""
    lines = path.read_text().splitlines(keepends=True)
    assert old in lines[line - 1], lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    path.write_text("".join(lines))


def append(path: Path, *lines: str) -> int:
    """Append lines to a file; return the number of the first."""
    first = len(path.read_text().splitlines()) + 1
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))
    return first
