"""Files spoilt at random places, for the readers of exports."""

from collections.abc import Sequence

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
