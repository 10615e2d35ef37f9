"""Every setting of training and testing on Kinetics, or on any clips with one label each.

What both kinds of training share (`RunConfig`, `TrainConfig`, the building types) is in
`schema.py`. Paths of a data set are relative to `KineticsDatasetConfig.root`, and `root` to the
repository.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from x3d_det.config.schema import (
    Count,
    FilePath,
    Names,
    PixelRange,
    Positive,
    Probability,
    RgbTriple,
    RunConfig,
    Settings,
    TrainConfig,
    WholeNumber,
    X3DName,
)

VideoListForm = Literal["auto", "pyslowfast", "mmaction2", "kinetics_csv", "class_folders"]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class VideoSplitConfig(Settings):
    """The videos of one split and their labels, relative to the data set's root."""

    list: FilePath
    """List of videos with labels; for `form: class_folders` the folder of class folders."""
    videos: FilePath | None = None
    """Folder that the list's paths start from; null: `dataset.videos`."""


class KineticsDatasetConfig(Settings):
    """Whole clips with one label each; `configs/datasets/kinetics*.yaml`, `docs/kinetics.md`."""

    name: str
    """Name for logs and reports."""
    root: FilePath
    """Folder of everything below; relative paths start at the repository."""
    make_command: str | None = None
    """Command that generates the data set, where there is one; named when files are missing."""
    form: VideoListForm = "auto"
    """How the lists are written: PySlowFast's and MMAction2's `path label`, the official Kinetics
    csv, or a tree of class folders; `auto` looks."""
    videos: FilePath = Path("videos")
    """Folder that the lists' paths start from, where a split names no other."""
    video_extensions: Names = ("mp4", "mkv", "webm", "avi", "mov")
    """Endings that a video file may have, where a list does not say."""
    skip_missing: bool = False
    """Leave out listed videos that are not there, and say how many, as of Kinetics nobody has them
    all; false: they are an error."""
    classes: FilePath | None = None
    """File of the class names, in the order of the labels: txt, csv or json. Null: the names of
    the training list or folders, in alphabetical order."""
    num_classes: Count
    """Classes that the model tells apart; must agree with the names."""
    train: VideoSplitConfig
    """Videos to train on."""
    val: VideoSplitConfig
    """Videos to evaluate on."""


class KineticsModelConfig(Settings):
    """Which X3D."""

    name: X3DName
    """Member of the family."""
    dropout: Share = 0.5
    """Chance of dropping a feature before the class layer while training."""
    drop_path: Share = 0.0
    """Chance, in the last stage, that a residual branch is left out for a clip while training;
    earlier stages have less."""
    width_factor: Positive | None = None
    """gamma_w in the paper's notation; null takes the member's (M: 1, XL: 1.45)."""
    depth_factor: Positive | None = None
    """gamma_d; null takes the member's (XS, S, M: 2.2, L, XL: 5)."""
    bottleneck_factor: Positive | None = None
    """gamma_b; null takes the member's (2.25)."""
    zero_init_residual: bool = True
    """Every block begins as its shortcut, as published; false learns faster in short trainings."""


class KineticsClipConfig(Settings):
    """Which frames make a training clip, and how they are changed."""

    num_frames: Count
    """T, frames a clip."""
    sampling_stride: Count
    """Frames of `fps` between two frames of the clip."""
    fps: Positive = 30.0
    """Rate in which `sampling_stride` counts; videos of any rate are read by time."""
    spacing: Literal["stride", "span"] = "stride"
    """`stride`: frames lie a stride apart, as in AVA's clips; `span`: they are spread over all of
    `num_frames` strides, as PySlowFast and PyTorchVideo do it for Kinetics."""
    train_short_side: PixelRange
    """Short side in training: drawn evenly from this range, in pixels."""
    train_crop: Count
    """Side of the square training crop in pixels."""
    flip_probability: Probability = 0.5
    """Chance of a horizontal flip in training."""
    color_jitter: Share = 0.0
    """Strength of brightness, contrast and saturation changes in training; 0.4 is usual."""
    rand_augment: Annotated[int, Field(ge=0, le=30)] | None = None
    """Magnitude of RandAugment, the same for all frames of a clip; null: none, as published."""
    mean: RgbTriple = (0.45, 0.45, 0.45)
    """Subtracted from RGB in [0, 1]."""
    std: RgbTriple = (0.225, 0.225, 0.225)
    """Divides what is left."""


class MultigridConfig(Settings):
    """Training on grids of changing batch, frames and size; arXiv:1912.00998."""

    short_cycle: bool = True
    """The crop changes from batch to batch: 1/2, 1/sqrt(2) and all of its side."""
    long_cycle: bool = True
    """Frames and crop change with the epochs, anew after each fall of the learning rate; where it
    falls smoothly, where PySlowFast's stepwise recipe has its falls."""
    epoch_factor: Positive = 1.5
    """Epochs are multiplied by this, as batches of smaller clips are larger."""
    bn_base_size: Count = 8
    """Fewest clips that share BatchNorm statistics where a process's batch has more."""


class KineticsTrainConfig(TrainConfig):
    """Optimisation, and what is kept of it."""

    crops_per_video: Count = 1
    """Clips out of one decode of a video, each with its own crop, flip and colour; `batch_size`
    counts clips, so a step sees `batch_size / crops_per_video` videos."""
    label_smoothing: Share = 0.0
    """Share of the target that is spread evenly over the classes."""
    mixup_alpha: Annotated[float, Field(ge=0.0)] = 0.0
    """Parameter of mixup's Beta distribution (arXiv:1710.09412); 0 mixes nothing."""
    max_broken_videos: WholeNumber = 50
    """Different unreadable training videos that a process may replace by others before the run
    ends; evaluation replaces none."""
    multigrid: MultigridConfig | None = None
    """Grids of changing batch, frames and size; null: none, as published for X3D."""


class KineticsEvaluationConfig(Settings):
    """How a model is scored: over which views of each video."""

    num_clips: Count = 1
    """Clips of a video whose probabilities are averaged; published are 1 and 10."""
    num_crops: Literal[1, 3] = 1
    """Crops of a clip: its centre, or three squares that cover the long side."""
    clip_rule: Literal["middle", "pyslowfast"] = "middle"
    """Where the clips lie: evenly from the first legal place to the last (one clip: the middle), or
    as PySlowFast has them (the last place is never used; one clip: the first)."""
    short_side: Count | None = None
    """Short side of the centre crop's frames in pixels; null: the smallest of training."""
    crop: Count | None = None
    """Side of the centre crop in pixels; null: `clip.train_crop`."""
    test_crop: Count | None = None
    """Short side and side of the three squares in pixels; null: the smallest short side of
    training."""
    batch_size: Count = 4
    """About so many clips are decoded and scored together, whole videos with all their views."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the network."""
    num_workers: WholeNumber = 2
    """Processes that decode clips."""


class ExpectedTop1(Settings):
    """The accuracy that a config is known to give; `evaluate_kinetics` compares."""

    top1: Probability
    """Top-1 accuracy in [0, 1], over the views that `evaluation` asks for."""
    tolerance: Positive
    """Largest difference in either direction."""


class KineticsConfig(RunConfig):
    """One experiment on clips with one label: model, data, training and evaluation."""

    dataset: KineticsDatasetConfig
    """In YAML a name from `configs/datasets/`, or a mapping that may name one as `base:`."""
    model: KineticsModelConfig
    """The network."""
    clip: KineticsClipConfig
    """The frames."""
    train: KineticsTrainConfig
    """The training."""
    evaluation: KineticsEvaluationConfig = KineticsEvaluationConfig()
    """The scoring."""
    expected: ExpectedTop1 | None = None
    """Known result of this config, if there is one."""

    @property
    def evaluation_sizes_px(self) -> tuple[int, int]:
        """Short side of the frames and side of the square crops in evaluation.

        Source: PySlowFast's test crops; three crops are as high as the frame.
        """
        evaluation, smallest_px = self.evaluation, self.clip.train_short_side[0]
        if evaluation.num_crops == 3:
            side_px = evaluation.test_crop or smallest_px
            return side_px, side_px
        return evaluation.short_side or smallest_px, evaluation.crop or self.clip.train_crop
