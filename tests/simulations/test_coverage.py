"""Intervals cover the truth as often as they say: simulated, as that takes seconds."""

import numpy as np
import pytest

from effdet_bench.summary.latency import percentile_intervals


@pytest.mark.parametrize("between", [0, 0.03])
def test_intervals_cover_the_truth(between):
    """With 4 rounds of 16, as by default: 95 %, give or take what so few rounds allow."""
    generator = np.random.default_rng(3)
    shape = generator.normal(0, between, (50_000, 1)) + 0.05 * generator.gamma(2, 1, (50_000, 20))
    truth = np.percentile(np.exp(shape), [50, 90])
    covered = []
    for _ in range(150):
        level = generator.normal(0, between, (4, 1))
        made = np.exp(level + 0.05 * generator.gamma(2, 1, (4, 16)))
        found = percentile_intervals(list(made), [50, 90])
        covered.append([low <= t <= high for (low, high), t in zip(found, truth, strict=True)])
    assert (np.mean(covered, axis=0) > 0.88).all()
