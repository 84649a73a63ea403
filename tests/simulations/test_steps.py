"""Steps over time, simulated: rarely where there are none, and at their place where there are."""

import numpy as np
import pytest

from effdet_bench.summary.steps import LEAST, find_steps

SERIES = 1000


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
