"""SIGTERM and SIGINT: end after the step in hand, with everything saved."""

import logging
import signal
import threading
import time
from types import FrameType
from typing import Any

_logger = logging.getLogger(__name__)
_SAME_KEY_PRESS_SECONDS = 1.0


class StopNow(BaseException):
    """A stop signal at a moment where nothing is lost by leaving at once."""


class StopSignals:
    """Context in which SIGTERM and SIGINT ask for a stop instead of killing.

    A second SIGINT, at least a second after the first (a terminal and torchrun may
    both deliver one key press), is a KeyboardInterrupt at once. In a thread that
    is not the main one signals are left as they are.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._leave_at_once = False
        self._first_seconds = 0.0
        self._previous: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a stop was asked for."""
        return self.signal_number is not None

    def leave_at_once(self, allowed: bool) -> None:
        """Say whether a stop may raise StopNow in the middle of what runs now.

        Raises:
            StopNow: allowed, and a stop was asked for before.
        """
        self._leave_at_once = allowed
        if allowed and self.requested:
            raise StopNow

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.requested:
            if number == signal.SIGINT and now - self._first_seconds >= _SAME_KEY_PRESS_SECONDS:
                raise KeyboardInterrupt
            return
        self.signal_number = number
        self._first_seconds = now
        name = signal.Signals(number).name
        if self._leave_at_once:
            raise StopNow
        _logger.warning("%s: the step is finished and saved, then the run ends.", name)
