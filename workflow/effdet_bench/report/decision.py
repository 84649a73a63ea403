"""What a report advises: which modes lead, what accuracy they cost, which mode fits a use."""

from collections.abc import Callable
from typing import Any, TypedDict

from effdet_bench.report.capacity import best_capacity
from effdet_bench.report.words import around, mebibytes, milliseconds, name, percent, seconds
from effdet_bench.summary.rows import Row, latency_of, p50


class Advice(TypedDict):
    """The mode for a use, and the next best one, each with the figure that decided.

    `choice` and `runner_up` are in words. Both say so where no mode can be named.
    """

    use: str
    choice: str
    runner_up: str


def tied(valid: list[Row]) -> list[Row]:
    """The `valid` modes, fastest first, that were not shown to be slower than the fastest."""
    return [row for row in valid[1:] if not row["behind"] or row["behind"]["verdict"] != "FASTER"]


def accuracy_cost(worst: dict[str, Any] | None) -> str:
    """What answers differ by from those of the reference, by the `worst` figures of all models."""
    if worst is None:
        return "its detections were not compared"
    moved = worst["box_drift_px"]
    found = f"it finds {percent(worst['matched'])} of the reference's detections"
    return f"{found}, and moves their boxes by up to {moved:.1f} px" if moved >= 0.05 else found


def advice(valid: list[Row], load: dict[str, Any] | None) -> list[Advice]:
    """A mode for each use, of `valid` modes whose median enough requests support."""
    known = [row for row in valid if latency_of(row)["percentiles"]["p50"]["supported"]]
    exact = [row for row in known if row["precision"] == "fp32"]
    return [
        _least("Lowest latency", known, p50, milliseconds),
        _least("Lowest latency in fp32, without loss of accuracy", exact, p50, milliseconds),
        *_under_load(load),
        _least("Least memory", known, _memory, mebibytes),
        _least("Shortest start, to the first answer", known, _start, seconds),
    ]


def _least(
    use: str, rows: list[Row], figure: Callable[[Row], float], words: Callable[[float], str]
) -> Advice:
    ordered = [f"{name(row)}: {words(figure(row))}" for row in sorted(rows, key=figure)]
    none = "no valid mode has enough requests to support a median"
    return {
        "use": use,
        "choice": ordered[0] if ordered else none,
        "runner_up": ordered[1] if len(ordered) > 1 else "–",
    }


def _under_load(load: dict[str, Any] | None) -> list[Advice]:
    if not load or not load["sustained"]:
        return [
            {
                "use": "Most requests a second within a bound",
                "choice": "not measured: `snakemake --cores 1 load` measures it",
                "runner_up": "–",
            }
        ]
    lines: list[Advice] = []
    for bound, percentile, best, found in load["sustained"]:
        others = [mode for mode in load["modes"] if mode is not best]
        second = best_capacity(others, bound, percentile)
        lines.append(
            {
                "use": f"Most requests a second within {bound:g} ms at {percentile}",
                "choice": _sustained(best, found),
                "runner_up": _sustained(*second) if second else "–",
            }
        )
    return lines


def _sustained(mode: Any, capacity: dict[str, Any]) -> str:
    return f"{name(mode)}: {capacity['rate']:.2f}/s"


def _memory(row: Row) -> float:
    """Peak bytes of the process, and on its device."""
    return (row["peak_rss_bytes"] or 0) + (row["peak_device_bytes"] or 0)


def _start(row: Row) -> float:
    """Seconds from the start of the process to the end of the first request."""
    load = (row["import_seconds"] or 0) + (row["load_seconds"] or 0)
    return load + (row["first_request_ms"] or 0) / 1e3


def standing_of(valid: list[Row]) -> str:
    """How sure the first place of `valid` is, in a sentence."""
    if len(valid) < 2:
        return "It is the only valid mode."
    if all(row["behind"] is None or row["behind"]["low"] is None for row in valid[1:]):
        return "One round cannot tell modes apart: measure several (`rounds` in config.yaml)."
    found = tied(valid)
    if not found:
        compared = f"{name(valid[1])}: {_times_behind(valid[1])}"
        return f"It is faster than the next mode in the same rounds ({compared})."
    ties = ", ".join(f"{name(row)} ({_times_behind(row)})" for row in found)
    return f"It ties with {ties}: the difference is uncertain, or not above this machine's noise."


def _times_behind(row: Row) -> str:
    """How many times as fast as `row` the fastest mode is, with its interval."""
    return around(row["behind"]) if row["behind"] else "no round in common"
