"""The generated AVA on disk: videos, csv files and label map, named and laid out as AVA's.

Each video is made from its own random streams, so that neither the number of processes nor what
else is made changes a byte. A stopped run is completed by a later one (`made_folder`).
"""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from x3d_det.io.label_map import LabelMap, ava_label_map, write_label_map
from x3d_det.synthetic.actions import ACTION_IDS
from x3d_det.synthetic.film import VideoRecord, make_video, video_path
from x3d_det.synthetic.made_folder import (
    MadeFolder,
    MadeSummary,
    ProgressFunction,
    check_at_least,
)
from x3d_det.synthetic.script import (
    FIRST_FILM_SECOND,
    SPLITS,
    VideoPlan,
    plan_split,
)

MIN_SECONDS = 4
KIND = "generated AVA"


@dataclass(frozen=True, kw_only=True)
class AvaMiniSummary(MadeSummary):
    """What a folder holds.

    Attributes:
        num_videos, num_keyframes, num_boxes: by split.
        instances: by split, action id to annotated instances.
    """

    num_videos: dict[str, int]
    num_keyframes: dict[str, int]
    num_boxes: dict[str, int]
    instances: dict[str, dict[int, int]]

    def lines(self) -> list[str]:
        """Return the summary in words and as a table of instances by action."""
        names = ava_label_map(60).names
        found = [
            f"{split}: {self.num_videos[split]} videos, {self.num_keyframes[split]} keyframes, "
            f"{self.num_boxes[split]} boxes"
            for split in SPLITS
        ]
        found.append(f"{'id':>3}  {'action':<26}" + "".join(f"{split:>8}" for split in SPLITS))
        for action_id in ACTION_IDS:
            counts = "".join(f"{self.instances[split].get(action_id, 0):>8}" for split in SPLITS)
            found.append(f"{action_id:>3}  {names[action_id]:<26}{counts}")
        return found


def generate_ava_mini(
    output_dir: str | Path,
    *,
    seed: int = 0,
    num_train_videos: int = 40,
    num_val_videos: int = 12,
    seconds_per_video: int = 20,
    workers: int = 2,
    progress: ProgressFunction | None = None,
) -> AvaMiniSummary:
    """Make the generated AVA, or complete it, or find that it stands already.

    Args:
        output_dir: made where missing; must be empty or hold an earlier set of ours. A set of
            other settings is replaced.
        seed: 0 or more; another seed gives other figures, places and movements.
        num_train_videos, num_val_videos: 1 or more each.
        seconds_per_video: length of each video, 4 or more.
        workers: processes; the result does not depend on it.
        progress: told after each video.

    Raises:
        DataError: a number out of range, or a folder with foreign files.
    """
    check_at_least(
        KIND,
        (
            ("seed", seed, 0),
            ("num_train_videos", num_train_videos, 1),
            ("num_val_videos", num_val_videos, 1),
            ("seconds_per_video", seconds_per_video, MIN_SECONDS),
            ("workers", workers, 1),
        ),
    )
    settings = {
        "seed": seed,
        "num_train_videos": num_train_videos,
        "num_val_videos": num_val_videos,
        "seconds_per_video": seconds_per_video,
    }
    made = MadeFolder(output_dir, settings, kind=KIND)
    standing = made.complete_manifest()
    if standing is not None:
        return _summary(made, standing)
    kept = made.start(("annotations", "person_boxes", "videos"))
    plans = [
        plan
        for split, count in zip(SPLITS, (num_train_videos, num_val_videos), strict=True)
        for plan in plan_split(seed, split, num_videos=count, seconds_per_video=seconds_per_video)
    ]
    assert len({plan.video_id for plan in plans}) == len(plans)
    make = partial(make_video, folder=made.folder, seed=seed, kept=kept)
    records = made.fill(make, plans, workers=workers, progress=progress)
    counts = _write_tables(made.folder, plans, {record.video_id: record for record in records})
    return _summary(made, made.finish(counts, _file_names(plans)))


def table_paths(split: str) -> dict[str, str]:
    """Return the csv files of a split by kind, relative to the folder of the set."""
    return {
        "annotations": f"annotations/ava_mini_{split}.csv",
        "exclusions": f"annotations/ava_mini_{split}_excluded_timestamps.csv",
        "proposals": f"person_boxes/ava_mini_{split}_predicted_boxes.csv",
    }


LABEL_MAP_PATH = "annotations/ava_mini_action_list.pbtxt"


def _write_tables(
    folder: Path, plans: list[VideoPlan], records: dict[str, VideoRecord]
) -> dict[str, Any]:
    """Write csv files and label map; return the counts of the summary."""
    import pandas as pd

    from x3d_det.io.ava_csv import write_annotations, write_exclusions, write_proposals

    place = ["video_id", "timestamp", "x1", "y1", "x2", "y2"]
    counts: dict[str, Any] = {}
    for split in SPLITS:
        own = [plan for plan in plans if plan.split == split]
        paths = {kind: folder / name for kind, name in table_paths(split).items()}
        rows = pd.DataFrame(
            [row for plan in own for row in records[plan.video_id].annotations],
            columns=[*place, "action_id", "person_id"],
        )
        write_annotations(rows, paths["annotations"])
        boxes = [row for plan in own for row in records[plan.video_id].proposals]
        write_proposals(pd.DataFrame(boxes, columns=[*place, "score"]), paths["proposals"])
        excluded = [
            (plan.video_id, float(FIRST_FILM_SECOND + second))
            for plan in own
            for second in plan.excluded
        ]
        write_exclusions(
            pd.DataFrame(excluded, columns=["video_id", "timestamp"]), paths["exclusions"]
        )
        counts[split] = {
            "videos": len(own),
            "keyframes": len(rows[["video_id", "timestamp"]].drop_duplicates()),
            "boxes": len(rows[["video_id", "timestamp", "person_id"]].drop_duplicates()),
            "instances": {
                str(action_id): count
                for action_id, count in sorted(Counter(rows["action_id"].tolist()).items())
            },
        }
    everything = ava_label_map(60)
    label_map = LabelMap(
        {action_id: everything.names[action_id] for action_id in ACTION_IDS},
        {action_id: everything.groups[action_id] for action_id in ACTION_IDS},
    )
    write_label_map(label_map, folder / LABEL_MAP_PATH)
    return counts


def _summary(made: MadeFolder, manifest: dict[str, Any]) -> AvaMiniSummary:
    counts = manifest["counts"]
    return AvaMiniSummary(
        output_dir=made.folder,
        seconds=made.seconds,
        num_bytes=made.num_bytes(manifest),
        num_videos={split: counts[split]["videos"] for split in SPLITS},
        num_keyframes={split: counts[split]["keyframes"] for split in SPLITS},
        num_boxes={split: counts[split]["boxes"] for split in SPLITS},
        instances={
            split: {int(key): value for key, value in counts[split]["instances"].items()}
            for split in SPLITS
        },
    )


def _file_names(plans: list[VideoPlan]) -> list[str]:
    tables = [name for split in SPLITS for name in table_paths(split).values()]
    return [LABEL_MAP_PATH, *tables, *(video_path(plan.video_id) for plan in plans)]
