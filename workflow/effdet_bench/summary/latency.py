"""Percentiles of latencies, their support and their intervals: pure functions of numbers."""

import functools
from collections.abc import Sequence

import numpy as np

from effdet_bench.summary.rows import Latency

PERCENTILES = (50, 90, 95, 99)
CONFIDENCE = 0.99
INTERVAL_CONFIDENCE = 0.95
RESAMPLES = 1000


@functools.cache
def needed_requests(percent: float) -> int:
    """The least number of requests with which a percentile carries a confidence statement.

    MLPerf's early-stopping rule (mlcommons/inference, loadgen/early_stopping.cc), at its 99 %
    confidence and with its one allowed exceedance: the smallest n for which at most one of n
    independent requests beyond the true percentile has a probability of at most 1 %.

    Raises:
        ValueError: `percent` is not inside (0, 100).
    """
    if not 0 < percent < 100:
        raise ValueError(f"percent is {percent}, but must lie inside (0, 100)")
    below = percent / 100
    n = 1
    while below**n + n * (1 - below) * below ** (n - 1) > 1 - CONFIDENCE:
        n += 1
    return n


def percentile(latencies: Sequence[float] | np.ndarray, percent: float) -> float:
    """The empirical percentile, in the unit of `latencies`, interpolated linearly between ranks.

    Method 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996).
    """
    return float(np.percentile(latencies, percent))


def describe(latencies_ns: Sequence[int]) -> Latency:
    """Figures of one set of latencies in integer nanoseconds; nothing is dropped or clipped.

    Returns:
        `n`; `mean_ms`, `sd_ms` (sample standard deviation, `None` for n = 1), `min_ms`, `max_ms`;
        `percentiles`, each with its value `ms`, the requests it `needs` and whether n `supports`
        it; `throughput_rps`, requests per second of one process: n / Σ latency.

    Raises:
        ValueError: there is no latency.
    """
    if len(latencies_ns) == 0:
        raise ValueError("no latency to describe")
    milliseconds = np.asarray(latencies_ns, dtype=np.float64) / 1e6
    n = len(milliseconds)
    return {
        "n": n,
        "mean_ms": float(milliseconds.mean()),
        "sd_ms": float(milliseconds.std(ddof=1)) if n > 1 else None,
        "min_ms": float(milliseconds.min()),
        "max_ms": float(milliseconds.max()),
        "percentiles": {
            f"p{percent}": {
                "ms": percentile(milliseconds, percent),
                "needs": needed_requests(percent),
                "supported": n >= needed_requests(percent),
            }
            for percent in PERCENTILES
        },
        "throughput_rps": n / (sum(map(int, latencies_ns)) / 1e9),
    }


def percentile_intervals(
    rounds: Sequence[Sequence[float]], percents: Sequence[float]
) -> list[tuple[float, float]] | None:
    """An interval for each percentile at `INTERVAL_CONFIDENCE`, in the unit of the latencies.

    A bootstrap resamples rounds first, then requests within each round, because requests of one
    round share a process and a moment. It draws one round fewer than there are, because otherwise a
    few rounds would show too little of the spread between rounds (Rao and Wu, "Resampling inference
    with complex survey data", 1988). The draws are the same for the same data.

    Returns:
        `None` for fewer than two rounds, which say nothing about the spread between rounds.
    """
    if len(rounds) < 2:
        return None
    generator = np.random.default_rng(0)
    ordered = np.sort(np.concatenate([np.asarray(one, dtype=np.float64) for one in rounds]))
    # ranks instead of values, because counting ranks finds percentiles without sorting each time
    ranks = [np.searchsorted(ordered, np.asarray(one, dtype=np.float64)) for one in rounds]
    shares = np.asarray(percents) / 100
    drawn_values = []
    for _ in range(RESAMPLES):
        drawn = [ranks[k] for k in generator.integers(0, len(ranks), len(ranks) - 1)]
        pooled = np.concatenate([one[generator.integers(0, len(one), len(one))] for one in drawn])
        below = np.bincount(pooled, minlength=len(ordered)).cumsum()
        position = shares * (len(pooled) - 1)
        low, high = (
            ordered[np.searchsorted(below, rank, side="right")]
            for rank in (np.floor(position), np.ceil(position))
        )
        drawn_values.append(low + (high - low) * (position - np.floor(position)))
    tail = 50 * (1 - INTERVAL_CONFIDENCE)
    low, high = np.percentile(drawn_values, [tail, 100 - tail], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))
