"""The output folder of a run: one job at a time, nothing overwritten, resumed exactly."""

import fcntl
import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from x3d_det.engine.distributed import differences
from x3d_det.engine.journal import Journal
from x3d_det.errors import X3DDetError
from x3d_det.io.checkpoint import (
    checkpoint_path,
    checkpoint_steps,
    load_latest_checkpoint,
    remove_old_checkpoints,
    save_checkpoint,
)
from x3d_det.io.files import remove_stale_temporaries

_logger = logging.getLogger(__name__)


class RunFolder:
    """What rank 0 holds open while a run goes on.

    Args:
        path: is made where it does not stand.
        resume: whether a run found there is gone on with.

    Raises:
        X3DDetError: another job is at work there; a run stands there and `resume`
            is False; the folder cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], *, resume: bool) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # append: the holder's name must survive being asked
            self._lock = open(self.path / ".lock", "a+")  # noqa: SIM115 (close())
        except OSError as error:
            raise X3DDetError(
                f"output folder {path} cannot be written: {error.strerror}; choose another."
            ) from error
        self._take_lock()
        remove_stale_temporaries(self.path)
        if not resume and (checkpoint_steps(path) or self._has_steps()):
            self._lock.close()
            raise X3DDetError(
                f"output folder {path} holds a run already; go on with it by --resume, "
                "or give another --output-dir."
            )
        self.steps = Journal(self.path / "journal.jsonl", key="step")
        self.epochs = Journal(self.path / "epochs.jsonl", key="epoch")

    def load(self) -> dict[str, Any] | None:
        """Return the state of the latest whole checkpoint and cut the journals back to it.

        Raises:
            CheckpointError: there are checkpoints and all are damaged.
        """
        found = load_latest_checkpoint(self.path)
        if found is None:
            _logger.warning("%s holds no checkpoint: the run starts from the beginning.", self.path)
        state = found[1] if found else None
        num_steps = state["step"] if state else 0
        num_lines = self.steps.cut_after(num_steps)
        self.epochs.cut_after(state["num_epochs_finished"] if state else 0)
        if num_lines != num_steps:
            _logger.warning(
                "%s has %d lines for %d steps; the run goes on all the same.",
                self.steps.path,
                num_lines,
                num_steps,
            )
        if found:
            _logger.info("resuming after step %d from %s", num_steps, found[0])
        return state

    def save(self, state: Mapping[str, Any], *, keep_last: int, best_step: int | None) -> Path:
        """Write the checkpoint of `state["step"]`, then drop the old ones; return its path."""
        path = checkpoint_path(self.path, state["step"])
        self.steps.flush_to_disk()
        self.epochs.flush_to_disk()
        save_checkpoint(path, state)
        keep_steps = () if best_step is None else (best_step,)
        remove_old_checkpoints(self.path, keep_last=keep_last, keep_steps=keep_steps)
        return path

    def close(self) -> None:
        """Close the journals and let another job in."""
        self.steps.close()
        self.epochs.close()
        self._lock.close()

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise X3DDetError(
                f"another job ({holder}) is writing to {self.path}; wait for it, end it, "
                "or give another --output-dir. After a kill its data workers may take "
                "some seconds to end."
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {os.uname().nodename}\n")
        self._lock.flush()

    def _has_steps(self) -> bool:
        journal = self.path / "journal.jsonl"
        return journal.is_file() and journal.stat().st_size > 0


def require_same_settings(
    saved: Mapping[str, Any], present: Mapping[str, Any], *, changeable: Collection[str]
) -> None:
    """Check that a run goes on under the settings that it began with.

    Args:
        saved: nested dict of the run's checkpoint.
        present: nested dict of this command.
        changeable: dotted keys that may differ; "train" allows all of `train.*`.
            A difference in one of them is logged.

    Raises:
        X3DDetError: names each key with its old and new value.
    """
    refused = []
    for line in differences(saved, present):
        key = line.split(":", 1)[0]
        if any(key == allowed or key.startswith(f"{allowed}.") for allowed in changeable):
            _logger.info("resuming with another setting: %s", line)
        else:
            refused.append(line)
    if refused:
        raise X3DDetError(
            f"--resume would go on under other settings: {'; '.join(refused)}. "
            "Set them back, or start a new run in another --output-dir."
        )
