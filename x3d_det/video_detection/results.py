"""What is found in a video: who is where at a keyframe, and what they do. Plain values, no torch.

Everything here is immutable and can be pickled. Seconds count from the start of the video.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ScoredAction:
    """One action of one person."""

    action_id: int
    """Number in the label map that the model was trained with; from 1."""
    name: str
    score: float
    """In [0, 1]."""


@dataclass(frozen=True)
class PersonActions:
    """One person at one keyframe."""

    box_norm: tuple[float, float, float, float]
    """x1, y1, x2, y2 in fractions of the frame."""
    person_score: float
    """How sure the person detector was, in [0, 1]; 1 for boxes that were given without."""
    track_id: int | None
    """The same number for the same person at every keyframe; None before tracking."""
    actions: tuple[ScoredAction, ...]
    """Every class by falling score, equal scores by id; empty where actions were not asked for."""


@dataclass(frozen=True)
class KeyframeActions:
    """Everybody at one second of the video."""

    seconds: float
    frame_height: int
    """Pixels of the upright frame."""
    frame_width: int
    persons: tuple[PersonActions, ...]
    """By falling person score; equal ones by corners."""
    num_clamped: int
    """Frames of the clip that stand in for seconds before the video's start or after its end."""
    has_actions: bool = True
    """False between keyframes, where persons alone were looked for (`person_looks` above 1)."""
    num_below_threshold: int = 0
    """Persons that were left out for their person score."""
    highest_below_threshold: float | None = None
    """The best person score among those; None where there are none."""
    shot: int = 0
    """Number of the shot, one more at each cut: behind a cut the same place is another person."""
