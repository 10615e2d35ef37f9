"""Files spoilt at random places, for the readers of exports."""

import copy
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """Return one of the seeds with one to three pieces replaced by tokens or by any bytes."""
    text = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 12))
        text[start:end] = draw(st.sampled_from(tokens) | st.binary(max_size=3))
    return bytes(text)


@st.composite
def with_another_value(draw: st.DrawFn, roots: Sequence[Any], values: st.SearchStrategy) -> Any:
    """Return a copy of one of the JSON roots, with one of `values` in the place of any other."""
    root = here = copy.deepcopy(draw(st.sampled_from(roots)))
    while keys := list(here) if isinstance(here, dict) else list(range(len(here))):
        key = draw(st.sampled_from(keys))
        if not isinstance(here[key], dict | list) or draw(st.integers(0, 3)) == 0:
            here[key] = draw(values)
            break
        here = here[key]
    return root
