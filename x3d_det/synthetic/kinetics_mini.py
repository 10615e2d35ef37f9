"""The generated Kinetics on disk: whole clips with one label each, in folders by class.

`train.csv` and `val.csv` are lists of `path label`, a space between, as PySlowFast reads them;
`classes.txt` has one class a line in the order of the labels. The clips show the figures and
places of the generated AVA, framed round the figures. A stopped run is completed by a later one
(`made_folder`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from x3d_det.errors import DataError, did_you_mean
from x3d_det.io.files import atomic_write
from x3d_det.synthetic.film import write_film
from x3d_det.synthetic.kinetics_script import CLASS_NAMES, KineticsClip, clip_stream, plan_clips
from x3d_det.synthetic.made_folder import (
    MadeFile,
    MadeFolder,
    MadeSummary,
    ProgressFunction,
    check_at_least,
)
from x3d_det.synthetic.script import SPLITS
from x3d_det.synthetic.shot import Shot

KIND = "generated Kinetics"
CLASSES_PATH = "classes.txt"
CRF = 23
HEIGHT = 152
"""Of every clip in pixels; the width is the same where the figures are not further apart."""

_MARGIN = 1.15
_SMALLEST_WINDOW = 0.6

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class KineticsMiniSummary(MadeSummary):
    """What a folder holds.

    Attributes:
        class_names: in the order of their labels.
        num_clips: by split.
        num_seconds: of all clips together, by split.
    """

    class_names: tuple[str, ...]
    num_clips: dict[str, int]
    num_seconds: dict[str, float]

    def lines(self) -> list[str]:
        """Return the summary in words."""
        found = [
            f"{split}: {self.num_clips[split]} clips of {len(self.class_names)} classes, "
            f"{self.num_clips[split] // len(self.class_names)} each, "
            f"{self.num_seconds[split]:.0f} seconds together"
            for split in SPLITS
        ]
        return [*found, "classes: " + ", ".join(self.class_names)]


def generate_kinetics_mini(
    output_dir: str | Path,
    *,
    seed: int = 0,
    train_clips_per_class: int = 40,
    val_clips_per_class: int = 10,
    class_names: Sequence[str] = CLASS_NAMES,
    workers: int = 2,
    progress: ProgressFunction | None = None,
) -> KineticsMiniSummary:
    """Make the generated Kinetics, or complete it, or find that it stands already.

    Args:
        output_dir: made where missing; must be empty or hold an earlier set of ours. A set of
            other settings is replaced.
        seed: 0 or more; another seed gives other figures, places and movements.
        train_clips_per_class, val_clips_per_class: 1 or more each.
        class_names: of `CLASS_NAMES`, in any order; labels go by the alphabet.
        workers: processes; the result does not depend on it.
        progress: told after each clip.

    Raises:
        DataError: a number out of range, no or unknown classes, or a folder with foreign files.
    """
    check_at_least(
        KIND,
        (
            ("seed", seed, 0),
            ("train_clips_per_class", train_clips_per_class, 1),
            ("val_clips_per_class", val_clips_per_class, 1),
            ("workers", workers, 1),
        ),
    )
    classes = _checked_classes(class_names)
    settings = {
        "seed": seed,
        "train_clips_per_class": train_clips_per_class,
        "val_clips_per_class": val_clips_per_class,
        "class_names": classes,
    }
    made = MadeFolder(output_dir, settings, kind=KIND)
    standing = made.complete_manifest()
    if standing is not None:
        return _summary(made, standing)
    kept = made.start(f"{split}/{name}" for split in SPLITS for name in classes)
    clips = [
        clip
        for split, number in zip(SPLITS, (train_clips_per_class, val_clips_per_class), strict=True)
        for clip in plan_clips(seed, split, clips_per_class=number, class_names=classes)
    ]
    make = partial(make_clip, folder=made.folder, seed=seed, kept=kept)
    files = [file.name for file in made.fill(make, clips, workers=workers, progress=progress)]
    names = _write_lists(made.folder, clips, classes)
    return _summary(made, made.finish(_counts(clips), [*names, *files]))


def list_path(split: str) -> str:
    """Return the list of a split, relative to the folder of the set."""
    return f"{split}.csv"


def make_clip(clip: KineticsClip, *, folder: Path, seed: int, kept: Mapping[str, str]) -> MadeFile:
    """Draw and encode one clip, unless it stands, and return its file.

    Args:
        clip: what it shows.
        folder: of the set.
        seed: of the set.
        kept: sha256 of files that stand, by name in the folder.
    """
    if clip.path in kept:
        return MadeFile(name=clip.path, sha256=kept[clip.path])
    shot, window = open_clip(clip, seed=seed)
    left, top, right, bottom = window
    size = (2 * round(HEIGHT * (right - left) / (bottom - top) / 2), HEIGHT)
    sha256 = write_film(
        folder / clip.path,
        _timed_pictures(clip, shot, window, size),
        height=size[1],
        width=size[0],
        nominal_fps=clip.fps,
        crf=CRF,
    )
    return MadeFile(name=clip.path, sha256=sha256)


def open_clip(clip: KineticsClip, *, seed: int) -> tuple[Shot, Box]:
    """Return the shot of a clip, ready to be drawn, and the window of its pictures to be kept.

    The first cast of the clip's streams whose figures are all seen from side to side all the
    time: a clip has one label from its first frame to its last. The window, in pixels of the
    shot, is framed round them: a crop out of a clip has them in it.
    """
    moments = np.linspace(0.1, clip.seconds - 0.1, 5).tolist()
    for attempt in count():
        look, motion, scene = (
            clip_stream(seed, clip, attempt, purpose) for purpose in ("look", "motion", "scene")
        )
        shot = Shot(
            clip.roles,
            look_rng=look,
            motion_rng=motion,
            scene_rng=scene,
            height=clip.drawn_height,
            width=clip.drawn_width,
            duration_seconds=clip.seconds,
            keyframes=moments,
        )
        boxes = _boxes_inside(shot, moments)
        if boxes is not None:
            return shot, framing(boxes, height=shot.height, width=shot.width)
    raise AssertionError("unreachable: the attempts do not end")


def framing(boxes_norm: np.ndarray, *, height: int, width: int) -> Box:
    """Return the window (left, top, right, bottom) in pixels round boxes, within the picture.

    Args:
        boxes_norm: (N, 4) corners in [0, 1], N at least 1.
        height, width: of the picture in pixels.
    """
    left, top = boxes_norm[:, :2].min(axis=0) * (width, height)
    right, bottom = boxes_norm[:, 2:].max(axis=0) * (width, height)
    wide, high = _MARGIN * (right - left), _MARGIN * (bottom - top)
    window_high = min(max(wide, high, _SMALLEST_WINDOW * height), height)
    window_wide = min(max(wide, window_high), width)
    x = min(max((left + right - window_wide) / 2, 0.0), width - window_wide)
    y = min(max((top + bottom - window_high) / 2, 0.0), height - window_high)
    return float(x), float(y), float(x + window_wide), float(y + window_high)


def _boxes_inside(shot: Shot, moments: Sequence[float]) -> np.ndarray | None:
    """Return the boxes (N, 4) of all figures at all moments; None where one is cut at a side."""
    found = []
    for second in moments:
        boxes = [person.box_norm for person in shot.boxes(second)]
        if len(boxes) < len(shot.actors) or any(x1 <= 0 or x2 >= 1 for x1, _, x2, _ in boxes):
            return None
        found += boxes
    return np.array(found)


def _timed_pictures(
    clip: KineticsClip, shot: Shot, window: Box, size: tuple[int, int]
) -> Iterator[tuple[float, np.ndarray]]:
    seconds = [float(number / clip.fps) for number in range(clip.num_frames)]
    for second, picture in zip(seconds, shot.pictures(seconds), strict=True):
        small = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR, box=window)
        yield second, np.asarray(small)


def _checked_classes(class_names: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in class_names if name not in CLASS_NAMES]
    if unknown or not class_names:
        found = "it needs a class"
        if unknown:
            found = f"{unknown[0]!r} is no class of it{did_you_mean(unknown[0], CLASS_NAMES)}"
        raise DataError(f"the {KIND} cannot be made: {found}; there are {', '.join(CLASS_NAMES)}.")
    return tuple(sorted(set(class_names)))


def _write_lists(folder: Path, clips: list[KineticsClip], classes: tuple[str, ...]) -> list[str]:
    """Write the lists and the classes; return their names."""
    texts = {CLASSES_PATH: [*classes]}
    for split in SPLITS:
        own = [clip for clip in clips if clip.split == split]
        texts[list_path(split)] = [f"{c.path} {classes.index(c.class_name)}" for c in own]
    for name, lines in texts.items():
        with atomic_write(folder / name, "w") as file:
            file.write("\n".join(lines) + "\n")
    return list(texts)


def _counts(clips: list[KineticsClip]) -> dict[str, Any]:
    return {
        split: {
            "clips": len(own),
            "seconds": round(sum(clip.seconds for clip in own), 3),
            "classes": dict(sorted(Counter(clip.class_name for clip in own).items())),
        }
        for split in SPLITS
        for own in [[clip for clip in clips if clip.split == split]]
    }


def _summary(made: MadeFolder, manifest: Mapping[str, Any]) -> KineticsMiniSummary:
    counts = manifest["counts"]
    return KineticsMiniSummary(
        output_dir=made.folder,
        seconds=made.seconds,
        num_bytes=made.num_bytes(manifest),
        class_names=tuple(manifest["settings"]["class_names"]),
        num_clips={split: counts[split]["clips"] for split in SPLITS},
        num_seconds={split: counts[split]["seconds"] for split in SPLITS},
    )
