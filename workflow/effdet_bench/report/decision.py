"""Which modes lead, how sure that is, and what accuracy they cost."""

from typing import Any

from effdet_bench.report.numbers import percent
from effdet_bench.report.words import around, name
from effdet_bench.summary.rows import Row


def tied(valid: list[Row]) -> list[Row]:
    """The `valid` modes, fastest first, that were not shown to be slower than the fastest."""
    return [row for row in valid[1:] if not row["behind"] or row["behind"]["verdict"] != "FASTER"]


def accuracy_cost(worst: dict[str, Any] | None) -> str:
    """What answers differ by from those of the reference, by the `worst` figures of all models."""
    if worst is None:
        return "its detections were not compared"
    moved = worst["box_drift_px"]
    found = f"it finds at least {percent(worst['matched'])} of the reference's detections"
    return f"{found}, and moves their boxes by up to {moved:.1f} px" if moved >= 0.05 else found


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
        times = _times_behind(valid[1])
        return f"Sure on this machine: it is {times} as fast as the next mode, {name(valid[1])}."
    ties = " and ".join(f"{name(row)} ({_times_behind(row)} as fast)" for row in found)
    why = "The difference is uncertain, or within this machine's noise."
    return f"Not sure: it ties with {ties}. {why}"


def _times_behind(row: Row) -> str:
    """How many times as fast as `row` the fastest mode is, with its interval."""
    return around(row["behind"]) if row["behind"] else "no round in common"
