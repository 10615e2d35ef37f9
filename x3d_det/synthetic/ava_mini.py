"""The generated AVA on disk: videos, csv files and label map, named and laid out as AVA's.

Each video is made from its own random streams, so that neither the number of processes nor what
else is made changes a byte. `manifest.json` is written last: a folder with it is complete.
`progress.json` lists the videos made so far; a later run with the same settings keeps them.
"""

import hashlib
import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from x3d_det.errors import DataError
from x3d_det.io.files import atomic_write, sha256_file
from x3d_det.io.label_map import LabelMap, ava_label_map, write_label_map
from x3d_det.synthetic.actions import ACTION_IDS
from x3d_det.synthetic.film import VideoRecord, make_video, video_path
from x3d_det.synthetic.script import (
    FIRST_FILM_SECOND,
    SPLITS,
    VideoPlan,
    plan_split,
)

MIN_SECONDS = 4
_MANIFEST, _PROGRESS = "manifest.json", "progress.json"

ProgressFunction = Callable[[int, int], None]
"""Called with the number of videos that stand and the number of all videos."""


@dataclass(frozen=True, kw_only=True)
class AvaMiniSettings:
    """Everything that decides the bytes of the set; `generator` is a digest of this package."""

    seed: int
    num_train_videos: int
    num_val_videos: int
    seconds_per_video: int
    generator: str


@dataclass(frozen=True, kw_only=True)
class AvaMiniSummary:
    """What a folder holds.

    Attributes:
        output_dir: the folder.
        reused: nothing had to be made.
        num_videos, num_keyframes, num_boxes: by split.
        instances: by split, action id to annotated instances.
        num_bytes: of all files together.
    """

    output_dir: Path
    reused: bool
    num_videos: dict[str, int]
    num_keyframes: dict[str, int]
    num_boxes: dict[str, int]
    instances: dict[str, dict[int, int]]
    num_bytes: int

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
    _check(seed, num_train_videos, num_val_videos, seconds_per_video, workers)
    folder = Path(output_dir)
    settings = AvaMiniSettings(
        seed=seed,
        num_train_videos=num_train_videos,
        num_val_videos=num_val_videos,
        seconds_per_video=seconds_per_video,
        generator=_generator_digest(),
    )
    old = _read_json(folder / _MANIFEST)
    if _is_complete(folder, old, settings):
        return _summary(folder, old, reused=True)
    kept = _start(folder, old, settings)
    plans = [
        plan
        for split, count in zip(SPLITS, (num_train_videos, num_val_videos), strict=True)
        for plan in plan_split(seed, split, num_videos=count, seconds_per_video=seconds_per_video)
    ]
    assert len({plan.video_id for plan in plans}) == len(plans)
    records: dict[str, VideoRecord] = {}
    for record in _make_all(plans, folder, seed=seed, kept=kept, workers=workers):
        records[record.video_id] = record
        kept[record.video_id] = record.sha256
        _write_json(folder / _PROGRESS, {"settings": asdict(settings), "videos": kept})
        if progress is not None:
            progress(len(records), len(plans))
    counts = _write_tables(folder, plans, records)
    manifest = {"settings": asdict(settings), "counts": counts, "sha256": _digests(folder, plans)}
    _write_json(folder / _MANIFEST, manifest)
    (folder / _PROGRESS).unlink(missing_ok=True)
    return _summary(folder, manifest, reused=False)


def table_paths(split: str) -> dict[str, str]:
    """Return the csv files of a split by kind, relative to the folder of the set."""
    return {
        "annotations": f"annotations/ava_mini_{split}.csv",
        "exclusions": f"annotations/ava_mini_{split}_excluded_timestamps.csv",
        "proposals": f"person_boxes/ava_mini_{split}_predicted_boxes.csv",
    }


LABEL_MAP_PATH = "annotations/ava_mini_action_list.pbtxt"


def _check(
    seed: int, num_train_videos: int, num_val_videos: int, seconds_per_video: int, workers: int
) -> None:
    faults = [
        f"{name} = {value} is below {least}"
        for name, value, least in (
            ("seed", seed, 0),
            ("num_train_videos", num_train_videos, 1),
            ("num_val_videos", num_val_videos, 1),
            ("seconds_per_video", seconds_per_video, MIN_SECONDS),
            ("workers", workers, 1),
        )
        if value < least
    ]
    if faults:
        raise DataError("the generated AVA cannot be made: " + "; ".join(faults) + ".")


def _start(folder: Path, old: dict[str, Any], settings: AvaMiniSettings) -> dict[str, str]:
    """Prepare the folder and return the videos of an earlier run that can be kept, by digest."""
    progress = _read_json(folder / _PROGRESS)
    if not old and not progress and folder.is_dir() and any(folder.iterdir()):
        raise DataError(
            f"{folder} holds files that are not of a generated AVA; give an empty or new folder."
        )
    kept: dict[str, str] = {}
    for earlier in (old, progress):
        if earlier.get("settings") == asdict(settings):
            kept |= earlier.get("videos", {})
            for name, digest in earlier.get("sha256", {}).items():
                if name.startswith("videos/"):
                    kept[Path(name).stem] = digest
        else:
            names = [*earlier.get("sha256", {}), *map(video_path, earlier.get("videos", {}))]
            for name in names:
                (folder / name).unlink(missing_ok=True)
    for part in ("annotations", "person_boxes", "videos"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    kept = {
        video_id: digest
        for video_id, digest in kept.items()
        if _matches(folder / video_path(video_id), digest)
    }
    _write_json(folder / _PROGRESS, {"settings": asdict(settings), "videos": kept})
    (folder / _MANIFEST).unlink(missing_ok=True)
    return kept


def _make_all(
    plans: list[VideoPlan], folder: Path, *, seed: int, kept: dict[str, str], workers: int
) -> Iterator[VideoRecord]:
    """Yield the record of each video as it is done, in any order."""
    digests = dict(kept)
    if workers == 1:
        for plan in plans:
            yield make_video(plan, folder, seed, digests.get(plan.video_id))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(plans)), mp_context=context) as pool:
        jobs = [
            pool.submit(make_video, plan, folder, seed, digests.get(plan.video_id))
            for plan in plans
        ]
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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


def _summary(folder: Path, manifest: dict[str, Any], *, reused: bool) -> AvaMiniSummary:
    counts = manifest["counts"]
    return AvaMiniSummary(
        output_dir=folder,
        reused=reused,
        num_videos={split: counts[split]["videos"] for split in SPLITS},
        num_keyframes={split: counts[split]["keyframes"] for split in SPLITS},
        num_boxes={split: counts[split]["boxes"] for split in SPLITS},
        instances={
            split: {int(key): value for key, value in counts[split]["instances"].items()}
            for split in SPLITS
        },
        num_bytes=sum((folder / name).stat().st_size for name in manifest["sha256"]),
    )


def _digests(folder: Path, plans: list[VideoPlan]) -> dict[str, str]:
    names = [LABEL_MAP_PATH, *(name for split in SPLITS for name in table_paths(split).values())]
    names += [video_path(plan.video_id) for plan in plans]
    return {name: sha256_file(folder / name) for name in sorted(names)}


def _is_complete(folder: Path, manifest: dict[str, Any], settings: AvaMiniSettings) -> bool:
    return manifest.get("settings") == asdict(settings) and all(
        _matches(folder / name, digest) for name, digest in manifest["sha256"].items()
    )


def _matches(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_file(path) == digest


def _generator_digest() -> str:
    """Return a digest of this package's own text: changed code makes a new set."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; an empty one where the file is missing or spoiled."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path, "w") as file:
        json.dump(content, file, indent=1)
