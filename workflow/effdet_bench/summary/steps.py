"""Finds steps in a series of positive figures over time.

The method is PELT with the cost of squared distances from the mean of a segment (Killick, Fearnhead
and Eckley, "Optimal detection of changepoints with a linear computational cost", 2012), in the
implementation of `ruptures`. The unit of the distances is the noise of the series.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import ruptures

# What a step must save of the squared distances. In simulated series of 8 to 40 points without a
# step, with normal noise or Student's noise of 4 degrees of freedom, 1 in 100 series or fewer has
# such a saving.
PENALTY = 60.0
LEAST = 8  # points of a series; in shorter series, the noise is too uncertain
SHORTEST = 2  # points on each side of a step: a single outlier is no step
FAR = 5  # standard deviations of an outlier
MAD = 1.4826  # standard deviation of normal noise, by its median absolute deviation


class Step(NamedTuple):
    """A step of a series: `at` is the index of the first point after it.

    `factor` is the geometric mean after the step, up to the next step, divided by that before.
    """

    at: int
    factor: float


def find_steps(values: Sequence[float], errors: Sequence[float | None] = ()) -> list[Step]:
    """The steps of positive `values`, in their order; none in series of fewer than `LEAST` points.

    `errors` are standard errors of the logarithms, where they are known. The noise is at least as
    large as these.
    """
    series = np.log(np.array(values, float))
    if len(series) < LEAST:
        return []
    noise = max(_noise(series), _known(errors))
    if noise == 0:  # most neighbours are equal, as no measurements are
        return []
    search = ruptures.Pelt(model="l2", min_size=SHORTEST, jump=1)
    ends = search.fit(_without_outliers(series, noise) / noise).predict(pen=PENALTY)
    means = [part.mean() for part in np.split(series, ends[:-1])]
    return [
        Step(int(end), float(np.exp(after - before)))
        for end, before, after in zip(ends[:-1], means, means[1:], strict=False)
    ]


def _without_outliers(series: np.ndarray, noise: float) -> np.ndarray:
    """`series` with the median of itself and its neighbours for each point far from this median.

    A Hampel filter (Pearson, "Outliers in process modeling and identification", 2002): otherwise a
    point far out, with either neighbour, would seem a segment. Steps stay as they are.
    """
    medians = np.median([series[:-2], series[1:-1], series[2:]], axis=0)
    inside = series[1:-1]
    kept = np.where(np.abs(inside - medians) > FAR * noise, medians, inside)
    return np.concatenate([series[:1], kept, series[-1:]])


def _noise(series: np.ndarray) -> float:
    """The standard deviation of a point, by differences of neighbours: few of them cross a step."""
    return float(MAD * np.median(np.abs(np.diff(series))) / np.sqrt(2))


def _known(errors: Sequence[float | None]) -> float:
    """The typical standard error; 0 where none is known."""
    known = [error for error in errors if error is not None]
    return float(np.median(known)) if known else 0.0
