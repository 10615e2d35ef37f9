"""Numbers as reports say them."""

import math


def counted(number: int, noun: str) -> str:
    """Return `1 keyframe`, `2,000 keyframes`, `3 boxes`."""
    plural = noun + ("es" if noun.endswith(("s", "x")) else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def score_text(value: float) -> str:
    """Return a score with four decimals; in words where it is NaN."""
    return "not defined" if math.isnan(value) else f"{value:.4f}"


def none_if_nan(value: float) -> float | None:
    """Return the number as JSON may hold it, which knows no NaN."""
    return None if math.isnan(value) else value


def short_number(value: float) -> str:
    """Return a large number in short: `20 M`, `1.5 G`; a small one as it is: `0.02`."""
    for size, letter in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:,.4g}{letter}"
    return f"{value:.4g}"
