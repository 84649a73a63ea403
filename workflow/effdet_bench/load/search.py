"""The search for the highest rate that keeps a bound: pure functions of the passes so far."""

import math
from collections.abc import Sequence
from typing import NamedTuple

STEP = 1.2  # from one rate to the next; also from a capacity to a rate that must break the bound


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


def first_rate(instances: int, most: float, alone_ms: float, goal: Goal) -> float:
    """The rate to begin with: the highest that keeps `goal` by queueing theory, in steps of 1 %.

    Random arrivals, `instances` that always take the same time, one queue (M/D/c). `most` is the
    rate of answers where there is always work; `alone_ms` is the latency without a queue. A request
    waits with the probability of Erlang's C, and longer than t with this probability times
    exp(−2 (most − rate) t), the limit of heavy traffic (Köllerström, "Heavy traffic theory for
    queues with several servers", 1974). The rate is 0.1 to 0.95 of `most`.
    """
    may_wait = (goal.bound_ms - alone_ms) / 1000
    may_break = 1 - float(goal.percentile.removeprefix("p")) / 100
    for share in range(95, 10, -1):
        spare = most * (1 - share / 100)
        if waits(instances, share / 100) * math.exp(-2 * spare * may_wait) <= may_break:
            return most * share / 100
    return 0.1 * most


def waits(instances: int, busy: float) -> float:
    """The probability that a random arrival waits: Erlang's C, by the recursion of Erlang's B.

    `busy` is the share of the time that each of `instances` works, below 1.
    """
    offered = busy * instances
    blocked = 1.0
    for count in range(1, instances + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return blocked / (1 - busy * (1 - blocked))


def next_rate(tried: Sequence[Tried], goal: Goal, first: float, step: float) -> float | None:
    """The rate to try next for `goal`: above a rate that keeps it, or below one that does not.

    Returns:
        `None` once the highest rate that keeps it, times `step`, reaches a rate that does not.
    """
    kept = highest_kept(tried, goal)
    broken = min((one.rate for one in tried if not one.keeps(goal)), default=None)
    if kept is None:
        return first if broken is None else broken / step
    near = broken is not None and broken <= kept * step * (1 + 1e-9)
    return None if near else kept * step


def highest_kept(tried: Sequence[Tried], goal: Goal) -> float | None:
    """The highest rate that keeps `goal`, of the rates below the lowest that does not.

    A higher rate kept `goal` by chance.
    """
    broken = min((one.rate for one in tried if not one.keeps(goal)), default=math.inf)
    kept = [one.rate for one in tried if one.keeps(goal) and one.rate < broken]
    return max(kept, default=None)


def still_gains(rates: list[float], gain: float) -> bool:
    """Whether the last of `rates`, of growing batches, exceeds the one before by a share `gain`."""
    return len(rates) < 2 or rates[-1] > (1 + gain) * rates[-2]
