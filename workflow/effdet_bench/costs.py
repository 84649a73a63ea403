"""What a request spends in its stages, and what a process pays once before it serves any."""

import math
import statistics as std

import pandas as pd

from effdet_bench.jobs import Job
from effdet_bench.rows import p50

MODEL_STAGES = ("preprocess", "forward", "postprocess")
OF_START = (
    "import_seconds",
    "load_seconds",
    "export_seconds",
    "first_request_ms",
    "peak_rss_bytes",
    "peak_device_bytes",
)


def of_start(completed: list[Job]) -> dict:
    """What a process pays once: medians over rounds, for memory the largest."""
    if not completed:
        return dict.fromkeys(OF_START)
    kept = [job.record for job in completed]
    on_device = [record["peak_device_bytes"] for record in kept]
    return {
        "import_seconds": std.median(record["import_seconds"] for record in kept),
        "load_seconds": std.median(record["load_seconds"] for record in kept),
        "export_seconds": kept[0]["export_seconds"],
        "first_request_ms": std.median(job.requests["latency_ns"].iloc[0] for job in completed)
        / 1e6,
        "peak_rss_bytes": max(record["peak_rss_bytes"] for record in kept),
        "peak_device_bytes": None if None in on_device else max(on_device),
    }


def stages(completed: list[Job]) -> dict | None:
    """Mean milliseconds per stage and model of the separate pass, and each model's share of it.

    Means, because they add up. Outside `models`, a stage is the sum over all models.
    """
    if not completed:
        return None
    rows = pd.concat([job.stages for job in completed])
    means = rows.groupby(["stage", "model"])["duration_ns"].mean() / 1e6
    request = float(means.sum())
    models = []
    for entry in completed[0].record["ensemble"]:
        name = entry["model"]
        parts = {f"{stage}_ms": float(means[stage, name]) for stage in MODEL_STAGES}
        total = sum(parts.values())
        models.append({"model": name, **parts, "total_ms": total, "share": total / request})
    decode = float(means["decode", ""])
    return {
        "requests": len(rows[rows["stage"] == "decode"]),
        "decode_ms": decode,
        "decode_share": decode / request,
        "models": models,
        **{f"{stage}_ms": sum(model[f"{stage}_ms"] for model in models) for stage in MODEL_STAGES},
        "request_ms": request,
    }


def break_even(row: dict, baseline: dict) -> int | None:
    """Requests after which a row of a summary has saved what its start took more than baseline's.

    The start is export, loading and first request. `None` where no request is saved anything.
    """
    if not row["ranked"] or row["comparison"] is None:
        return None
    saved = (p50(baseline) - p50(row)) / 1e3
    more = _start_seconds(row) - _start_seconds(baseline)
    return None if saved <= 0 else max(0, math.ceil(more / saved))


def _start_seconds(row: dict) -> float:
    return (row["export_seconds"] or 0) + row["load_seconds"] + row["first_request_ms"] / 1e3
