"""The key finding: which mode leads, how sure that is, and what accuracy it costs."""

from typing import Any

from effdet_bench.report.numbers import brief, percent, significant, times
from effdet_bench.report.words import around, interval, name
from effdet_bench.summary.rows import Row, latency_of, p50
from effdet_runtime.results import MERGED


def key_finding(valid: list[Row], baseline: Row | None) -> str:
    """The report in one sentence, from its `valid` rows, the fastest first.

    It states the ratio of the fastest mode whose verdict is FASTER. If there is none, it says what
    a decision needs.
    """
    if not valid:
        return "No mode gave valid answers on this machine"
    leader = valid[0]
    if baseline is None:
        return f"With {_named(leader)}, {_cost(leader)}"
    for row in valid:
        versus = row["comparison"]
        if versus and versus["verdict"] == "FASTER":
            ratio = f"{times(versus['ratio'])} as fast as {_named(baseline)} ({interval(versus)})"
            return f"{_named(row)} is {ratio}: {_cost(row)}"
    if leader is not baseline and (missing := _missing(leader, baseline)):
        medians = " and ".join(
            f"{_named(row)} takes {brief(p50(row))}" for row in (leader, baseline)
        )
        return f"{medians} at the median, but this run cannot decide which is faster: {missing}"
    only = "" if len(valid) == 1 else ", and no other mode was shown to be faster"
    return f"With {_named(baseline)}, {_cost(baseline)}{only}"


def _named(row: Row) -> str:
    return f"`{row['mode']}` on {row['device'].upper()}"


def _median(row: Row) -> bool:
    """Whether enough requests support the median."""
    return latency_of(row)["percentiles"]["p50"]["supported"]


def _cost(row: Row) -> str:
    latency, needs = latency_of(row), latency_of(row)["percentiles"]["p50"]["needs"]
    doubt = f"which {latency['n']} requests do not support ({needs} are needed), "
    return (
        f"one request takes {brief(p50(row))} at the median, {'' if _median(row) else doubt}"
        f"{significant(latency['throughput_rps'])} requests/s from one process"
    )


def _missing(row: Row, baseline: Row) -> str:
    """What a decision between `row` and `baseline` lacks; empty if it lacks nothing."""
    reasons = [
        f"`{one['mode']}` has {latency_of(one)['n']} requests, and a median needs "
        f"{latency_of(one)['percentiles']['p50']['needs']}"
        for one in (row, baseline)
        if not _median(one)
    ]
    if row["comparison"] is None or row["comparison"]["low"] is None:
        reasons.append("one round gives no interval (`rounds` in config.yaml)")
    return "; ".join(reasons)


def tied(valid: list[Row]) -> list[Row]:
    """The `valid` modes, fastest first, that were not shown to be slower than the fastest."""
    return [row for row in valid[1:] if not row["behind"] or row["behind"]["verdict"] != "FASTER"]


def accuracy_cost(row: Row, worst: dict[str, Any] | None) -> str:
    """What the mode of `row` loses against the reference: of mAP, or where that is not known, of
    detections by the `worst` figures of all models.
    """
    measured = row["validity"]["accuracy"] or []
    known = [one for one in measured if "share" in one and one["model"] != MERGED]
    if known:
        least = min(known, key=lambda one: one["share"])
        share, low, high = (100 * least[key] for key in ("share", "low", "high"))
        of_all = f" of {least['model']}" if len(known) > 1 else ""
        photos = f"{least['photos']:,} photos"
        kept = f"it keeps {share:.1f} % (95 % interval {low:.1f} to {high:.1f} %)"
        return f"{kept} of the reference's mAP{of_all} on {photos}"
    if worst is None:
        return "its detections were not compared"
    moved = worst["box_drift_px"]
    found = f"it finds at least {percent(worst['matched'])} of the reference's detections"
    found += f", and moves their boxes by up to {moved:.1f} px" if moved >= 0.05 else ""
    exact = row["precision"] in ("fp32", "int8")
    return found if exact else f"{found}, because it rounds to {row['precision']}"


def standing_of(valid: list[Row]) -> str:
    """How sure the first place of `valid` is, in a sentence."""
    if len(valid) < 2:
        return "It is the only valid mode."
    if all(row["behind"] is None or row["behind"]["low"] is None for row in valid[1:]):
        return (
            "Not known: one round cannot tell modes apart. Set `rounds` in config.yaml to several."
        )
    found = tied(valid)
    if not found:
        ahead = _times_behind(valid[1])
        return f"Sure on this machine: it is {ahead} as fast as the next mode, {name(valid[1])}."
    ties = " and ".join(f"{name(row)} ({_times_behind(row)} as fast)" for row in found)
    why = "The difference is uncertain, or within this machine's noise."
    return f"Not sure: it ties with {ties}. {why}"


def _times_behind(row: Row) -> str:
    """How many times as fast as `row` the fastest mode is, with its interval."""
    return around(row["behind"]) if row["behind"] else "no round in common"
