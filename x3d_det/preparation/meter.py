"""One progress line for the films that several threads work at."""

import threading
from collections.abc import Callable, Hashable, Mapping

from x3d_det.progress import ProgressLine


class Stopped(Exception):
    """Ends the threads of a run that was interrupted."""


class Meter:
    """Adds up what threads have done.

    Args:
        label: what is being done.
        weights: of each piece of work, in the unit.
        unit: as in `MB`.
        already_done: by an earlier run, in the unit; no part of the rate.
    """

    def __init__(
        self,
        label: str,
        weights: Mapping[Hashable, float],
        *,
        unit: str,
        already_done: float = 0.0,
    ) -> None:
        self._lock = threading.Lock()
        self._weights = weights
        self._done: dict[Hashable, float] = {}
        self._num_finished = 0
        self._is_stopped = False
        self._line = ProgressLine(
            label, sum(weights.values()), unit=unit, already_done=already_done, decimals=1
        )

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    def of(self, key: Hashable) -> Callable[[float], None]:
        """Return what the thread of a piece of work calls with its share in [0, 1]."""

        def update(share: float) -> None:
            with self._lock:
                if self._is_stopped:
                    raise Stopped
                self._done[key] = share * self._weights[key]
                self._show()

        return update

    def finish(self, key: Hashable) -> None:
        """Count a piece of work as over, well or not."""
        with self._lock:
            self._done[key] = self._weights[key]
            self._num_finished += 1
            self._show()

    def stop(self) -> None:
        """Make every thread end at its next update."""
        with self._lock:
            self._is_stopped = True

    def _show(self) -> None:
        note = f"{self._num_finished} of {len(self._weights)} finished"
        self._line.update(sum(self._done.values()), note)
