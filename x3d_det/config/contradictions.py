"""Settings that are each allowed and contradict each other.

Each function returns (key path of the setting, what is wrong); `load.py` adds the place.
"""

from x3d_det.config.expansion import ExpansionConfig
from x3d_det.config.kinetics import KineticsClipConfig, KineticsConfig
from x3d_det.config.schema import FRACTIONAL_RULES, ClipConfig, ExperimentConfig, TrainConfig

KeyPath = tuple[str, ...]
Found = list[tuple[KeyPath, str]]


def contradictions(config: ExperimentConfig | KineticsConfig | ExpansionConfig) -> Found:
    """Return what the settings of an experiment or a search say against each other."""
    if isinstance(config, ExpansionConfig):
        return _search_checks(config)
    found = _clip_checks(config.clip) + _train_checks(config.train)
    if isinstance(config, KineticsConfig):
        return found + _crop_checks(config) + _kinetics_train_checks(config)
    return found + _box_checks(config) + _view_checks(config) + _dataset_checks(config)


def _clip_checks(clip: ClipConfig | KineticsClipConfig) -> Found:
    found: Found = []
    low, high = clip.train_short_side
    if low > high:
        text = f"clip.train_short_side = [{low}, {high}] is upside down; write the smaller first."
        found.append((("clip", "train_short_side"), text))
    if clip.train_crop > low:
        text = (
            f"clip.train_crop = {clip.train_crop} is larger than the smallest short side "
            f"{low} of clip.train_short_side; a crop must fit."
        )
        found.append((("clip", "train_crop"), text))
    if min(clip.std) <= 0:
        found.append((("clip", "std"), f"clip.std = {list(clip.std)} must be above 0."))
    return found


def _train_checks(train: TrainConfig) -> Found:
    found: Found = []
    if train.schedule == "steps" and (
        not train.step_epochs or len(train.step_epochs) != len(train.step_factors)
    ):
        text = (
            f"train.schedule = steps needs train.step_epochs and as many train.step_factors; "
            f"found {len(train.step_epochs)} and {len(train.step_factors)}."
        )
        found.append((("train", "schedule"), text))
    if train.batch_size % train.accumulate_steps:
        text = (
            f"train.accumulate_steps = {train.accumulate_steps} does not divide "
            f"train.batch_size = {train.batch_size}."
        )
        found.append((("train", "accumulate_steps"), text))
    return found


def _box_checks(config: ExperimentConfig) -> Found:
    boxes, dataset = config.boxes, config.dataset
    found: Found = []
    for use, split, files in (
        (boxes.train == "annotated_and_detected", "train", dataset.train),
        (boxes.evaluate == "detected", "val", dataset.val),
    ):
        if use and files.person_boxes is None:
            text = (
                f"boxes ask for detected boxes, but dataset.{split}.person_boxes is not set; "
                f"set it, or boxes.{'train' if split == 'train' else 'evaluate'}=annotated."
            )
            found.append((("dataset", split), text))
    return found


def _view_checks(config: ExperimentConfig) -> Found:
    """Return what the test-time views say against themselves, the model or the clips."""
    evaluation, smallest = config.evaluation, config.model.feature_stride
    found: Found = []
    sides = evaluation.short_sides
    if sides is not None:
        name, text = f"evaluation.short_sides = {list(sides)}", ""
        if not sides:
            text = f"{name} leaves no view; name sizes, or null for clip.eval_short_side."
        elif len(set(sides)) < len(sides):
            text = f"{name} names a size twice, which would count double; name each once."
        elif min(sides) < smallest:
            text = (
                f"{name}: {min(sides)} px is less than one feature cell of the model "
                f"(model.feature_stride = {smallest}); use sizes from {smallest} on."
            )
        if text:
            found.append((("evaluation", "short_sides"), text))
    clips = evaluation.clips_per_keyframe
    if clips % 2 == 0:
        text = (
            f"evaluation.clips_per_keyframe = {clips} is even, so no clip would stand round the "
            f"keyframe itself; use {clips - 1} or {clips + 1}."
        )
        found.append((("evaluation", "clips_per_keyframe"), text))
    elif clips > 1 and config.clip.still_keyframe:
        text = (
            f"evaluation.clips_per_keyframe = {clips} shifts clips in time, and "
            "clip.still_keyframe = true shows the keyframe alone; set one of them back."
        )
        found.append((("evaluation", "clips_per_keyframe"), text))
    return found


def _dataset_checks(config: ExperimentConfig) -> Found:
    """Return what a data set says against itself, or against how it is used."""
    dataset, rules = config.dataset, config.evaluation.rules
    found: Found = []
    if dataset.timestamps == "frames" and dataset.fps is None:
        text = (
            "dataset.timestamps = frames needs dataset.fps, the frames a second of the videos, "
            "to turn frame numbers into seconds."
        )
        found.append((("dataset", "timestamps"), text))
    if dataset.timestamps == "seconds":
        for name in ("fps", "first_frame"):
            if name in dataset.model_fields_set and getattr(dataset, name):
                text = (
                    f"dataset.{name} = {getattr(dataset, name):g} is for dataset.timestamps = "
                    "frames; videos are read by time, whatever their rate: remove it, or set that."
                )
                found.append((("dataset", name), text))
    if dataset.classes == ():
        text = "dataset.classes = [] leaves nothing to learn; name classes, or remove it for all."
        found.append((("dataset", "classes"), text))
    interval = dataset.keyframe_interval_seconds
    if not interval.is_integer() and rules != FRACTIONAL_RULES:
        text = (
            f"evaluation.rules = {rules} knows whole seconds only, and "
            f"dataset.keyframe_interval_seconds = {interval:g}; use evaluation.rules = "
            f"{FRACTIONAL_RULES}, which is taken by itself where none is written."
        )
        found.append((("evaluation", "rules"), text))
    if dataset.labels == "single" and config.boxes.include_negatives:
        text = (
            "boxes.include_negatives = true trains on boxes without an action, which "
            "dataset.labels = single has no place for; set one of them back, or add a class for "
            "such persons."
        )
        found.append((("boxes", "include_negatives"), text))
    return found


def _crop_checks(config: KineticsConfig) -> Found:
    """Return what the views of evaluation say against each other."""
    evaluation = config.evaluation
    found: Found = []
    short_side, crop = config.evaluation_sizes_px
    if crop > short_side:
        text = (
            f"evaluation.crop = {crop} is larger than the short side {short_side} of the frames "
            "that it is cut from; set evaluation.short_side."
        )
        found.append((("evaluation", "crop"), text))
    unused = ("short_side", "crop") if evaluation.num_crops == 3 else ("test_crop",)
    for name in unused:
        if getattr(evaluation, name) is not None:
            text = (
                f"evaluation.{name} = {getattr(evaluation, name)} is not used with "
                f"evaluation.num_crops = {evaluation.num_crops}; remove it, or change that."
            )
            found.append((("evaluation", name), text))
    return found


def _kinetics_train_checks(config: KineticsConfig) -> Found:
    train = config.train
    found: Found = []
    if train.batch_size % (train.accumulate_steps * train.crops_per_video):
        text = (
            f"train.crops_per_video = {train.crops_per_video} times train.accumulate_steps = "
            f"{train.accumulate_steps} does not divide train.batch_size = {train.batch_size}."
        )
        found.append((("train", "crops_per_video"), text))
    grids = train.multigrid
    if grids is not None and not (grids.long_cycle or grids.short_cycle):
        text = "train.multigrid has neither cycle, so it changes nothing; set one, or null."
        found.append((("train", "multigrid"), text))
    return found


def _search_checks(config: ExpansionConfig) -> Found:
    """Return what a search says against itself; axes and budget are the search's to check."""
    found: Found = []
    for name, values in (("axes", config.axes), ("seeds", config.seeds)):
        if not values or len(set(values)) < len(values):
            text = f"{name} = {list(values)}; name one or more, each once."
            found.append(((name,), text))
    halving = config.halving
    if halving is not None and (
        not halving.rungs or list(halving.rungs) != sorted(set(halving.rungs))
    ):
        text = f"halving.rungs = {list(halving.rungs)}; name ascending epochs, each once."
        found.append((("halving", "rungs"), text))
    return found
