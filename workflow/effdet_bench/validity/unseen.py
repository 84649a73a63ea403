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
    count, pairs = 0, []
    for rows in rounds:
        first = ~rows["photo"].duplicated()
        timed = rows["phase"] == "timed"
        unseen = timed & first & rows["photo"].str.contains(UNSEEN_MARK, regex=False)
        count += int(unseen.sum())
        new, known = (
            np.log(rows["latency_ns"][one]).to_numpy() for one in (unseen, timed & ~first)
        )
        if len(new) and len(known):
            pairs.append((new, known))
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


def _at_least_by_ranks(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """The lower limit that ranks within rounds support; 0 if there are too few requests.

    `pairs` have logarithms of latencies of a round: of its one unseen photo, and of known photos.
    If unseen photos took no longer, each number from 0 to n of the n known photos would be equally
    likely to be faster, apart from the extra time that the first request of a turn takes. The
    limit is the largest multiple at which the sum of these numbers over rounds is still too large
    for chance (Lehmann, "Nonparametrics", ch. 2 and 3).
    """
    differences = np.sort(np.concatenate([new[0] - known for new, known in pairs]))
    sums = np.ones(1)
    for _, known in pairs:
        sums = np.convolve(sums, np.full(len(known) + 1, 1 / (len(known) + 1)))
    beyond = np.cumsum(sums[::-1])[::-1]  # chances of a sum of at least 0, 1, 2, …
    needed = int(np.searchsorted(-beyond, CERTAINTY - 1))
    return float(np.exp(differences[-needed])) if needed < len(sums) else 0.0
