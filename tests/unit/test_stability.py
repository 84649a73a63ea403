"""Doubts about figures: each is raised by what it is about, and none by calm data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive import conditions
from effdet_bench.summary.stability import (
    Round,
    autocorrelation,
    find_doubts,
    trend,
    tukey_outliers,
)

series = st.lists(st.integers(1, 10**9), min_size=2, max_size=30)
PHOTOS = [f"{number}.jpg" for number in range(8)]


def rounds(seed: int = 0, change=lambda values: values, count: int = 4, **state) -> list[Round]:
    """Calm rounds of 24 requests whose latency depends on the photo, passed through `change`."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(1, count + 1):
        photos = [PHOTOS[k % 8] for k in range(24)]
        usual = np.array([1e9 + 2e7 * PHOTOS.index(photo) for photo in photos])
        values = change(usual * np.exp(generator.normal(0, 0.01, 24)))
        made.append(Round(number, photos, values.astype(int).tolist(), conditions(**state)))
    return made


def kinds(made: list[Round]) -> set[str]:
    return {doubt["kind"] for doubt in find_doubts(made)}


def with_gpu(clock: int, throttled: list[str]) -> list[Round]:
    made = rounds()
    gpu = {"sm_clock_mhz": clock, "sm_clock_max_mhz": 2000, "throttled": throttled}
    for one in made:
        one.conditions["after"]["gpu"] = gpu
    return made


def with_power(**power) -> list[Round]:
    made = rounds()
    for one in made:
        one.conditions["power"] |= power
    return made


def with_sleep() -> list[Round]:
    made = rounds()
    made[1].conditions["slept_seconds"] = 30.5
    return made


def with_work_between_turns(seconds: float) -> list[Round]:
    made = rounds()
    used = {"seconds": seconds, "own_seconds": 5.0, "turns": 4}
    made[1].conditions["outside"] = used
    return made


def last_third_slower(values: np.ndarray) -> np.ndarray:
    return values * np.linspace(1, 1.1, len(values))


def in_waves(values: np.ndarray) -> np.ndarray:
    return values * (1 + 0.08 * (np.arange(len(values)) // 6 % 2))


def one_long(values: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(values)) == 5, values * 1.7, values)


RAISED = {
    "spread": rounds(change=lambda v: v * (1 + 0.3 * (np.arange(24) % 2))),
    "extreme": rounds(change=one_long),
    "trend": rounds(change=last_third_slower),
    "autocorrelation": rounds(change=in_waves),
    "drift": rounds(before_ms=5.0, after_ms=5.3),
    "load": rounds(other=0.2),
    "governor": with_power(governor="powersave"),
    "battery": with_power(on_battery=True),
    "slept": with_sleep(),
    "outside": with_work_between_turns(0.1),
    "throttled": with_gpu(1990, ["thermal"]),
    "clock": with_gpu(1400, []),
}


def test_calm_data_raise_no_doubt():
    assert kinds(rounds()) == set()
    assert kinds(with_gpu(1990, [])) == kinds(with_power(governor="performance")) == set()
    assert kinds(with_work_between_turns(0.03)) == set()


@pytest.mark.parametrize("kind", RAISED)
def test_what_is_wrong_is_told(kind):
    assert kind in kinds(RAISED[kind])


def test_low_power_mode_counts_as_power_saving():
    assert kinds(with_power(low_power=True)) == {"governor"}


def test_only_the_rounds_concerned_are_named():
    made = [*rounds(count=1), *rounds(count=2, after_ms=4.0)[1:]]
    (doubt,) = find_doubts(made)
    assert (doubt["kind"], doubt["rounds"]) == ("drift", [2])
    assert doubt["value"] == pytest.approx(-0.2)


def test_chance_seldom_raises_doubts_of_order():
    raised = [kinds(rounds(seed=seed)) for seed in range(400)]
    for kind in ("autocorrelation", "trend"):
        assert sum(kind in found for found in raised) <= 12


def test_few_requests_are_no_trend():
    made = [Round(1, PHOTOS[:4], [100, 110, 120, 130], conditions())]
    assert "trend" not in kinds(made)


def test_outliers_are_those_of_tukey():
    assert tukey_outliers([10, 11, 12, 13, 14, 100]) == 1
    assert tukey_outliers([10, 11, 12, 13, 14]) == 0
    usual = [1, 2, 3, 4, 5, 6, 7, 8]  # with one more that is high, quartiles are 3 and 7
    assert (tukey_outliers([*usual, 12.9]), tukey_outliers([*usual, 13.1])) == (0, 1)
    assert tukey_outliers([5]) == tukey_outliers([5, 5, 5]) == 0


@given(series, st.integers(2, 100))
def test_neither_scale_nor_shift_changes_dependence(values, factor):
    once = autocorrelation([values])[0]
    assert autocorrelation([[factor * v + 7 for v in values]])[0] == pytest.approx(once, abs=1e-6)
    assert trend([[factor * v for v in values]]) == pytest.approx(trend([values]))
    assert tukey_outliers([factor * v for v in values]) == tukey_outliers(values)


@given(series)
def test_a_trend_turned_round_is_as_sure(values):
    assert trend([values])[1] == trend([values[::-1]])[1]


@given(st.integers(1, 10**9), st.integers(1, 30))
def test_constant_data_show_nothing(value, count):
    constant = [[value] * count]
    correlation, bound = autocorrelation(constant)
    assert correlation < bound
    assert trend(constant) == (0.0, False)
    assert tukey_outliers(constant[0]) == 0
