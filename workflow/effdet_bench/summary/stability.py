"""Doubts about figures: spread, extremes, drift, dependence, and the machine's condition.

The report shows doubts beside the figures that they concern. Because of a doubt, no figure is
removed or corrected.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from effdet_bench.records import Record
from effdet_bench.summary.rows import Warned

SPREAD = 0.10  # standard deviation, as a share of the mean
EXTREME = 0.50  # distance of a request from the mean, as a share of it
DRIFT = 0.05  # change of the probe's time from before a job's requests to after them
TREND = 0.02  # change of the median within a round that is worth a warning
TREND_REQUESTS = 8  # in a round; with fewer, the test's normal approximation finds trends in noise
SURE = 0.99  # confidence of a trend or dependence that is reported
# Seconds of processor time between two turns of a mode. In modes that do no work outside their
# turns, waiting threads spin for up to 7 ms; the harness waits for 20 ms before the next turn.
OUTSIDE = 0.02
LOAD = 0.05  # share of the machine's processor time that others took
CLOCK = 0.90  # share of the GPU's highest clock
POWER_SAVING = ("powersave", "conservative")

Series = Sequence[float] | np.ndarray  # latencies of a round, in their order


class Round(NamedTuple):
    """The timed requests of one round in their order, and the machine around them.

    `conditions` is what job.json has under that name.
    """

    number: int
    photos: Sequence[str]
    latencies_ns: Sequence[int]
    conditions: Record


def tukey_outliers(latencies: Sequence[float]) -> int:
    """How many latencies lie over 1.5 interquartile ranges outside the quartiles (Tukey, 1977)."""
    low, high = np.percentile(latencies, [25, 75])
    reach = 1.5 * (high - low)
    return int(((latencies < low - reach) | (latencies > high + reach)).sum())


def find_doubts(rounds: Sequence[Round]) -> list[Warned]:
    """Every reason to doubt the figures of a mode that completed `rounds`."""
    found = [*_of_latencies(rounds), *_of_order(rounds)]
    found += _where("drift", rounds, _drift, lambda v: abs(v) >= DRIFT)
    found += _where("load", rounds, lambda c: c["load"]["other"], lambda v: v >= LOAD)
    found += _where("steal", rounds, lambda c: c["load"]["steal"], lambda v: v >= LOAD)
    found += _where("governor", rounds, lambda c: float(_power_saving(c["power"])), bool)
    found += _where("battery", rounds, lambda c: float(bool(c["power"]["on_battery"])), bool)
    # older archives do not have this value
    found += _where("slept", rounds, lambda c: c.get("slept_seconds"), bool)
    found += _where("outside", rounds, _outside, lambda v: v > OUTSIDE)
    found += _where("throttled", rounds, _throttled, bool)
    found += _where("clock", rounds, _clock, lambda v: v < CLOCK)
    return found


def autocorrelation(series: Sequence[Series]) -> tuple[float, float]:
    """Lag-1 autocorrelation pooled over `series`, and the limit that chance stays below.

    Each series is centred by itself. The limit is one-sided at `SURE`, from the normal
    approximation 1/√n of independent values (Box and Jenkins, "Time Series Analysis").
    """
    centred = [np.asarray(values) - np.mean(values) for values in series]
    power = sum(float(values @ values) for values in centred)
    if power == 0:
        return 0.0, float("inf")
    shared = sum(float(values[:-1] @ values[1:]) for values in centred)
    return shared / power, float(ndtri(SURE)) / sum(map(len, centred)) ** 0.5


def trend(series: Sequence[Series]) -> tuple[float, bool]:
    """Change from the first half of a series to the second, and whether the change is sure.

    The change is the ratio of the medians of the halves less 1, and over `series` the median of
    these. The change is sure if the Mann-Kendall test finds a trend at `SURE`, with a statistic
    that is summed over series (Hirsch, Slack and Smith, 1982).
    """
    score = variance = 0.0
    for values in series:
        course = np.asarray(values)
        n = len(course)
        score += sum(float(np.sign(course[i + 1 :] - course[i]).sum()) for i in range(n - 1))
        ties = np.unique(course, return_counts=True)[1]
        variance += (_pairs(n) - sum(map(_pairs, ties))) / 18
    halves = [np.array_split(np.asarray(values), 2) for values in series if len(values) > 1]
    if not halves or variance <= 0:
        return 0.0, False
    change = float(np.median([np.median(late) / np.median(early) - 1 for early, late in halves]))
    z = (abs(score) - 1) / variance**0.5
    return change, z > float(ndtri((1 + SURE) / 2))


def _pairs(n: int) -> float:
    return n * (n - 1) * (2 * n + 5)


def _of_latencies(rounds: Sequence[Round]) -> list[Warned]:
    numbers = [one.number for one in rounds]
    values = np.concatenate([np.asarray(one.latencies_ns, float) for one in rounds])
    mean = values.mean()
    found: list[Warned] = []
    if len(values) > 1 and (spread := values.std(ddof=1) / mean) >= SPREAD:
        found.append({"kind": "spread", "value": float(spread), "rounds": numbers})
    if (extreme := np.abs(values / mean - 1).max()) >= EXTREME:
        found.append({"kind": "extreme", "value": float(extreme), "rounds": numbers})
    return found


def _of_order(rounds: Sequence[Round]) -> list[Warned]:
    """Doubts from the order of requests, after differences between photos are taken out."""
    numbers = [one.number for one in rounds]
    series = _without_photos(rounds)
    found: list[Warned] = []
    correlation, bound = autocorrelation([np.log(values) for values in series])
    if correlation > bound:
        found.append({"kind": "autocorrelation", "value": correlation, "rounds": numbers})
    change, sure = trend([values for values in series if len(values) >= TREND_REQUESTS])
    if sure and abs(change) >= TREND:
        found.append({"kind": "trend", "value": change, "rounds": numbers})
    return found


def _without_photos(rounds: Sequence[Round]) -> list[np.ndarray]:
    """Latencies as ratios to the median of their photo; unchanged if a photo has fewer than 3."""
    by_photo: dict[str, list[float]] = {}
    for one in rounds:
        for photo, latency in zip(one.photos, one.latencies_ns, strict=True):
            by_photo.setdefault(photo, []).append(latency)
    if min(map(len, by_photo.values())) < 3:
        return [np.asarray(one.latencies_ns, float) for one in rounds]
    usual = {photo: float(np.median(values)) for photo, values in by_photo.items()}
    return [
        np.asarray(one.latencies_ns, float) / [usual[photo] for photo in one.photos]
        for one in rounds
    ]


def _where(
    kind: str,
    rounds: Sequence[Round],
    value_of: Callable[[Record], float | None],
    is_bad: Callable[[float], bool],
) -> list[Warned]:
    """A doubt with the worst value, if any round's conditions are bad; unknown ones are not."""
    values = {one.number: value_of(one.conditions) for one in rounds}
    bad = {k: value for k, value in values.items() if value is not None and is_bad(value)}
    if not bad:
        return []
    worst = min(bad.values()) if kind == "clock" else max(bad.values(), key=abs)
    return [{"kind": kind, "value": worst, "rounds": list(bad)}]


def _drift(conditions: Record) -> float | None:
    before, after = (conditions[moment]["probe_ms"] for moment in ("before", "after"))
    return after / before - 1 if before and after else None


def _power_saving(power: Record) -> bool:
    return power["governor"] in POWER_SAVING or bool(power["low_power"])


def _throttled(conditions: Record) -> float:
    moments = (conditions["before"]["gpu"], conditions["after"]["gpu"])
    # older archives do not have these counters
    during = any((conditions.get("slowed_ns") or {}).values())
    return float(during or any(gpu["throttled"] for gpu in moments if gpu))


def _outside(conditions: Record) -> float | None:
    """Seconds of processor time that a mode used between two of its turns."""
    used = conditions.get("outside")  # older archives do not have it
    return used["seconds"] / used["turns"] if used and used["turns"] else None


def _clock(conditions: Record) -> float | None:
    """The clock right after the requests, as a share of the highest; before them a GPU may idle."""
    gpu = conditions["after"]["gpu"] or {}
    now, most = gpu.get("sm_clock_mhz"), gpu.get("sm_clock_max_mhz")
    return float(now / most) if now and most else None
