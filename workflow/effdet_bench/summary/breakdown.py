"""Times of the stages of a request, and what a process costs once before its first request."""

import math
from statistics import median

import pandas as pd

from effdet_bench.summary.jobs import Job
from effdet_bench.summary.rows import ModelStages, Row, Stages, Start, p50


def start_costs(completed: list[Job]) -> Start:
    """What a process costs once: medians over rounds, for memory the largest value."""
    if not completed:
        return {
            "import_seconds": None,
            "load_seconds": None,
            "export_seconds": None,
            "first_request_ms": None,
            "peak_rss_bytes": None,
            "peak_device_bytes": None,
        }
    kept = [job.record for job in completed]
    on_device = [record["peak_device_bytes"] for record in kept]
    first_ns = [int(job.requests["latency_ns"].iloc[0]) for job in completed]
    return {
        "import_seconds": median(record["import_seconds"] for record in kept),
        "load_seconds": median(record["load_seconds"] for record in kept),
        "export_seconds": kept[0]["export_seconds"],
        "first_request_ms": median(first_ns) / 1e6,
        "peak_rss_bytes": max(record["peak_rss_bytes"] for record in kept),
        "peak_device_bytes": None if None in on_device else max(on_device),
    }


def held_together(jobs: list[Job]) -> dict[str, int] | None:
    """By device, the most bytes that it held with modes loaded side by side; `None` if unknown.

    Older archives do not have this figure.
    """
    held: dict[str, int] = {}
    for record in (job.record for job in jobs if job.completed):
        told = (record["conditions"]["after"]["gpu"] or {}).get("held_bytes")
        if told is not None:
            held[record["device"]] = max(told, held.get(record["device"], 0))
    return held or None


def stage_medians(completed: list[Job]) -> Stages | None:
    """Median milliseconds per stage and model of the separate pass, and each model's share of it.

    `None` where no completed job had that pass. Medians, because the pass has few requests, and one
    disturbed stage would distort a mean. Outside `models`, a stage is the sum over all models.
    """
    rows = pd.concat([pd.DataFrame(), *(job.stages for job in completed)])
    if rows.empty:
        return None
    medians = rows.groupby(["stage", "model"])["duration_ns"].median() / 1e6
    request = float(medians.sum())
    decode = float(medians["decode", ""])
    names = [entry["model"] for entry in completed[0].record["ensemble"]]
    models = [_of_model(name, medians, request) for name in names]
    return {
        "requests": len(rows[rows["stage"] == "decode"]),
        "decode_ms": decode,
        "decode_share": decode / request,
        "models": models,
        "preprocess_ms": sum(model["preprocess_ms"] for model in models),
        "forward_ms": sum(model["forward_ms"] for model in models),
        "postprocess_ms": sum(model["postprocess_ms"] for model in models),
        "request_ms": request,
    }


def _of_model(name: str, medians: "pd.Series[float]", request: float) -> ModelStages:
    preprocess, forward, postprocess = (
        float(medians[stage, name]) for stage in ("preprocess", "forward", "postprocess")
    )
    total = sum((preprocess, forward, postprocess))
    return {
        "model": name,
        "preprocess_ms": preprocess,
        "forward_ms": forward,
        "postprocess_ms": postprocess,
        "total_ms": total,
        "share": total / request,
    }


def break_even(row: Row, baseline: Row) -> int | None:
    """Requests after which a faster mode has made up for a start that is longer than baseline's.

    The start is export, loading and first request. `None` where requests are not faster, or not
    compared.
    """
    if not row["ranked"] or row["comparison"] is None:
        return None
    saved = (p50(baseline) * row["drift"] - p50(row)) / 1e3
    more = _start_seconds(row) - _start_seconds(baseline)
    return None if saved <= 0 else max(0, math.ceil(more / saved))


def _start_seconds(row: Row) -> float:
    assert row["load_seconds"] is not None and row["first_request_ms"] is not None
    return (row["export_seconds"] or 0) + row["load_seconds"] + row["first_request_ms"] / 1e3


def physical_ms(bounds: dict[str, float]) -> float:
    """The physical bound in milliseconds, by `bounds` of roofline/<device>.json in one precision.

    Older archives do not tell what must be moved once; there it is the time of the operations.
    """
    return max(bounds["compute_ms"], bounds.get("once_ms", 0.0))
