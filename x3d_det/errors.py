"""What a user can cause, as exceptions whose text is the whole message.

Every text says where, what was found, what is allowed and what to do next; the
commands print it as one line and exit with code 1. A mistake of our own is an
`AssertionError` or any other exception, and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class X3DDetError(ValueError):
    """Something that the user can mend; the text says what and where."""


class ConfigError(X3DDetError):
    """A setting that does not exist, has the wrong type, or contradicts another."""


class DataError(X3DDetError):
    """An annotation, box or label file, or a data set, that cannot be used as it is."""


class VideoError(X3DDetError):
    """A video or frame folder that cannot be read at the seconds asked for."""


class CheckpointError(X3DDetError):
    """A checkpoint that is missing, damaged, unsafe, or of another model."""


class TrainingDiverged(X3DDetError):
    """A training whose loss or gradients stopped being finite numbers."""


def did_you_mean(found: str, allowed: Iterable[str]) -> str:
    """Return `"; did you mean X?"` for the nearest allowed name, or an empty string."""
    nearest = get_close_matches(found, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]}?" if nearest else ""
