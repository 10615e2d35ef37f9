"""Colours of the drawings: one per person, told apart by colour-blind eyes too."""

from functools import lru_cache

Color = tuple[int, int, int]

# The hues of Okabe and Ito (2008), "Color Universal Design", with the lightness moved so that
# dark or white text on a plate of PLATE_OPACITY keeps a contrast of 4.5 over any background.
PERSON_COLORS: tuple[Color, ...] = (
    (86, 184, 240),  # sky blue
    (240, 160, 20),  # orange
    (0, 172, 122),  # bluish green
    (222, 135, 185),  # reddish purple
    (240, 228, 80),  # yellow
    (118, 136, 255),  # blue
    (238, 108, 50),  # vermilion
)
NO_ACTION_COLOR: Color = (140, 140, 146)  # a person of whom no action is said
DARK_TEXT: Color = (12, 12, 14)
LIGHT_TEXT: Color = (255, 255, 255)
DARK_PLATE: Color = (18, 18, 22)  # annotations, legend, caption
PLATE_OPACITY = 0.85
DARK_PLATE_OPACITY = 0.72


def person_color(index: int) -> Color:
    """Return the colour of the person with this number; the colours come round again."""
    return PERSON_COLORS[index % len(PERSON_COLORS)]


def relative_luminance(color: Color) -> float:
    """Return how bright an sRGB colour (0 to 255 each) is: 0 black, 1 white.

    Source: WCAG 2.1, definition of relative luminance.
    """
    red, green, blue = (_linear(channel / 255) for channel in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast_ratio(first: Color, second: Color) -> float:
    """Return the contrast of two colours, 1 (the same) to 21 (black and white).

    Source: WCAG 2.1, definition of contrast ratio; 4.5 is its level AA for text.
    """
    low, high = sorted((relative_luminance(first), relative_luminance(second)))
    return (high + 0.05) / (low + 0.05)


def mix(color: Color, background: Color, opacity: float) -> Color:
    """Return `color` laid over `background` with an opacity in [0, 1]."""
    red, green, blue = (
        round(opacity * above + (1 - opacity) * below)
        for above, below in zip(color, background, strict=True)
    )
    return red, green, blue


@lru_cache(maxsize=64)
def text_color_on(plate: Color, opacity: float = 1.0) -> Color:
    """Return dark or white, whichever reads better on a plate over its worst background.

    Args:
        plate: colour of the plate.
        opacity: of the plate, in [0, 1]; the background may be black, white or between.
    """
    return max((DARK_TEXT, LIGHT_TEXT), key=lambda text: worst_contrast(text, plate, opacity))


def worst_contrast(text: Color, plate: Color, opacity: float) -> float:
    """Return the least contrast of a text on a translucent plate, over all grey backgrounds."""
    return min(
        contrast_ratio(text, mix(plate, (grey, grey, grey), opacity)) for grey in range(0, 256, 15)
    )


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
