"""Calls made in fresh processes, which start at once: torch is imported before they fork."""

import contextlib
import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch

from x3d_det.errors import X3DDetError

_PRELOADED = "x3d_det.profiling.worker"

_Result = TypeVar("_Result")


class JobFailed(X3DDetError):
    """A call whose process ended without a result; the text says how."""


def in_a_process(
    call: Callable[..., _Result], *args: object, num_threads: int | None, **options: object
) -> _Result:
    """Return what `call(*args, **options)` gives in a process of its own.

    Args:
        call: a function of a module.
        args: for the call; everything must be picklable.
        num_threads: of torch in there; None: its default.
        options: for the call.

    Raises:
        JobFailed: it raised, or its process was killed, as where memory runs out.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_send_result, args=(sender, num_threads, call, args, options), daemon=True
    )
    process.start()
    sender.close()
    try:
        succeeded, result = receiver.recv()
    except EOFError:
        process.join()
        raise JobFailed(_ending(process.exitcode)) from None
    finally:
        receiver.close()
        process.kill()
        process.join()
    if not succeeded:
        raise JobFailed(result)
    return result  # type: ignore[no-any-return]


def _send_result(
    sender: Connection,
    num_threads: int | None,
    call: Callable[..., Any],
    args: tuple[object, ...],
    options: dict[str, object],
) -> None:
    with contextlib.suppress(KeyboardInterrupt):  # the parent, interrupted as well, tells it
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        try:
            answer: tuple[bool, object] = (True, call(*args, **options))
        except Exception as error:  # whatever it is, it is the case's failure
            text = str(error).strip().splitlines() or [""]
            answer = (False, f"{type(error).__name__}: {text[0]}")
        sender.send(answer)


def _ending(exit_code: int | None) -> str:
    if exit_code == -signal.SIGKILL:
        return "the system killed it, as it does where memory runs out; try a smaller --max-batch"
    return f"its process ended with code {exit_code}"
