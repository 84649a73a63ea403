"""Queues of random arrivals before servers that always take the same time (M/D/c), simulated."""

import heapq

import numpy as np

ARRIVALS = 30_000


def mdc_latency(servers: int, seconds: float, rate: float, percent: float) -> float:
    """A percentile of the latency in seconds, where `rate` requests a second arrive."""
    generator = np.random.default_rng(1)
    free = [0.0] * servers
    latencies = []
    for arrived in np.cumsum(generator.exponential(1 / rate, ARRIVALS)):
        begun = max(arrived, heapq.heappop(free))
        heapq.heappush(free, begun + seconds)
        latencies.append(begun + seconds - arrived)
    return float(np.percentile(latencies, percent))


def mdc_capacity(servers: int, seconds: float, bound: float, percent: float = 90) -> float:
    """The highest rate at which the percentile stays within `bound` seconds, to 2 %."""
    kept, broken = 0.0, servers / seconds
    while broken - kept > 0.02 * broken:
        rate = (kept + broken) / 2
        if mdc_latency(servers, seconds, rate, percent) <= bound:
            kept = rate
        else:
            broken = rate
    return kept
