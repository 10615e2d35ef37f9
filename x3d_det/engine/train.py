"""The training loop, for any model, loss and batches.

Everything in a run is a function of its settings, the seed and the step number.
So a checkpoint after step n, loaded by `resume`, ends in the same weights, bit for
bit (on one machine's CPU, with the same number of threads), as a run never stopped.

Epochs are counted from 1 here; steps are counted by how many are done.
"""

import contextlib
import copy
import itertools
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from x3d_det.engine.distributed import World, derived_seed, differences
from x3d_det.engine.ema import WeightAverage
from x3d_det.engine.exporter import Evaluate, Exporter
from x3d_det.engine.optim import Schedule
from x3d_det.engine.options import Counters, TrainOptions, TrainResult
from x3d_det.engine.precise_bn import recompute_batch_norms
from x3d_det.engine.progress import Meter
from x3d_det.engine.recorder import Recorder
from x3d_det.engine.run_folder import RunFolder, require_same_settings
from x3d_det.engine.signals import StopNow, StopSignals
from x3d_det.engine.step import BatchNote, ComputeLoss, StepRunner
from x3d_det.errors import TrainingDiverged, X3DDetError
from x3d_det.io.weights import load_weights

Batch = TypeVar("Batch")
BeforeStep = Callable[[nn.Module, int], None]
"""(model, steps done before) -> sets what changes from step to step, say BatchNorm's splits."""
StatisticsBatches = Callable[[nn.Module, int], Iterator[Batch]]
"""(copy of the model, steps done) -> batches of precise-BN; the copy may be set for them."""

_logger = logging.getLogger(__name__)


def train(
    *,
    model: nn.Module,
    compute_loss: ComputeLoss[Batch],
    batches: Callable[[int], Iterator[Batch]],
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    output_dir: str | os.PathLike[str],
    options: TrainOptions,
    world: World | None = None,
    evaluate: Evaluate | None = None,
    note_batch: Callable[[Batch], BatchNote] | None = None,
    before_step: BeforeStep | None = None,
    statistics_batches: StatisticsBatches[Batch] | None = None,
    run_metadata: Mapping[str, Any] | None = None,
    export_metadata: Mapping[str, str] | None = None,
) -> TrainResult:
    """Train `model` in place to `options.num_steps` and leave the run in `output_dir`.

    Written there: `step_*.pt` (to resume from), `model.safetensors` (weights for
    use, from the last evaluation), `model_best.safetensors` (where a best metric is
    named), `journal.jsonl` (a line a step), `epochs.jsonl`, `tensorboard/`.

    Args:
        model: on `world.device`.
        compute_loss: (model, batch) -> (scalar loss, numbers for the journal). A
            batch without anything to learn from may return a constant 0.
        batches: start step -> this rank's micro-batches from that step on,
            `options.accumulate_steps` a step; a function of the step alone. Where
            precise-BN is on it is called anew at each evaluation.
        optimizer: over the model's parameters, fresh.
        schedule: steps done -> learning rate; see `engine.optim`.
        output_dir: is made where it does not stand.
        options: see there.
        world: from `start_world`; None is this process alone on the CPU.
        evaluate: gets a copy of the weights for use (averaged, precise-BN) in eval
            mode; rank 0's metrics count.
        note_batch: names a batch's samples and counts its clips and decoded frames.
        before_step: called before each step's first batch, and before each batch of
            precise-BN with the step that had it. What it sets must be a function of
            the step alone, as nothing of it is saved; weights are not its business.
        statistics_batches: this rank's batches for precise-BN, where they are not to be
            those just trained on; a function of the step alone.
        run_metadata: nested dict of plain values that the run depends on (config,
            class list hash); a resume under another one is refused.
        export_metadata: goes into `model.safetensors`.

    Raises:
        X3DDetError: the folder is in use or holds another run; all checkpoints are
            damaged; the disk is full; `max_bad_steps` steps in a row were not finite.
    """
    run = _Run(
        model=model,
        compute_loss=compute_loss,
        batches=batches,
        optimizer=optimizer,
        schedule=schedule,
        output_dir=Path(output_dir),
        options=options,
        world=world or World(),
        evaluate=evaluate,
        note_batch=note_batch,
        before_step=before_step,
        statistics_batches=statistics_batches,
        run_metadata=dict(run_metadata or {}),
        export_metadata=dict(export_metadata or {}),
    )
    with StopSignals() as signals:
        return run.go(signals)


@dataclass(kw_only=True)
class _Run(Generic[Batch]):
    """One call of `train`: the objects it was given and where it stands."""

    model: nn.Module
    compute_loss: ComputeLoss[Batch]
    batches: Callable[[int], Iterator[Batch]]
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    output_dir: Path
    options: TrainOptions
    world: World
    evaluate: Evaluate | None
    note_batch: Callable[[Batch], BatchNote] | None
    before_step: BeforeStep | None
    statistics_batches: StatisticsBatches[Batch] | None
    run_metadata: dict[str, Any]
    export_metadata: dict[str, str]

    def __post_init__(self) -> None:
        options = self.options
        self.counters = Counters()
        decay = options.ema_decay
        self.average = None if decay is None else WeightAverage(self.model, decay=decay)
        self.runner = StepRunner(
            self.model,
            self.optimizer,
            self.compute_loss,
            world=self.world,
            seed=options.seed,
            accumulate_steps=options.accumulate_steps,
            clip_gradient_norm=options.clip_gradient_norm,
            autocast_dtype=options.autocast_dtype,
            freeze_bn=options.freeze_bn,
            average=self.average,
            note_batch=self.note_batch,
        )
        self.folder: RunFolder | None = None  # rank 0 alone has one
        self.iterator: Iterator[Batch] | None = None
        self.saved = True

    def go(self, signals: StopSignals) -> TrainResult:
        """Begin or resume, train to the end or to a signal, and leave the folder in order."""
        with contextlib.ExitStack() as closing:
            self._begin()
            if self.folder is not None:
                closing.callback(self.folder.close)
            self.recorder = Recorder(self.folder, self.options, first_step=self.counters.step)
            closing.callback(self.recorder.close)
            self.exporter = Exporter(
                output_dir=self.output_dir,
                world=self.world,
                recorder=self.recorder,
                evaluate=self.evaluate,
                best_metric=self.options.best_metric,
                metadata=self.export_metadata,
            )
            with contextlib.suppress(StopNow):
                self._loop(signals)
            return self._result(signals)

    def _loop(self, signals: StopSignals) -> None:
        if self._at_epoch_end():  # resumed between a checkpoint and its evaluation
            self._finish_epoch(signals)
        while self.counters.step < self.options.num_steps and not self._at_stop_epoch():
            if self._step(signals):
                if not self.saved:
                    self._save()
                return
            if self._at_epoch_end():
                self._finish_epoch(signals)
            elif self.counters.step % self.options.checkpoint_every_steps == 0:
                self._save()

    def _begin(self) -> None:
        """Check that the ranks agree, open the folder, and load what is to be gone on with."""
        settings = {"run": self.run_metadata, "options": asdict(self.options)}
        self.world.require_same("the configuration", settings)
        shapes = {name: list(value.shape) for name, value in self.model.state_dict().items()}
        self.world.require_same("the model", shapes)
        state = self.world.on_main(self._open_folder)
        if state is not None:
            self._restore(state)
        elif self.world.world_size > 1:
            own = {name: value.cpu() for name, value in self.model.state_dict().items()}
            self.model.load_state_dict(self.world.broadcast_object(own))
            if self.average is not None:
                self.average.restart(self.model)

    def _open_folder(self) -> dict[str, Any] | None:
        self.folder = RunFolder(self.output_dir, resume=self.options.resume)
        try:
            state = self.folder.load() if self.options.resume else None
            if state is not None:
                self._require_same_settings(state)
        except X3DDetError:
            self.folder.close()
            raise
        before = {} if state is None else state["environment"]
        for line in differences(before, self._environment()) if before else []:
            _logger.warning("resuming elsewhere: %s; the last bits may differ.", line)
        return state

    def _require_same_settings(self, state: dict[str, Any]) -> None:
        """Compare what the caller describes first, as its keys are those that a user knows."""
        changeable = self.options.changeable
        present = _plain(self.run_metadata)
        require_same_settings(state["run_metadata"], present, changeable=changeable)
        options = {"options": self.options.deciding()}
        require_same_settings({"options": state["options"]}, options, changeable=changeable)

    def _restore(self, state: dict[str, Any]) -> None:
        load_weights(self.model, state["model"], source=f"the checkpoint of step {state['step']}")
        self.optimizer.load_state_dict(state["optimizer"])
        if (self.average is None) != (state["ema"] is None):
            raise X3DDetError(
                f"--resume: ema_decay is {self.options.ema_decay}, but the checkpoint has "
                f"{'no' if state['ema'] is None else 'an'} average; set ema_decay back."
            )
        if self.average is not None:
            self.average.load_state_dict(state["ema"])
        self.counters = Counters.from_state(state)

    def _step(self, signals: StopSignals) -> bool:
        """Do and record one step; return whether the run is to stop here."""
        counters = self.counters
        if self.iterator is None:
            self.iterator = self.batches(counters.step)
        learning_rate = self.schedule(counters.step)
        if self.before_step is not None:
            self.before_step(self.model, counters.step)
        try:
            result = self.runner.run(
                counters.step,
                self.iterator,
                learning_rate=learning_rate,
                stop_requested=lambda: signals.requested,
            )
        except Exception as error:
            if signals.requested and self.world.world_size == 1:
                # Ctrl-C reaches data workers as well, so the batch may have broken off.
                _logger.warning("step %d is dropped: %s", counters.step + 1, error)
                return True
            raise
        counters.step += 1
        counters.meter.add(result)
        counters.num_skipped += bool(result.skipped)
        counters.num_skipped_in_row = counters.num_skipped_in_row + 1 if result.skipped else 0
        self.saved = False
        self.recorder.step(counters, result, learning_rate)
        if counters.num_skipped_in_row >= self.options.max_bad_steps:
            self._give_up(result.skipped)
        alone = self.world.world_size == 1  # then nobody has to be asked
        return result.stop_requested or (alone and signals.requested)

    def _give_up(self, reason: str) -> None:
        self.counters.num_skipped_in_row = 0  # a resume has the whole patience again
        path = self._save()
        raise TrainingDiverged(
            f"{self.options.max_bad_steps} steps in a row were not finite, the last was "
            f"{self.counters.step}: {reason}. The weights before them are saved in {path}. "
            "Lower the learning rate or look at the samples named."
        )

    def _finish_epoch(self, signals: StopSignals) -> None:
        """Write the epoch's line; evaluate and export where it is due."""
        counters, options = self.counters, self.options
        epoch = counters.num_epochs_finished + 1
        summary = counters.meter.summary()
        metrics: dict[str, float] = {}
        self.recorder.epoch_trained(epoch, summary)
        due = (
            counters.step == options.num_steps
            or epoch == options.stop_after_epoch
            or epoch % options.evaluate_every_epochs == 0
        )
        if due:
            self._save()  # an evaluation may be long; nothing is lost if it is killed
            signals.leave_at_once(True)
            metrics = self.exporter.export(self._model_for_use(), epoch, counters)
            signals.leave_at_once(False)
        entry = {"epoch": epoch, "step": counters.step, **summary, "metrics": metrics}
        counters.history.append(entry)
        counters.num_epochs_finished = epoch
        counters.meter = Meter()
        self.recorder.epoch_finished(counters.step, entry, metrics)
        self.saved = False
        if due or counters.step % options.checkpoint_every_steps == 0:
            self._save()

    def _model_for_use(self) -> nn.Module:
        """Return a copy of the model in eval mode, averaged and with precise statistics."""
        model = copy.deepcopy(self.model)
        if self.average is not None:
            model.load_state_dict(self.average.weights)
        step, num_batches = self.counters.step, self.options.precise_bn_batches
        if num_batches:
            batches = self.statistics_batches or self._batches_trained_on
            self.iterator = None  # one loader may serve both, so it is begun anew
            torch.manual_seed(derived_seed(self.options.seed, "bn", step, self.world.rank))
            recompute_batch_norms(
                model,
                itertools.islice(batches(model, step), num_batches),
                self.runner.forward,
                sum_over_ranks=self.world.sum_over_ranks,
            )
        return model.eval()

    def _batches_trained_on(self, model: nn.Module, step: int) -> Iterator[Batch]:
        """Yield the last batches before `step`, which exist at the end of the run too.

        `model` is set for each as it was in training.
        """
        options = self.options
        first_step = max(0, step - -(-options.precise_bn_batches // options.accumulate_steps))
        for number, batch in enumerate(self.batches(first_step)):
            if self.before_step is not None:
                self.before_step(model, first_step + number // options.accumulate_steps)
            yield batch

    def _save(self) -> Path:
        def save() -> Path:
            assert self.folder is not None
            return self.folder.save(
                self._state(),
                keep_last=self.options.keep_checkpoints,
                best_step=self.counters.best_step,
            )

        path = self.world.on_main(save)
        self.saved = True
        return path

    def _state(self) -> dict[str, Any]:
        return {
            **asdict(self.counters),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": None if self.average is None else self.average.state_dict(),
            "run_metadata": _plain(self.run_metadata),
            "options": self.options.deciding(),
            "export_metadata": self.export_metadata,
            "environment": self._environment(),
        }

    def _environment(self) -> dict[str, Any]:
        return {
            "torch": str(torch.__version__),
            "world_size": self.world.world_size,
            "num_threads": torch.get_num_threads(),
            "device": self.world.device.type,
        }

    def _at_epoch_end(self) -> bool:
        """Return whether an epoch has been trained and not yet been finished."""
        step = self.counters.step
        num_trained = self.options.epoch_of(step)
        return self.options.ends_epoch(step) and self.counters.num_epochs_finished < num_trained

    def _at_stop_epoch(self) -> bool:
        last = self.options.stop_after_epoch
        return last is not None and self.counters.num_epochs_finished >= last

    def _result(self, signals: StopSignals) -> TrainResult:
        finished = self.counters.step == self.options.num_steps and not self._at_epoch_end()
        patterns = ("step_*.pt", "model*.safetensors", "*.jsonl", "tensorboard")
        files = [path for pattern in patterns for path in sorted(self.output_dir.glob(pattern))]
        return TrainResult(
            step=self.counters.step,
            finished=finished,
            signal_number=None if finished else signals.signal_number,
            history=self.counters.history,
            num_skipped=self.counters.num_skipped,
            files=files if self.world.is_main else [],
        )


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata as JSON knows it, so that a saved one compares equal to a fresh one."""
    plain: dict[str, Any] = json.loads(json.dumps(metadata, default=str))
    return plain
