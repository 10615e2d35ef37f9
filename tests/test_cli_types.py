"""Numbers as options: what each type takes, and what it says to anything else."""

import argparse

import pytest

from x3d_det import cli_types


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (cli_types.count, "1", 1),
        (cli_types.whole, "0", 0),
        (cli_types.between(0, 51), "51", 51),
        (cli_types.share, "1", 1.0),
        (cli_types.positive, "1e-9", 1e-9),
        (cli_types.second, "0", 0.0),
        (cli_types.interval, "0.001", 0.001),
    ],
)
def test_the_ends_of_the_range_are_allowed(type_, text, value):
    found = type_(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("type_", "text", "allowed"),
    [
        (cli_types.count, "0", "a whole number 1 or more"),
        (cli_types.count, "1.0", "a whole number 1 or more"),
        (cli_types.count, "inf", "a whole number 1 or more"),
        (cli_types.whole, "-1", "a whole number 0 or more"),
        (cli_types.between(0, 51), "52", "a whole number from 0 to 51"),
        (cli_types.share, "1.5", "a number from 0 to 1"),
        (cli_types.share, "nan", "a number from 0 to 1"),
        (cli_types.positive, "0", "a number above 0"),
        (cli_types.positive, "inf", "a number above 0"),
        (cli_types.second, "-0.5", "a number 0 or more"),
        (cli_types.second, "x", "a number 0 or more"),
        (cli_types.interval, "0", "a number 0.001 or more"),
    ],
)
def test_anything_else_is_answered_with_what_is_allowed(type_, text, allowed):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{text} is not {allowed}$"):
        type_(text)
