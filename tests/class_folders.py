"""A tiny data set of whole clips with one label: folders of classes, and its settings."""

from pathlib import Path

from video_files import make_video

CLASSES = ("jump", "run", "walk")
# As small as X3D gets: the tests look at what a run does, not at what the model learns.
SMALL = (
    "dataset.form=class_folders",
    "dataset.classes=null",
    "dataset.num_classes=3",
    "dataset.train.list=train",
    "dataset.val.list=val",
    "model.depth_factor=0.2",
    "clip.num_frames=2",
    "clip.train_short_side=[32, 40]",
    "clip.train_crop=32",
    "train.batch_size=4",
    "train.epochs=2",
    "train.evaluate_every_epochs=2",
    "train.checkpoint_every_steps=2",
    "train.num_workers=0",
    "evaluation.num_workers=0",
    "device=cpu",
    "num_threads=1",
)


def make_class_folders(root: Path, *, train_per_class: int = 3, val_per_class: int = 1) -> Path:
    """Write `root/{train,val}/CLASS/N.mp4`, clips of 0.3 to 0.5 s, and return `root`."""
    for split, number in (("train", train_per_class), ("val", val_per_class)):
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(number):
                make_video(folder / f"{index}.mp4", num_frames=9 + 3 * label, gop_frames=3)
    return root


def small_settings(root: Path, *further: str) -> list[str]:
    """Return overrides of `x3d_xs_kinetics_mini.yaml` that train on `root` in a second."""
    return [*SMALL, f"dataset.root={root}", *further]
