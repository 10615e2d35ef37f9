"""Numbers as options of a command: a wrong one is answered with what is allowed."""

import argparse
import math
from collections.abc import Callable


def count(text: str) -> int:
    """Return a whole number from 1 on."""
    return _whole(text, 1, math.inf)


def whole(text: str) -> int:
    """Return a whole number from 0 on."""
    return _whole(text, 0, math.inf)


def between(low: int, high: int) -> Callable[[str], int]:
    """Return a type of whole numbers, both ends included."""
    return lambda text: _whole(text, low, high)


def share(text: str) -> float:
    """Return a number from 0 to 1."""
    return _number(text, 0, 1)


def positive(text: str) -> float:
    """Return a number above 0."""
    return _number(text, math.nextafter(0, 1), math.inf, allowed="above 0")


def second(text: str) -> float:
    """Return a number of seconds from 0 on."""
    return _number(text, 0, math.inf)


def interval(text: str) -> float:
    """Return a number of seconds above 0, a millisecond at least."""
    return _number(text, 0.001, math.inf)


def _whole(text: str, low: float, high: float) -> int:
    try:
        value = int(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number {_range(low, high)}")
    return value


def _number(text: str, low: float, high: float, *, allowed: str | None = None) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high or value == math.inf:
        allowed = allowed or _range(low, high)
        raise argparse.ArgumentTypeError(f"{text} is not a number {allowed}")
    return value


def _range(low: float, high: float) -> str:
    return f"{low:g} or more" if high == math.inf else f"from {low:g} to {high:g}"
