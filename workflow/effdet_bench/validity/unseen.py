"""Whether unseen photos take longer than known photos, which exposes modes that cache answers."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from effdet_bench.config.names import UNSEEN_MARK

CERTAINTY = 0.999  # one-sided


class Unseen(NamedTuple):
    """Latency of unseen photos, as a multiple of the latency of known photos (sent before).

    `requests` is the number of requests with an unseen photo. `times` is the multiple, a geometric
    mean over rounds, and `at_least` its lower limit at `CERTAINTY`. Both are `None` if no photo was
    sent twice or no photo was unseen; `at_least` also if there are too few requests. A single slow
    request can raise a mean, so a lower limit above 1 must hold for the ranks of requests too.
    """

    requests: int
    times: float | None
    at_least: float | None


def compare_unseen(rounds: list[pd.DataFrame]) -> Unseen:
    """Compares timed requests of unseen photos with those of photos sent before in the round.

    `rounds` are tables with the rows of `requests.csv`. The method is a two-sample t-test of
    logarithms, blocked by rounds, with the spread of requests within rounds (Montgomery, "Design
    and Analysis of Experiments", ch. 4).
    """
    logs = [_new_and_known(rows) for rows in rounds]
    count = sum(len(new) for new, _ in logs)
    pairs = [(new, known) for new, known in logs if len(new) and len(known)]
    if not pairs:
        return Unseen(count, None, None)
    times = float(np.exp(np.mean([new.mean() - known.mean() for new, known in pairs])))
    degrees = sum(len(new) + len(known) - 2 for new, known in pairs)
    if degrees < 1:
        return Unseen(count, times, None)
    squares = sum(len(one) * one.var() for pair in pairs for one in pair)
    variance = sum(1 / len(one) for pair in pairs for one in pair)
    error = np.sqrt(squares / degrees * variance) / len(pairs)
    at_least = times * np.exp(-stdtrit(degrees, CERTAINTY) * error)
    if at_least > 1:
        at_least = min(at_least, max(1.0, _at_least_by_ranks(pairs)))
    return Unseen(count, times, float(at_least))


def _new_and_known(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of the latencies of a round's unseen photo, and of photos sent before."""
    first = ~rows["photo"].duplicated()
    timed = rows["phase"] == "timed"
    unseen = timed & first & rows["photo"].str.contains(UNSEEN_MARK, regex=False)
    new, known = (np.log(rows["latency_ns"][one]) for one in (unseen, timed & ~first))
    return new.to_numpy(), known.to_numpy()


def _at_least_by_ranks(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """The lower limit that ranks within rounds support; 0 if there are too few requests.

    `pairs` have logarithms of latencies of a round: of its one unseen photo, and of known photos.
    Of the n known photos of a round, some number is faster than the unseen photo. If unseen photos
    took no longer, each number from 0 to n would be equally likely, apart from the extra time that
    the first request of a turn takes. The limit is the largest multiple at which the sum of these
    numbers over rounds is still too large for chance (Lehmann, "Nonparametrics", ch. 2 and 3).

    For example, in each of two rounds the unseen photo is slower than all 40 known photos. Of 41²
    equally likely pairs of numbers, one has a sum of 80, so 80 has a chance of 0.0006, below 0.001.
    All 80 known photos must be faster, so the limit is the smallest of the 80 multiples.
    """
    log_multiples = np.sort(np.concatenate([new[0] - known for new, known in pairs]))
    chances = np.ones(1)  # of a sum of exactly 0, 1, 2, …
    for _, known in pairs:
        chances = np.convolve(chances, np.full(len(known) + 1, 1 / (len(known) + 1)))
    at_least = np.cumsum(chances[::-1])[::-1]  # chances of a sum of at least 0, 1, 2, …
    needed = int(np.searchsorted(-at_least, CERTAINTY - 1))
    return float(np.exp(log_multiples[-needed])) if needed < len(chances) else 0.0
