"""Modes that round as the emulations do are called valid, as often as the gate promises."""

import pytest

from emulated import Rounded, judged


@pytest.mark.parametrize("photos", [8, 20, 50, 200])
def test_what_rounds_as_the_emulations_do_is_valid(photos):
    """Of modes that each have photos of their own, not one in 200 is INVALID."""
    invalid = 0
    for seed in range(400):
        rounded = Rounded(seed, photos)
        invalid += max(judged(rounded.rounding(), rounded.errors()).values()) > 1
    assert invalid < 400 / 200
