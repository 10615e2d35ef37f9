"""Ranks: who this process is, what all must agree on, gathering results, seeds.

Without torchrun there is one rank and every function here returns at once.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from x3d_det.errors import X3DDetError

_T = TypeVar("_T")
_ANSWER_SECONDS = 10


@dataclass(frozen=True)
class World:
    """This process among its fellows.

    Every method that talks to others must be called by all ranks, in the same order.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    control_group: Any = None
    """A gloo group for objects, with a timeout that lets an evaluation finish."""

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and speaks."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world_size > 1:
            dist.barrier(group=self.control_group)

    def gather_objects(self, item: _T) -> list[_T] | None:
        """Return every rank's item in rank order on rank 0, None on the others."""
        if self.world_size == 1:
            return [item]
        items: list[Any] | None = [None] * self.world_size if self.is_main else None
        dist.gather_object(item, items, dst=0, group=self.control_group)
        return items

    def broadcast_object(self, item: _T) -> _T:
        """Return rank 0's item on every rank."""
        if self.world_size == 1:
            return item
        items = [item if self.is_main else None]
        dist.broadcast_object_list(items, src=0, group=self.control_group)
        return item if self.is_main else items[0]  # type: ignore[return-value]

    def on_main(self, function: Callable[[], _T]) -> _T:
        """Run `function` on rank 0; return its result, or raise its X3DDetError, on every rank."""
        outcome: tuple[Any, X3DDetError | None] = (None, None)
        if self.is_main:
            try:
                outcome = (function(), None)
            except X3DDetError as error:
                outcome = (None, error)
                if self.world_size == 1:
                    raise
        result, found = self.broadcast_object(outcome)
        if found is not None:
            raise found
        return result

    def sum_over_ranks(self, values: Tensor, *, phase: str = "") -> Tensor:
        """Replace `values` by its sum over all ranks and return it.

        Raises:
            X3DDetError: a rank died or hangs; names it where that can be found out.
        """
        if self.world_size > 1:
            try:
                dist.all_reduce(values)
            except RuntimeError as error:
                raise X3DDetError(self._explain(error, phase)) from error
        return values

    def require_same(self, what: str, values: Mapping[str, Any]) -> None:
        """Check that all ranks have the same `values`.

        Raises:
            X3DDetError: on every rank; names the rank and the keys that differ.
        """

        def compare() -> None:
            assert gathered is not None
            for rank, other in enumerate(gathered):
                if lines := differences(gathered[0], other):
                    raise X3DDetError(
                        f"{what} of rank {rank} differs from rank 0: {'; '.join(lines)}. "
                        "Start all processes with the same code, command and files."
                    )

        gathered = self.gather_objects(dict(values))
        self.on_main(compare)

    def _explain(self, error: Exception, phase: str) -> str:
        """Ask the others whether they still answer, and say who does not."""
        guilty = "the others still answer"
        try:
            dist.monitored_barrier(
                self.control_group, timeout=timedelta(seconds=_ANSWER_SECONDS), wait_all_ranks=True
            )
        except RuntimeError as missing:
            guilty = str(missing).strip().splitlines()[0]
        return (
            f"rank {self.rank}: no sum over {self.world_size} ranks in {phase or 'all_reduce'}: "
            f"{str(error).strip().splitlines()[0]} ({guilty}). "
            "Look at that rank's own messages, then go on with --resume."
        )


def start_world(
    device: str | torch.device = "cpu",
    *,
    timeout_seconds: float = 120.0,
    evaluation_timeout_seconds: float = 3600.0,
) -> World:
    """Return the world that torchrun's environment describes; one rank without it.

    Args:
        device: "cpu" (gloo) or "cuda" (NCCL; each rank takes the GPU of its LOCAL_RANK).
        timeout_seconds: how long a rank waits for the others in a training step.
        evaluation_timeout_seconds: the same round an evaluation, where one rank may score alone.

    Raises:
        X3DDetError: no GPU where one is asked for, or the ranks do not find each other.
    """
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise X3DDetError("device is cuda, but torch finds no GPU; use device cpu.")
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if world_size == 1:
        return World(device=device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout_seconds))
    except (RuntimeError, ValueError) as error:
        raise X3DDetError(
            f"rank {os.environ.get('RANK')} of {world_size} does not reach the others at "
            f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}: "
            f"{str(error).strip().splitlines()[0]}. Start the command with torchrun."
        ) from error
    control_group = dist.new_group(
        backend="gloo", timeout=timedelta(seconds=evaluation_timeout_seconds)
    )
    return World(dist.get_rank(), world_size, device, control_group)


def end_world(world: World) -> None:
    """Leave the other ranks in order; call it at the end of a run that went well."""
    if world.world_size > 1:
        world.barrier()
        dist.destroy_process_group()


def derived_seed(*parts: int | str) -> int:
    """Return a seed of 63 bits that is a function of the parts alone."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted keys in which two nested dicts differ: `train.lr: 0.1 -> 0.2`."""
    lines = []
    for key in sorted({*old, *new}, key=str):
        name = f"{prefix}{key}"
        before = old.get(key, "(absent)")
        after = new.get(key, "(absent)")
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{name}.")
        elif before != after:
            lines.append(f"{name}: {before} -> {after}")
    return lines
