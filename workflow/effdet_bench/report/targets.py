"""Which modes meet the targets of the settings, by percentiles that their requests support."""

from typing import Any, TypedDict

from effdet_bench.summary.rows import Row, latency_of


class LatencyTarget(TypedDict):
    """A target in milliseconds, and the modes that keep it at p90, at p50 alone, or at p50 with too
    few requests to say so of p90.
    """

    use: str
    milliseconds: float
    at_p90: list[Row]
    at_p50: list[Row]
    p90_open: list[Row]


class ThroughputTarget(TypedDict):
    """A target in requests per second, and the modes that reach it."""

    rate: float
    reached: list[Row]


def latency_targets(valid: list[Row], targets: list[dict[str, Any]]) -> list[LatencyTarget]:
    """What the `valid` modes make of each of `targets`, {use, milliseconds}."""
    return [
        {
            "use": target["use"],
            "milliseconds": target["milliseconds"],
            "at_p90": [row for row in valid if _standing(row, target) == "at_p90"],
            "at_p50": [row for row in valid if _standing(row, target) == "at_p50"],
            "p90_open": [row for row in valid if _standing(row, target) == "p90_open"],
        }
        for target in targets
    ]


def throughput_targets(valid: list[Row], rates: list[float]) -> list[ThroughputTarget]:
    """Which of the `valid` modes reach each of `rates`, in requests per second."""
    return [
        {
            "rate": rate,
            "reached": [row for row in valid if latency_of(row)["throughput_rps"] >= rate],
        }
        for rate in rates
    ]


def _standing(row: Row, target: Any) -> str | None:
    """What `row` makes of a target: `at_p90`, `at_p50`, `p90_open`, or `None`."""
    percentiles = latency_of(row)["percentiles"]
    p50, p90 = percentiles["p50"], percentiles["p90"]
    if p90["supported"] and p90["ms"] <= target["milliseconds"]:
        return "at_p90"
    if not p50["supported"] or p50["ms"] > target["milliseconds"]:
        return None
    return "at_p50" if p90["supported"] else "p90_open"
