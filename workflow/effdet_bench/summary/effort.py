"""Means of the machine's counters over requests, and how far they explain the latencies."""

import numpy as np
import pandas as pd

from effdet_bench.summary.comparison import first_of_turns
from effdet_bench.summary.jobs import Job
from effdet_bench.summary.rows import Effort

# counters of the machine during a request that may explain its latency
CAUSES = ("minor_faults", "major_faults", "preempted", "other_ns", "steal_ns", "clock_khz")
LEAST_REQUESTS = 20  # with fewer, so many causes would explain any noise


def mean_effort(completed: list[Job]) -> Effort | None:
    """Means over all timed requests; `None` if no round completed."""
    if not completed:
        return None
    rows = pd.concat([job.timed_rows.assign(round=job.record["round"]) for job in completed])
    spread, explained = spread_explained(rows)
    steal = _values(rows, "steal_ns")
    first = first_of_turns({job.record["round"]: job.turns for job in completed})
    return {
        "cpu_ms": float(_values(rows, "cpu_ns").mean()) / 1e6,
        "kernel_ms": float(_values(rows, "kernel_ns").mean()) / 1e6,
        "minor_faults": float(_values(rows, "minor_faults").mean()),
        "major_faults": float(_values(rows, "major_faults").mean()),
        "preempted": float(_values(rows, "preempted").mean()),
        "other_ms": float(_values(rows, "other_ns").mean()) / 1e6,
        "steal_ms": None if np.isnan(steal).any() else float(steal.mean()) / 1e6,
        "first_of_turn": first and first._asdict(),
        "spread": spread,
        "explained": explained,
    }


def spread_explained(rows: pd.DataFrame) -> tuple[float | None, float | None]:
    """Spread of the latencies in `rows`, and the share of its variance that the machine explains.

    Latencies are divided by the mean of their photo and then by that of their round, so that
    differences between photos or rounds do not count. The spread is their standard deviation. The
    share is the adjusted coefficient of determination of a linear regression on `CAUSES` (Theil,
    "Economic forecasts and policy", 1961), at least 0.

    Returns:
        Spread and share; both are `None` for fewer than `LEAST_REQUESTS` requests.
    """
    n = len(rows)
    if n < LEAST_REQUESTS:
        return None, None
    ratios = rows["latency_ns"].astype(float)
    for key in ("photo", "round"):
        ratios = ratios / ratios.groupby(rows[key]).transform("mean")
    causes = np.nan_to_num(np.column_stack([_values(rows, cause) for cause in CAUSES]))
    causes = causes[:, causes.std(axis=0) > 0]
    spread = float(ratios.std(ddof=1))
    known = np.column_stack([np.ones(n), (causes - causes.mean(axis=0)) / causes.std(axis=0)])
    fitted = known @ np.linalg.lstsq(known, ratios.to_numpy(), rcond=None)[0]
    total = float(((ratios - ratios.mean()) ** 2).sum())
    free = n - 1 - causes.shape[1]
    if total == 0 or free < 1:
        return spread, None
    left = float(((ratios - fitted) ** 2).sum())
    return spread, max(0.0, 1 - left / free / (total / (n - 1)))


def _values(rows: pd.DataFrame, column: str) -> np.ndarray:
    """The `column` as numbers, NaN where the system did not tell."""
    return pd.to_numeric(rows[column], errors="coerce").to_numpy(float)
