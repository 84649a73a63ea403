"""How the highest rate that keeps a bound is found: pure functions of what was tried so far."""

from collections.abc import Iterable
from typing import NamedTuple


class Goal(NamedTuple):
    """`percentile` of latencies, such as `p90`, is to stay within `bound_ms`."""

    bound_ms: float
    percentile: str


class Tried(NamedTuple):
    """A pass of Poisson arrivals at `rate` a second, and its percentiles in milliseconds."""

    rate: float
    percentiles: dict[str, float]

    def keeps(self, goal: Goal) -> bool:
        return self.percentiles[goal.percentile] <= goal.bound_ms


def next_rate(tried: Iterable[Tried], goal: Goal, most: float, step: float) -> float | None:
    """The rate to try next for `goal`: bisection between those that keep it and those that do not.

    `most` is a rate that no service can keep for long: what it answers where it always has work.

    Returns:
        `None` once the two are within `step` of `most`.
    """
    low, high = bracket(tried, goal, most)
    return (low + high) / 2 if high - low > step * most else None


def bracket(tried: Iterable[Tried], goal: Goal, most: float) -> tuple[float, float]:
    """The highest rate that keeps `goal` below the lowest that does not, and that one.

    0 and `most` where none was tried. A rate that keeps it above one that does not is chance.
    """
    tried = list(tried)
    high = min([most, *(one.rate for one in tried if not one.keeps(goal))])
    low = max([0.0, *(one.rate for one in tried if one.keeps(goal) and one.rate < high)])
    return low, high


def still_gains(rates: list[float], gain: float) -> bool:
    """Whether the last of `rates`, of ever larger batches, is above the one before by `gain`."""
    return len(rates) < 2 or rates[-1] > (1 + gain) * rates[-2]
