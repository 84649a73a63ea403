"""Modes of different sets: the intervals of their comparison cover the truth, whatever drifts."""

import numpy as np
import pytest

from effdet_bench.config.names import BASELINE
from effdet_bench.summary.verdicts import Pairs

RUNS, TURNS = 1000, 5


@pytest.mark.parametrize("drift", [0, 0.03, 0.10])
def test_a_machine_that_drifts_between_sets_hides_no_difference(drift):
    """In at least 93 of 100 runs: one mode in rounds 1 to 6, the other in rounds 7 to 12."""
    generator = np.random.default_rng(35)
    covered = []
    for _ in range(RUNS):
        level = generator.normal(0, 0.02, 13)  # the machine's speed in each round
        level[7:] += np.log1p(drift)

        def mode(ms: float, numbers: range, level=level) -> dict:
            own = generator.normal(0, 0.01, 13)  # of the process of this mode in a round
            jitter = generator.gamma(2, 0.01, (13, TURNS))
            return {
                k: {t: [1e6 * ms * np.exp(level[k] + own[k] + jitter[k, t])] for t in range(TURNS)}
                for k in numbers
            }

        rounds = {
            ("cpu", BASELINE): mode(100, range(1, 13)),
            ("cpu", "first"): mode(50, range(1, 7)),
            ("cpu", "second"): mode(40, range(7, 13)),
        }
        found = Pairs([], rounds).compared(
            {"device": "cpu", "mode": "second"}, {"device": "cpu", "mode": "first"}
        )
        covered.append(found.low <= 50 / 40 <= found.high)
    assert np.mean(covered) >= 0.93
