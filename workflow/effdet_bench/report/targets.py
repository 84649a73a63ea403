"""Which modes meet the targets of the settings, by percentiles that their requests support."""

from typing import Any

from effdet_bench.summary.rows import Row, latency_of

KEPT = ("at_p90", "at_p50", "p90_open")


def latency_targets(valid: list[Row], targets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each of `targets`, {use, milliseconds}, with the `valid` modes that keep it: at p90, at p50
    alone, or at p50 with too few requests to say so of p90.
    """
    return [
        target
        | {kept: [r for r in valid if _kept(r, target["milliseconds"]) == kept] for kept in KEPT}
        for target in targets
    ]


def throughput_targets(valid: list[Row], rates: list[float]) -> list[dict[str, Any]]:
    """Each of `rates`, in requests per second, with the `valid` modes that reach it."""
    return [
        {"rate": rate, "reached": [r for r in valid if latency_of(r)["throughput_rps"] >= rate]}
        for rate in rates
    ]


def _kept(row: Row, target_ms: float) -> str | None:
    """How `row` keeps a target, one of `KEPT`; `None` if it does not."""
    percentiles = latency_of(row)["percentiles"]
    p50, p90 = percentiles["p50"], percentiles["p90"]
    if p90["supported"] and p90["ms"] <= target_ms:
        return "at_p90"
    if not p50["supported"] or p50["ms"] > target_ms:
        return None
    return "at_p50" if p90["supported"] else "p90_open"
