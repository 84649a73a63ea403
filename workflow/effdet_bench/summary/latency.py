"""Percentiles of latencies, their support and their intervals: pure functions of numbers."""

import functools
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from effdet_bench.summary.rows import Latency

Turns = Sequence[Sequence[float]]  # latencies of a mode, by turn

PERCENTILES = (50, 90, 95, 99)
CONFIDENCE = 0.99
INTERVAL_CONFIDENCE = 0.95


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


def percentile(turns: Turns, percent: float) -> float:
    """The percentile of latencies by turn, in their unit, where all turns weigh alike.

    A mode that serves as many requests as fit into a turn has fewer of them in a turn in which the
    machine is slow. If requests weighed alike, such turns would count less for this mode than for a
    mode with one request in each turn. Latencies are interpolated linearly between the middles of
    their weights. For turns of one length this is method 7 of Hyndman and Fan, "Sample Quantiles in
    Statistical Packages" (1996).
    """
    latencies, weights = _weighed(turns)
    order = np.lexsort((weights, latencies))
    middles = weights[order].cumsum() - weights[order] / 2
    wanted = middles[0] + (middles[-1] - middles[0]) * percent / 100
    return float(np.interp(wanted, middles, latencies[order]))


def _weighed(turns: Turns) -> tuple[np.ndarray, np.ndarray]:
    """The latencies of `turns`, and their weights: those of a turn add up to 1."""
    counts = np.fromiter(map(len, turns), int)
    latencies = np.concatenate(turns, dtype=np.float64)
    return latencies, np.repeat(1 / counts, counts)


def describe(turns: Turns) -> Latency:
    """Figures of latencies by turn, in integer nanoseconds; nothing is dropped or clipped.

    Returns:
        `n`; `mean_ms`, `sd_ms` (sample standard deviation, `None` for n = 1), `min_ms`, `max_ms`;
        `percentiles`, each with its value `ms`, the requests it `needs` and whether n `supports`
        it; `throughput_rps`, requests per second of one process: n / Σ latency.

    Raises:
        ValueError: there is no latency.
    """
    latencies_ns = [latency for turn in turns for latency in turn]
    if not latencies_ns:
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
                "ms": percentile(turns, percent) / 1e6,
                "needs": needed_requests(percent),
                "supported": n >= needed_requests(percent),
            }
            for percent in PERCENTILES
        },
        "throughput_rps": n / (sum(map(int, latencies_ns)) / 1e9),
    }


def percentile_interval(rounds: Sequence[Turns], percent: float) -> tuple[float, float] | None:
    """The interval of a percentile at `INTERVAL_CONFIDENCE`, in the unit of the latencies.

    Each of `rounds` has its latencies by turn. The share of requests that do not exceed the
    percentile differs from round to round. Student's t gives an interval of this share, and the
    ends of the interval are percentiles, too (Woodruff, "Confidence intervals for medians and other
    position measures", 1952). The interval counts rounds, because requests of one round share a
    process and a moment. Rounds of few requests may have the same share by chance, so the interval
    reaches at least one standard error of independent requests to each side.

    Returns:
        `None` for fewer than two rounds, which say nothing about the spread between rounds.
    """
    if len(rounds) < 2:
        return None
    turns = [turn for round_turns in rounds for turn in round_turns]
    share, requests = percent / 100, sum(map(len, turns))
    independent = np.sqrt(share * (1 - share) / requests)
    quantile = stdtrit(len(rounds) - 1, (1 + INTERVAL_CONFIDENCE) / 2)
    reach = 100 * max(quantile * _share_error(rounds, percentile(turns, percent)), independent)
    low, high = max(0, percent - reach), min(100, percent + reach)
    return percentile(turns, low), percentile(turns, high)


def _share_error(rounds: Sequence[Turns], value: float) -> float:
    """The standard error of the share of requests that do not exceed `value`, by its spread between
    rounds.

    It is that of a ratio of sums over rounds: of turns' shares, and of turns (Cochran, "Sampling
    Techniques", 1977, ch. 6). For example, rounds of one turn with shares of 0.4 and 0.6 give 0.1.
    """
    # a rounding error of interpolation may put `value` below a latency that it equals
    value *= 1 + 1e-12
    weighed = map(_weighed, rounds)
    shares = np.array([weights[latencies <= value].sum() for latencies, weights in weighed])
    counts = np.array([len(turns) for turns in rounds])
    n, share = len(rounds), shares.sum() / counts.sum()
    return float(np.sqrt(n / (n - 1) * ((shares - counts * share) ** 2).sum()) / counts.sum())
