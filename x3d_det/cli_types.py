"""Numbers as options of a command: a wrong one is answered with what is allowed."""

import argparse
import math


def count(text: str) -> int:
    """Return a whole number from 1 on."""
    return int(number(text, 1, math.inf, whole=True))


def share(text: str) -> float:
    """Return a number from 0 to 1."""
    return number(text, 0, 1)


def second(text: str) -> float:
    """Return a number of seconds from 0 on."""
    return number(text, 0, math.inf)


def interval(text: str) -> float:
    """Return a number of seconds above 0, a millisecond at least."""
    return number(text, 0.001, math.inf)


def number(text: str, low: float, high: float, *, whole: bool = False) -> float:
    """Return the number that a text says.

    Raises:
        argparse.ArgumentTypeError: it is none, or not from `low` to `high`.
    """
    allowed = f"{low:g} or more" if high == math.inf else f"from {low:g} to {high:g}"
    kind = "a whole number" if whole else "a number"
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high or value == math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not {kind} {allowed}")
    return value
