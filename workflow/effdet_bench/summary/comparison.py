"""Compares modes round by round: speed-ups and their confidence intervals."""

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from effdet_bench.summary.latency import percentile

# latencies of requests by turn, and turns of a mode by round
Turns = Mapping[int, Sequence[float]]
Rounds = Mapping[int, Turns]

CONFIDENCE = 0.95


class Comparison(NamedTuple):
    """The speed-up of one mode over another, over the rounds that both modes completed.

    `low` to `high` is the interval of `ratio` at `CONFIDENCE`. `half_width` is the distance from
    `ratio` to `high` as a share of `ratio` (0.03 is 3 %). All three are `None` for a single round,
    which says nothing about noise.
    """

    ratio: float
    low: float | None
    high: float | None
    half_width: float | None
    rounds: int

    @property
    def differs(self) -> bool:
        """Whether the interval excludes 1; false without an interval."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def compare(ours: Rounds, theirs: Rounds, through: Rounds | None = None) -> Comparison | None:
    """Compares latencies by round and turn; a ratio above 1 means that `ours` is faster.

    Both modes served in the same turns. The ratio of a turn is the ratio of the
    medians of its requests. Means would be unfair, because a fast mode has more requests in a turn,
    so its mean would catch more disturbances that hit few requests. The ratio of a round is
    the median over its turns. The result is the geometric mean over rounds, with Student's
    t-interval of the mean of logarithms. The interval counts rounds, because requests of a round
    are not independent (Kalibera and Jones, "Rigorous benchmarking in reasonable time", 2013).
    Modes of different groups have no common turn in a round; there, each mode is compared with
    `through`, which shares turns with both.

    Returns:
        `None` without a common round.
    """
    return _over_rounds(round_ratios(ours, theirs, through))


def through_base(ours: Rounds, theirs: Rounds, base: Rounds) -> Comparison | None:
    """Compares modes of different sets, whose rounds only `base` shares, each with `base`.

    The ratio of their speed-ups over `base`, with the interval of `change`.
    """
    after, before = round_ratios(ours, base), round_ratios(theirs, base)
    return change(before, after) if len(before) and len(after) else None


def round_ratios(ours: Rounds, theirs: Rounds, through: Rounds | None = None) -> np.ndarray:
    """Logarithms of the ratios of the rounds in which `compare` can compare two modes."""
    logs = [
        _round_ratio(ours[k], theirs[k], (through or {}).get(k, {}))
        for k in sorted(ours.keys() & theirs.keys())
    ]
    return np.array([log for log in logs if log is not None])


def only(rounds: Rounds, numbers: Container[int]) -> Rounds:
    """Those of `rounds` whose number is in `numbers`."""
    return {number: turns for number, turns in rounds.items() if number in numbers}


def first_of_turns(rounds: Rounds) -> Comparison | None:
    """How many times as long the first request of a turn takes as the others of that turn.

    A ratio far from 1 would mean that turns favour modes with several requests in a turn. The ratio
    of a round is the median over its turns; rounds are combined as in `compare`.

    Returns:
        `None` where no turn has several requests.
    """
    several = [[turn for turn in turns.values() if len(turn) > 1] for turns in rounds.values()]
    logs = [
        np.median([np.log(turn[0] / np.median(turn[1:])) for turn in turns])
        for turns in several
        if turns
    ]
    return _over_rounds(np.array(logs))


def _round_ratio(ours: Turns, theirs: Turns, through: Turns) -> float | None:
    """The logarithm of a round's ratio; `None` if the modes share turns neither directly nor by
    `through`.
    """
    if ours.keys() & theirs.keys():
        return _turns_ratio(ours, theirs)
    if ours.keys() & through.keys() and theirs.keys() & through.keys():
        return _turns_ratio(ours, through) - _turns_ratio(theirs, through)
    return None


def _turns_ratio(ours: Turns, theirs: Turns) -> float:
    """The median over common turns of the logarithm of a turn's ratio; needs a common turn."""
    common = sorted(ours.keys() & theirs.keys())
    ratios = [np.log(np.median(theirs[turn]) / np.median(ours[turn])) for turn in common]
    return float(np.median(ratios))


def _over_rounds(logs: np.ndarray) -> Comparison | None:
    if len(logs) == 0:
        return None
    ratio = float(np.exp(logs.mean()))
    if len(logs) == 1:
        return Comparison(ratio, None, None, None, 1)
    error = logs.std(ddof=1) / np.sqrt(len(logs))
    width = float(np.exp(stdtrit(len(logs) - 1, (1 + CONFIDENCE) / 2) * error))
    return Comparison(ratio, ratio / width, ratio * width, width - 1, len(logs))


def unpaired(before: Rounds, after: Rounds, confidence: float = CONFIDENCE) -> Comparison:
    """Compares two modes or runs with no common turns; above 1 means that `after` is faster.

    The ratio of geometric means over the medians of rounds, with the interval of `change`.
    """
    return change(-log_medians(before), -log_medians(after), confidence)


def log_medians(rounds: Rounds) -> np.ndarray:
    """Logarithms of the median latencies of rounds, in their order."""
    return np.log([percentile(list(rounds[k].values()), 50) for k in sorted(rounds)])


def change(before: np.ndarray, after: np.ndarray, confidence: float = CONFIDENCE) -> Comparison:
    """The change between two runs of a quantity whose logarithm each round gives.

    Welch's t-interval of the difference of means ("The generalization of Student's problem when
    several different population variances are involved", 1947).
    """
    logs = (before, after)
    ratio = float(np.exp(after.mean() - before.mean()))
    rounds = min(map(len, logs))
    if rounds == 1:
        return Comparison(ratio, None, None, None, 1)
    errors = [one.var(ddof=1) / len(one) for one in logs]
    if sum(errors) == 0:
        return Comparison(ratio, ratio, ratio, 0.0, rounds)
    freedom = sum(errors) ** 2 / sum(
        error**2 / (len(one) - 1) for error, one in zip(errors, logs, strict=True)
    )
    width = float(np.exp(stdtrit(freedom, (1 + confidence) / 2) * np.sqrt(sum(errors))))
    return Comparison(ratio, ratio / width, ratio * width, width - 1, rounds)
