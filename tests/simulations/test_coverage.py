"""Intervals and verdicts err as seldom as they say: simulated, as that takes seconds."""

import numpy as np
import pytest

from effdet_bench.archive.regressions import SECOND_CONFIDENCE
from effdet_bench.summary.comparison import CONFIDENCE, unpaired
from effdet_bench.summary.latency import percentile_interval


@pytest.mark.parametrize("percent", [50, 90])
@pytest.mark.parametrize("between", [0, 0.01, 0.03])
def test_intervals_of_percentiles_cover_the_truth(between, percent):
    """In 93 to 97 % of runs of 6 rounds of 40 requests, where levels of rounds differ or not."""
    generator = np.random.default_rng(3)

    def latencies(rounds: int, requests: int) -> np.ndarray:
        level = generator.normal(0, between, (rounds, 1))
        return np.exp(level + 0.05 * generator.gamma(2, 1, (rounds, requests)))

    truth = np.percentile(latencies(100_000, 10), percent)
    covered = []
    for _ in range(2000):
        low, high = percentile_interval(latencies(6, 40)[:, :, None], percent)
        covered.append(low <= truth <= high)
    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.06])
def test_a_regression_that_was_timed_again_is_rarely_a_false_alarm(noise):
    """In less than 1 of 100 runs without change of ten modes, 6 rounds each, threshold 5 %."""
    generator = np.random.default_rng(5)

    def run() -> dict:
        return {k: {1: [level]} for k, level in enumerate(np.exp(generator.normal(0, noise, 6)))}

    def slower(before: dict, after: dict, confidence: float = CONFIDENCE) -> bool:
        found = unpaired(before, after, confidence)
        return found.high < 1 and found.ratio < 1 / 1.05

    once = again = 0
    runs = 400
    for _ in range(runs):
        modes = [(run(), run()) for _ in range(10)]
        suspects = [before for before, after in modes if slower(before, after)]
        once += bool(suspects)
        again += any(slower(before, run(), SECOND_CONFIDENCE) for before in suspects)
    assert again < 0.01 * runs
    assert noise < 0.05 or once > 0.1 * runs, "which is what the second measurement is for"
