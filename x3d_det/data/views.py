"""Test-time views: the ways of showing a keyframe to a model, whose scores are averaged."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class View:
    """One way of showing a keyframe."""

    short_side_px: int
    """Short side of the whole frame as the model sees it."""
    is_flipped: bool = False
    """Mirrored left to right, boxes and all."""
    shift_seconds: float = 0.0
    """From the keyframe to the clip's middle; the boxes stay those of the keyframe."""

    def __str__(self) -> str:
        words = [f"{self.short_side_px} px"]
        if self.is_flipped:
            words.append("mirrored")
        if self.shift_seconds:
            when = "later" if self.shift_seconds > 0 else "earlier"
            words.append(f"{abs(self.shift_seconds):g} s {when}")
        return ", ".join(words)


def all_views(
    *,
    short_sides_px: Sequence[int],
    flip: bool = False,
    clips_per_keyframe: int = 1,
    clip_shift_seconds: float = 0.0,
) -> tuple[View, ...]:
    """Return every shift of every size, each plain and then mirrored where `flip` is set.

    Args:
        short_sides_px: sizes, in the order of their views.
        flip: show each mirrored as well.
        clips_per_keyframe: clips at shifts symmetric about 0; odd, so that one has none.
        clip_shift_seconds: from one clip to the next.
    """
    assert clips_per_keyframe % 2 == 1
    half = clips_per_keyframe // 2
    shifts = [step * clip_shift_seconds for step in range(-half, half + 1)]
    flips = (False, True) if flip else (False,)
    return tuple(
        View(short_side_px=side, is_flipped=is_flipped, shift_seconds=shift)
        for shift, side, is_flipped in itertools.product(shifts, short_sides_px, flips)
    )
