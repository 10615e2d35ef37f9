"""Numbers as reports say them."""

import math

import pytest

from x3d_det.words import counted, none_if_nan, score_text, short_number


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "keyframe", "0 keyframes"),
        (1, "keyframe", "1 keyframe"),
        (2000, "keyframe", "2,000 keyframes"),
        (1, "box", "1 box"),
        (3, "box", "3 boxes"),
        (2, "class", "2 classes"),
    ],
)
def test_nouns_are_counted(number, noun, text):
    assert counted(number, noun) == text


def test_what_is_not_defined_is_a_word_in_text_and_null_in_json():
    assert (score_text(0.50804), score_text(math.nan)) == ("0.5080", "not defined")
    assert (none_if_nan(0.0), none_if_nan(math.nan)) == (0.0, None)


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.066e7, "20.66 M"), (1.5e9, "1.5 G"), (2000, "2 k"), (0.02, "0.02"), (5.0e13, "50 T")],
)
def test_costs_in_short(value, text):
    assert short_number(value) == text
