from itertools import combinations

import numpy as np
import pytest

from x3d_det.visualization.palette import (
    DARK_PLATE,
    DARK_PLATE_OPACITY,
    LIGHT_TEXT,
    NO_ACTION_COLOR,
    PERSON_COLORS,
    PLATE_OPACITY,
    contrast_ratio,
    mix,
    person_color,
    relative_luminance,
    text_color_on,
    worst_contrast,
)

# How a colour looks to eyes without one of the three cones: linear RGB to linear RGB,
# Machado, Oliveira and Fernandes (2009), table 1, severity 1.0.
PROTANOPIA = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]
TRITANOPIA = [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.303900],
]


def _lab(color, eyes):
    channels = np.array(color) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ np.clip(np.array(eyes) @ linear, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eyes", [np.eye(3), PROTANOPIA, DEUTERANOPIA, TRITANOPIA])
def test_no_two_colours_look_the_same_to_colour_blind_eyes(eyes):
    # 2.3 is a just noticeable difference in CIELAB.
    for first, second in combinations((*PERSON_COLORS, NO_ACTION_COLOR), 2):
        assert np.linalg.norm(_lab(first, eyes) - _lab(second, eyes)) > 10, (first, second)


def test_luminance_and_contrast_of_known_colours():
    assert relative_luminance((0, 0, 0)) == 0
    assert relative_luminance((255, 255, 255)) == pytest.approx(1)
    assert contrast_ratio((0, 0, 0), (255, 255, 255)) == pytest.approx(21)  # 1.05 / 0.05
    # #777777 on white is known as 4.48, the grey just below the level for text.
    assert contrast_ratio((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.005)


def test_mix_of_half_red_over_blue():
    assert mix((255, 0, 0), (0, 0, 255), 0.5) == (128, 0, 128)
    assert mix((10, 20, 30), (200, 200, 200), 1.0) == (10, 20, 30)


@pytest.mark.parametrize("color", PERSON_COLORS)
def test_text_on_every_plate_can_be_read_over_any_background(color):
    text = text_color_on(color, PLATE_OPACITY)
    for background in ((0, 0, 0), (128, 128, 128), (255, 255, 255)):
        assert contrast_ratio(text, mix(color, background, PLATE_OPACITY)) >= 4.5


def test_white_text_on_dark_plates_can_be_read_over_any_background():
    assert worst_contrast(LIGHT_TEXT, DARK_PLATE, DARK_PLATE_OPACITY) >= 4.5


def test_text_is_dark_on_yellow_and_white_on_navy():
    assert max(text_color_on((240, 228, 80))) < 20
    assert text_color_on((0, 0, 80)) == (255, 255, 255)


def test_colours_come_round_again():
    num_colors = len(PERSON_COLORS)
    assert [person_color(i) for i in range(num_colors)] == list(PERSON_COLORS)
    assert person_color(num_colors + 2) == PERSON_COLORS[2]
