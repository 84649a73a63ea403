"""How the highest rate that keeps a bound is found: pure functions of what was tried so far."""

import math
from collections.abc import Iterable
from typing import NamedTuple


class Goal(NamedTuple):
    """`percentile` of latencies, such as `p90`, is to stay within `bound_ms`."""

    bound_ms: float
    percentile: str


class Tried(NamedTuple):
    """A pass of Poisson arrivals at `rate` a second, and its percentiles in milliseconds.

    `valid` is LoadGen's own verdict.
    """

    rate: float
    percentiles: dict[str, float]
    valid: bool = True

    def keeps(self, goal: Goal) -> bool:
        return self.percentiles[goal.percentile] <= goal.bound_ms


def first_rate(most: float, alone_ms: float, goal: Goal) -> float:
    """Where to begin: `most`, what is answered where there is always work, less what bursts need.

    They wait, for what `goal` leaves beyond `alone_ms`, which a request takes without a queue.
    """
    return most * min(0.8, max(0.1, 1 - alone_ms / goal.bound_ms))


def next_rate(tried: Iterable[Tried], goal: Goal, first: float, step: float) -> float | None:
    """The rate to try next for `goal`: up from what keeps it and down from what does not.

    Returns:
        `None` once the highest that keeps it is a `step` below one that does not.
    """
    tried = list(tried)
    kept = highest_kept(tried, goal)
    broken = min((one.rate for one in tried if not one.keeps(goal)), default=None)
    if kept is None:
        return first if broken is None else broken / step
    near = broken is not None and broken <= kept * step * (1 + 1e-9)
    return None if near else kept * step


def highest_kept(tried: Iterable[Tried], goal: Goal) -> float | None:
    """The highest rate that keeps `goal` below the lowest that does not: above it is chance."""
    tried = list(tried)
    broken = min((one.rate for one in tried if not one.keeps(goal)), default=math.inf)
    kept = [one.rate for one in tried if one.keeps(goal) and one.rate < broken]
    return max(kept, default=None)


def still_gains(rates: list[float], gain: float) -> bool:
    """Whether the last of `rates`, of ever larger batches, is above the one before by `gain`."""
    return len(rates) < 2 or rates[-1] > (1 + gain) * rates[-2]
