"""How far long work is, on stderr: one line in place on a terminal, elsewhere a line at times."""

import sys
import time

_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_BETWEEN_REDRAWS = 0.1


class ProgressLine:
    """Tells how much is done, how fast, and how much time is left.

    Use it as a context: its end leaves the terminal's line finished, also after an error.

    Args:
        label: what is being done, as in `video 3 of 12`.
        total: of the work, in `unit`; None where it is unknown.
        unit: as in `keyframes`, `s`, `MB`.
        already_done: of an earlier run; counts as done, but not towards the rate.
        decimals: of the amounts shown.
    """

    def __init__(
        self,
        label: str,
        total: float | None,
        *,
        unit: str,
        already_done: float = 0.0,
        decimals: int = 0,
    ) -> None:
        self._label = label
        self._total = total
        self._unit = unit
        self._already_done = already_done
        self._decimals = decimals
        self._started = time.monotonic()
        self._shown = self._started
        self._is_line_open = False

    def update(self, done: float, note: str = "", *, total: float | None = None) -> None:
        """Show that `done` of the work is done, earlier runs included, and a note behind it.

        Args:
            done: of the work, in the unit.
            note: what else is worth saying.
            total: corrects the total, where it becomes known on the way.
        """
        if total is not None:
            self._total = total
        now = time.monotonic()
        is_terminal = sys.stderr.isatty()
        is_last = self._total is not None and done >= self._total
        wait = _SECONDS_BETWEEN_REDRAWS if is_terminal else _SECONDS_BETWEEN_LINES
        if now - self._shown < wait and not (is_last and is_terminal):
            return
        self._shown = now
        text = self._text(done, now - self._started) + (f"  {note}" if note else "")
        if is_terminal:
            self._is_line_open = not is_last
            end = "\n" if is_last else ""
            print(f"\r\x1b[2K{text}", end=end, file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the terminal's line."""
        if self._is_line_open:
            self._is_line_open = False
            print(file=sys.stderr, flush=True)

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _text(self, done: float, seconds: float) -> str:
        fresh = done - self._already_done
        rate = fresh / seconds if seconds > 0 else 0.0
        text = f"{self._label}: {done:,.{self._decimals}f}"
        if self._total is None:
            return f"{text} {self._unit}, {rate:.3g} {self._unit}/s"
        share = done / self._total if self._total else 1.0
        text += f" of {self._total:,.{self._decimals}f} {self._unit} ({min(share, 1):.0%})"
        if rate > 0:
            left = max(self._total - done, 0) / rate
            text += f", {rate:.3g} {self._unit}/s, {clock(left)} left"
        return text


def clock(seconds: float) -> str:
    """Return `1:02:03` for 3723 seconds, `2:05` for 125."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
