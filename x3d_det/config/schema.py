"""Every setting: its type, default, unit and allowed range.

The classes are frozen and refuse unknown keys and wrong types; `load.py` turns
what they find into messages with file and line. Paths of a data set are relative
to `DatasetConfig.root`, and `root` to the repository.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

X3DName = Literal["x2d", "xs", "s", "m", "l", "xl"]
RulesName = Literal[
    "pyslowfast", "activitynet2018", "activitynet2019", "activitynet2020", "mmaction2"
]

FRACTIONAL_RULES: RulesName = "activitynet2020"
"""The rule set that knows keyframes at fractions of a second."""


def _text_to_path(value: object) -> object:
    return Path(value) if isinstance(value, str) else value


def _list_to_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


FilePath = Annotated[Path, BeforeValidator(_text_to_path)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
WholeNumber = Annotated[int, Field(ge=0)]
Counts = Annotated[tuple[Count, ...], BeforeValidator(_list_to_tuple)]
WholeNumbers = Annotated[tuple[WholeNumber, ...], BeforeValidator(_list_to_tuple)]
PixelRange = Annotated[tuple[Count, Count], BeforeValidator(_list_to_tuple)]
Floats = Annotated[tuple[float, ...], BeforeValidator(_list_to_tuple)]
RgbTriple = Annotated[tuple[float, float, float], BeforeValidator(_list_to_tuple)]
Names = Annotated[tuple[str, ...], BeforeValidator(_list_to_tuple)]


class Settings(BaseModel):
    """Frozen, strict about types and names; the text under a field documents it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class SplitConfig(Settings):
    """The files of one split, relative to the data set's root."""

    annotations: FilePath
    """AVA csv of the annotated boxes and their actions."""
    person_boxes: FilePath | None = None
    """Predicted boxes: csv (LFB, PySlowFast), pkl (MMAction2) or json (COCO); needed where detected
    boxes are asked for."""
    exclusions: FilePath | None = None
    """Keyframes that the evaluation leaves out: `video,second` rows."""


class FrameFolderConfig(Settings):
    """Frames extracted beforehand, as PySlowFast and MMAction2 keep them."""

    folder: FilePath
    """Folder that holds one folder a video."""
    template: str = "{video_id}_{index:06d}.jpg"
    """File name inside the video's folder (MMAction2: `img_{index:05d}.jpg`)."""
    fps: Positive = 30.0
    """Frames a second at which they were extracted."""
    first_index: WholeNumber = 1
    """Number of the first file; it shows the second `video_start_seconds`."""


class DatasetConfig(Settings):
    """A data set in AVA's form; `configs/datasets/*.yaml`, `docs/custom_dataset.md`."""

    name: str
    """Name for logs and reports."""
    root: FilePath
    """Folder of everything below; relative paths start at the repository."""
    make_command: str | None = None
    """Command that generates the data set, where there is one; named when files are missing."""
    videos: FilePath = Path("videos")
    """Folder of `<video_id>.<extension>`."""
    video_extensions: Names = ("mp4", "mkv", "webm", "avi", "mov")
    """Endings that a video file may have."""
    frames: FrameFolderConfig | None = None
    """Read extracted frames instead of videos."""
    video_start_seconds: float = 900.0
    """Second of the film at which every video file (or frame folder) starts."""
    video_starts: FilePath | None = None
    """`video,second` rows: where single files start; the others start at `video_start_seconds`."""
    timestamps: Literal["seconds", "frames"] = "seconds"
    """What the second column of the csv files counts: seconds of the film, or frames of the file.
    Frames become seconds on reading; detections are written in seconds."""
    fps: Positive | None = None
    """Frames a second of the videos, for `timestamps: frames`."""
    first_frame: Literal[0, 1] = 0
    """Number of a video's first frame, for `timestamps: frames`."""
    keyframe_interval_seconds: Positive = 1.0
    """From one annotated keyframe to the next; what is drawn is joined over this gap."""
    label_map: FilePath
    """The evaluated classes: pbtxt, csv, json or txt."""
    num_classes: Count | None = None
    """Action ids 1 to `num_classes` may occur, and id a is output a - 1 of the model; null: up to
    the highest id of the label map."""
    classes: Annotated[tuple[int | str, ...], BeforeValidator(_list_to_tuple)] | None = None
    """Train and evaluate these classes alone, ids or names: the model has an output for each, in
    the order of the ids. Null: all."""
    labels: Literal["multi", "single"] = "multi"
    """`multi`: any number of actions a person, sigmoids; `single`: exactly one, a softmax."""
    train: SplitConfig
    """Files to train on."""
    val: SplitConfig
    """Files to evaluate on."""


class ModelConfig(Settings):
    """Which X3D, and which classifier on its boxes."""

    name: X3DName
    """Member of the family."""
    head: Literal["fc", "conv5_fc", "conv5_lin5_fc"] = "conv5_lin5_fc"
    """Layers between res5 and the logits; the paper's parameter count fits `conv5_lin5_fc`."""
    feature_stride: Literal[16, 32] = 32
    """Clip pixels a feature cell: 32 as the paper, or 16 with a dilated res5."""
    roi_size: Count = 7
    """Cells along one side of the RoIAlign grid."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    """Chance of dropping a pooled feature while training."""
    width_factor: Positive | None = None
    """gamma_w in the paper's notation; null takes the member's (M: 1, XL: 1.45)."""
    depth_factor: Positive | None = None
    """gamma_d; null takes the member's (XS, S, M: 2.2, L, XL: 5)."""
    bottleneck_factor: Positive | None = None
    """gamma_b; null takes the member's (2.25)."""
    zero_init_residual: bool = True
    """Every block begins as its shortcut, as published; false learns faster in short trainings."""


class ClipConfig(Settings):
    """Which frames make a clip, and how they are scaled and cropped."""

    num_frames: Count
    """T, frames a clip."""
    sampling_stride: Count
    """Frames of `fps` between two frames of the clip."""
    fps: Positive = 30.0
    """Rate in which `sampling_stride` counts; videos of any rate are read by time."""
    train_short_side: PixelRange
    """Short side in training: drawn evenly from this range, in pixels."""
    train_crop: Count
    """Side of the square training crop in pixels."""
    eval_short_side: Count
    """Short side in evaluation, in pixels; the whole frame is seen, uncropped."""
    flip_probability: Probability = 0.5
    """Chance of a horizontal flip in training."""
    color_jitter: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Strength of brightness, contrast and saturation changes in training; 0.4 is usual."""
    mean: RgbTriple = (0.45, 0.45, 0.45)
    """Subtracted from RGB in [0, 1]."""
    std: RgbTriple = (0.225, 0.225, 0.225)
    """Divides what is left."""
    still_keyframe: bool = False
    """A control: every frame of the clip is the keyframe, so no motion is left."""


class BoxesConfig(Settings):
    """Which person boxes the model is trained and evaluated on."""

    train: Literal["annotated", "annotated_and_detected"] = "annotated"
    """`annotated_and_detected` adds detected boxes with the actions of the box they match."""
    evaluate: Literal["detected", "annotated"] = "detected"
    """Boxes that get scores in evaluation."""
    score_threshold: Probability = 0.8
    """Detected boxes with a lower person score are left out."""
    positive_iou: Probability = 0.9
    """Least overlap at which a detected box takes an annotated box's actions."""
    include_negatives: bool = False
    """Train on detected boxes that match nobody, as boxes without any action."""
    min_visible: Probability = 0.25
    """A crop drops a box of which less than this share of the area is left."""


class TrainConfig(Settings):
    """Optimisation, and what is kept of it."""

    batch_size: Count
    """Clips a step, over all processes and accumulated batches together."""
    epochs: Count
    """Passes over the training keyframes."""
    learning_rate: Positive
    """Peak learning rate for `batch_size`."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with Nesterov momentum, or AdamW."""
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """Momentum of SGD."""
    weight_decay: NotNegative = 1e-7
    """Weight decay; never on BatchNorm."""
    schedule: Literal["cosine", "steps"] = "cosine"
    """Half a cosine down to zero, or falls at `step_epochs`."""
    step_epochs: Floats = ()
    """Epochs at which `schedule: steps` falls."""
    step_factors: Floats = ()
    """Learning rate from each of `step_epochs` on, as a share of the peak."""
    warmup_epochs: NotNegative = 0.0
    """Epochs of linear warm-up."""
    warmup_start_factor: Annotated[float, Field(gt=0.0, le=1.0)] = 0.01
    """Share of the learning rate at which the warm-up starts."""
    accumulate_steps: Count = 1
    """Batches whose gradients are added up before a step: less memory, same batch size."""
    clip_gradient_norm: Positive | None = None
    """Largest allowed norm of the gradient."""
    autocast: Literal["none", "bfloat16"] = "none"
    """Mixed precision; bfloat16 helps on GPUs and hurts on CPUs."""
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Evaluate and export a moving average of the weights."""
    precise_bn_batches: WholeNumber = 0
    """Batches from which BatchNorm statistics are recomputed before each evaluation."""
    freeze_bn: bool = False
    """Keep BatchNorm statistics and weights as they came."""
    evaluate_every_epochs: Count = 1
    """Epochs between evaluations; the last epoch is always evaluated."""
    checkpoint_every_steps: Count = 500
    """Steps between checkpoints; every epoch also ends in one."""
    keep_checkpoints: Count = 2
    """Checkpoints kept beside the best one."""
    max_bad_steps: Count = 20
    """Steps in a row with a loss or gradient that is not finite before the run stops."""
    num_workers: WholeNumber = 2
    """Processes that decode clips."""
    log_every: Count = 10
    """Steps between printed lines where there is no terminal."""


class EvaluationConfig(Settings):
    """How a model is scored."""

    rules: RulesName = "pyslowfast"
    """Public rule set; the papers' numbers follow `pyslowfast`."""
    batch_size: Count = 4
    """Clips of one video that are scored together."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the network."""
    short_sides: Counts | None = None
    """Show every clip in each of these sizes (short side, pixels) and average the scores; null:
    `clip.eval_short_side` alone. Every view costs a pass over the data, in training too."""
    flip: bool = False
    """Show every clip mirrored as well, and average the scores."""
    clips_per_keyframe: Count = 1
    """Clips a keyframe whose scores are averaged, an odd number: one round the keyframe, the others
    as far before as after it. The boxes stay those of the keyframe."""
    clip_shift_seconds: Positive = 0.5
    """From one clip of a keyframe to the next, where there are several."""
    weight_by_person_score: bool = False
    """Multiply a box's action scores by its person score; annotated boxes have 1."""
    num_workers: WholeNumber = 2
    """Processes that decode clips."""


class ExpectedResult(Settings):
    """The result that a config is known to give; `evaluate_ava` compares."""

    mean_ap: Probability
    """Frame-mAP in [0, 1]."""
    tolerance: Positive
    """Largest difference in either direction."""


class RunConfig(Settings):
    """What every experiment says first: whence it starts, and on what it runs."""

    seed: WholeNumber = 0
    """Seed of the weights, the order of the data and its augmentation."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""
    num_threads: Count | None = None
    """CPU threads a process; default: the cores, shared among this machine's processes."""
    pretrained: str | None = None
    """Weights that the model starts from: a file of any known layout, or a name of the zoo."""


class ExperimentConfig(RunConfig):
    """One experiment: model, data, training and evaluation."""

    dataset: DatasetConfig
    """In YAML a name from `configs/datasets/`, or a mapping that may name one as `base:`."""
    model: ModelConfig
    """The network."""
    clip: ClipConfig
    """The frames."""
    boxes: BoxesConfig = BoxesConfig()
    """The person boxes."""
    train: TrainConfig
    """The training."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """The scoring."""
    expected: ExpectedResult | None = None
    """Known result of this config, if there is one."""
