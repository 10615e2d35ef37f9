"""Every setting of a search for an own X3D: what is trained, under which cost, and by whom.

What a candidate is trained on and how is an experiment of its own, named by its file.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from x3d_det.config.schema import (
    Count,
    Counts,
    Names,
    NotNegative,
    Positive,
    Settings,
    WholeNumber,
    WholeNumbers,
)

StepFactor = Annotated[float, Field(gt=1.0)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class SearchedExperimentConfig(Settings):
    """The experiment that candidates are trained by; network and clips are the search's."""

    kind: Literal["kinetics", "ava"]
    """`kinetics`: top-1 on the validation videos, `ava`: frame-mAP on the validation keyframes."""
    config: str
    """Its YAML file: a path, or the name of a file in `configs/`. Short sides of its clips grow
    with the crop, everything else stays."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What differs from that file; stands in the configs that the search writes, too."""
    candidate_settings: dict[str, Any] = Field(default_factory=dict)
    """What differs further while searching alone, say fewer `train.epochs`."""


class StartConfig(Settings):
    """Factors of the first model; the defaults are X2D."""

    num_frames: Count = 1
    """T, frames a clip."""
    sampling_stride: Count = 1
    """Frames of `clip.fps` between two frames of a clip; without meaning for a single frame."""
    crop_px: Annotated[int, Field(ge=16)] = 112
    """Short side of the clips in pixels."""
    depth: Positive = 1.0
    """gamma_d."""
    width: Positive = 1.0
    """gamma_w in the paper's notation."""
    bottleneck: Positive = 1.0
    """gamma_b."""


class CostConfig(Settings):
    """What the budget limits."""

    name: Literal["multiply_adds", "parameters", "activations", "latency"] = "multiply_adds"
    """Counts of the classifier on one clip, or the measured seconds of one clip on a device."""
    aspect_ratio: Positive = 1.0
    """Width over height of the clips that are counted or measured; the crop is the short side.
    Kinetics is trained on squares, AVA's films are about 1.78."""
    device: Literal["cpu", "cuda"] = "cpu"
    """For `latency`: what it is measured on, by the process that searches."""
    num_threads: Count = 1
    """For `latency` on a CPU: threads of the network."""
    seconds: Positive = 1.0
    """For `latency`: how long each network is measured."""


class LimitsConfig(Settings):
    """How far the factors may grow."""

    longest_seconds: Positive | None = None
    """Longest duration of a clip; null: the median length of the validation videos (of 32 of
    them)."""
    one_frame_seconds: Positive = 1.0
    """Duration that a single frame stands for: X-Fast spreads the frames over it."""
    largest_crop_px: Count | None = None
    """Largest crop; null: the median short side of those videos."""
    largest_depth: Positive = 20.0
    """Largest gamma_d."""
    largest_width: Positive = 20.0
    """Largest gamma_w."""
    largest_bottleneck: Positive = 20.0
    """Largest gamma_b."""


class HalvingConfig(Settings):
    """Successive halving: the worse candidates of a step are stopped before their last epoch."""

    rungs: Counts
    """Epochs after which candidates are compared, ascending, before the last epoch."""
    keep: Share = 0.5
    """Share that goes on from each, rounded up."""
    check_winner: bool = False
    """Train the stopped ones to their end after the choice and report whether one of them would
    have won; changes no choice, and costs what halving saves."""


class RunnerConfig(Settings):
    """Who trains the candidates of a step; the results are the same."""

    kind: Literal["processes", "slurm", "ray"] = "processes"
    """`processes` of this machine, jobs of a Slurm array (submitit) or tasks of Ray."""
    workers: Count = 1
    """`processes`: trainings at a time; several GPUs are dealt out in turn. `slurm`: jobs of an
    array at a time."""
    cpus: Count = 1
    """`slurm`, `ray`: cores of a training, its data workers included."""
    gpus: WholeNumber = 0
    """`slurm`, `ray`: GPUs of a training."""
    memory_gb: Positive = 8.0
    """`slurm`: memory of a training."""
    minutes: Count = 720
    """`slurm`: time limit of a job."""
    partition: str | None = None
    """`slurm`: where jobs go; null: the default one."""
    submitit_cluster: Literal["slurm", "local", "debug"] = "slurm"
    """`slurm`: submitit's own stand-ins run the jobs on this machine."""
    ray_address: str | None = None
    """`ray`: a running cluster, as `auto`; null starts one on this machine."""


class ExpansionConfig(Settings):
    """One search: what is trained, from where, under which cost and up to which budget."""

    experiment: SearchedExperimentConfig
    """Data, recipe and score."""
    start: StartConfig = StartConfig()
    """The first model."""
    budget: Positive
    """In the unit of the cost: multiply-adds, parameters, activations, or seconds."""
    cost: CostConfig = CostConfig()
    """What it limits."""
    step_factor: StepFactor = 2.0
    """How much dearer a step makes a model."""
    axes: Names = ("fast", "temporal", "spatial", "depth", "width", "bottleneck")
    """To choose from; of equal scores at equal cost the one named first wins."""
    limits: LimitsConfig = LimitsConfig()
    """How far they go."""
    seeds: WholeNumbers = (0,)
    """Every candidate is trained once with each; its score is the mean."""
    num_threads: Count = 1
    """CPU threads of each training; fixed, as the last bits of a result depend on it."""
    seconds_limit: NotNegative = 0.0
    """A training that takes longer in one go counts as failed; 0: none does."""
    halving: HalvingConfig | None = None
    """Early stopping of losing candidates; null: none."""
    runner: RunnerConfig = RunnerConfig()
    """Who trains."""
