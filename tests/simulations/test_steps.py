"""Steps over time, simulated and measured: rarely where there are none, and at their place."""

import numpy as np
import pytest
from scipy.special import stdtrit

from effdet_bench.summary.steps import LEAST, find_steps

SERIES = 1000
# speed-ups over `baseline` in twelve smoke runs of two modes with equal options, and half-widths of
# their intervals over four rounds. From the seventh run on, one mode spun for a tenth of its time
STEADY = (
    (1.876, 0.023), (1.826, 0.052), (1.837, 0.020), (1.868, 0.048), (1.873, 0.061), (1.887, 0.106),
    (1.828, 0.050), (1.856, 0.028), (1.808, 0.047), (1.882, 0.034), (1.893, 0.028), (1.875, 0.058),
)  # fmt: skip
CHANGED = (
    (1.863, 0.032), (1.861, 0.020), (1.868, 0.022), (1.873, 0.061), (1.874, 0.028), (1.815, 0.055),
    (1.672, 0.036), (1.687, 0.041), (1.662, 0.022), (1.668, 0.015), (1.706, 0.029), (1.701, 0.031),
)  # fmt: skip


def noise(generator, count: int, kind: str) -> np.ndarray:
    return generator.normal(size=count) if kind == "normal" else generator.standard_t(4, count)


@pytest.mark.parametrize("kind", ["normal", "heavy tails"])
@pytest.mark.parametrize("count", [LEAST, 12, 30])
def test_fewer_than_one_series_in_100_without_a_step_shows_one(count, kind):
    generator = np.random.default_rng(count)
    series = [np.exp(0.02 * noise(generator, count, kind)) for _ in range(SERIES)]
    assert sum(bool(find_steps(one)) for one in series) < SERIES / 100


@pytest.mark.parametrize(("at", "rate"), [(6, 0.9), (9, 0.9)])
def test_a_step_of_a_tenth_is_found_at_its_place_in_one_percent_of_noise(at, rate):
    generator = np.random.default_rng(at)
    found = 0
    for _ in range(200):
        values = np.exp(0.01 * generator.normal(size=12))
        values[at:] *= 1.1
        steps = find_steps(values)
        found += [step.at for step in steps] == [at] and abs(steps[0].factor - 1.1) < 0.04
    assert found > rate * 200


def test_two_steps_are_found_and_a_single_outlier_is_none():
    generator = np.random.default_rng(0)
    values = np.exp(0.005 * generator.normal(size=24))
    values[8:16] *= 1.2
    assert [step.at for step in find_steps(values)] == [8, 16]
    values = np.exp(0.005 * generator.normal(size=24))
    values[11] *= 1.2
    assert find_steps(values) == []


def test_a_step_within_the_known_errors_of_the_archives_is_none():
    """Values can happen to lie close together whose own intervals are wide."""
    generator = np.random.default_rng(0)
    values = np.exp(0.001 * generator.normal(size=12))
    values[6:] *= 1.03
    assert find_steps(values, [0.001] * 12)
    assert find_steps(values, [0.02] * 12) == []


def test_equal_values_and_short_series_have_no_step():
    assert find_steps([1.0] * 20) == []
    assert find_steps([1.0, 1.0, 1.0, 2.0, 2.0, 2.0]) == []


@pytest.mark.parametrize(("measured", "places"), [(STEADY, []), (CHANGED, [6])])
def test_a_step_that_was_made_in_real_runs_is_found(measured, places):
    ratios, half_widths = zip(*measured, strict=True)
    errors = [np.log1p(half_width) / stdtrit(3, 0.975) for half_width in half_widths]
    steps = find_steps(ratios, errors)
    assert [step.at for step in steps] == places
    assert all(step.factor == pytest.approx(0.91, abs=0.01) for step in steps)
