"""Runs over films of bright rectangles, and the csv that they must write."""

import json
from pathlib import Path

from lit_films import HALF, HEIGHT, WIDTH, LitDetector, drawn_boxes

from x3d_det.data.clips import FrameSource
from x3d_det.keyframes import format_timestamp
from x3d_det.persons.journal import journal_path
from x3d_det.persons.keyframe_plan import KeyframePlan, Shard
from x3d_det.persons.run import run_shard
from x3d_det.persons.summary import ShardedRun, write_person_boxes

ONE = Shard()
LENGTHS = {"-a": 40, "b": 1, "c": 33}  # pieces of 16: 3, 1 and 3


def plan_of(lengths: dict[str, int], start: int = 0) -> KeyframePlan:
    """Return every second of films of these lengths as a plan."""
    return KeyframePlan(
        timestamps={v: tuple(float(start + s) for s in range(n)) for v, n in lengths.items()},
        identity="a test",
    )


def detect(
    output_dir: Path,
    plan: KeyframePlan,
    source: FrameSource,
    detector: LitDetector | None = None,
    *,
    shard: Shard = ONE,
    start: float = 0.0,
    batch_size: int = 5,
    resume: bool = False,
) -> ShardedRun:
    """Find the persons of a plan."""
    output_dir.mkdir(exist_ok=True)
    return run_shard(
        plan,
        source,
        detector or LitDetector(),
        output_dir=output_dir,
        shard=shard,
        video_start_seconds=start,
        batch_size=batch_size,
        resume=resume,
    )


def csv_of(run: ShardedRun, path: Path) -> str:
    """Return the csv of a run, written to `path`."""
    write_person_boxes(run, path)
    return path.read_text()


def expected_csv(lengths: dict[str, int], start: int = 0) -> str:
    """Return the csv of drawn films, in slow loops."""
    lines = []
    for video_id, num_seconds in sorted(lengths.items()):
        for second in range(num_seconds):
            rows = [((x2 - x1) / HALF, (x1, y1, x2, y2)) for x1, y1, x2, y2 in drawn_boxes(second)]
            for score, box in sorted(rows, key=lambda row: (-row[0], row[1])):
                corners = [f"{v / (HEIGHT if i % 2 else WIDTH):.5f}" for i, v in enumerate(box)]
                stamp = format_timestamp(start + second)
                lines.append(",".join([video_id, stamp, *corners, "", repr(score)]))
    return "".join(f"{line}\n" for line in lines)


def journal_lines(output_dir: Path, shard: Shard = ONE) -> list[dict]:
    """Return what the journal of a shard holds."""
    return [json.loads(line) for line in journal_path(output_dir, shard).read_text().splitlines()]
