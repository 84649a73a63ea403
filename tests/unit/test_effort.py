"""What the machine made of latencies is told from what the engine made of them."""

import numpy as np
import pandas as pd
import pytest

from effdet_bench.summary.effort import CAUSES, LEAST_REQUESTS, spread_explained


def requests(latencies: np.ndarray, **causes) -> pd.DataFrame:
    """Timed requests of two photos and two rounds."""
    n = len(latencies)
    frame = pd.DataFrame({"latency_ns": latencies, "photo": np.arange(n) % 2})
    return frame.assign(round=np.arange(n) * 2 // n, **dict.fromkeys(CAUSES, 0) | causes)


def test_what_goes_with_page_faults_and_steal_is_the_machine():
    generator = np.random.default_rng(1)
    faults, steal = generator.poisson(1000, 200), generator.choice([0, 10_000_000], 200)
    latencies = 1e8 + 1e4 * faults + 2 * steal
    spread, explained = spread_explained(requests(latencies, minor_faults=faults, steal_ns=steal))
    assert explained > 0.95
    assert spread == pytest.approx(np.std(latencies) / np.mean(latencies), rel=0.1)


def test_noise_of_its_own_is_the_engine():
    generator = np.random.default_rng(2)
    explained = [
        spread_explained(
            requests(
                generator.normal(1e8, 1e7, 100),
                minor_faults=generator.poisson(1000, 100),
                other_ns=generator.poisson(3, 100) * 1e7,
            )
        )[1]
        for _ in range(20)
    ]
    assert np.mean(explained) < 0.05


def test_photos_and_rounds_are_no_spread():
    latencies = np.tile([1e8, 3e8], 50) * np.repeat([1, 2], 50)
    spread, _ = spread_explained(requests(latencies, steal_ns=np.arange(100)))
    assert spread == pytest.approx(0, abs=1e-9)


def test_few_requests_say_nothing_and_a_system_that_tells_nothing_is_no_error():
    assert spread_explained(requests(np.ones(LEAST_REQUESTS - 1))) == (None, None)
    spread, explained = spread_explained(requests(np.linspace(1, 2, 40), clock_khz=""))
    assert spread > 0
    assert explained == 0
