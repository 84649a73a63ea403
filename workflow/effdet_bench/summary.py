"""Every number of a report, computed from the raw data of its timing jobs.

`summarise` is a pure function; `read_jobs` and `run` are its files.
"""

import argparse
import itertools
import statistics as std
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from effdet_bench import records
from effdet_bench.errors import BenchError
from effdet_bench.statistics import describe

FLOOR_ENGINE = "invalid"
MODEL_STAGES = ("preprocess", "forward", "postprocess")


@dataclass(frozen=True)
class Job:
    """One timing job: its record and its raw rows, as the data contract in the README has them."""

    record: dict
    requests: pd.DataFrame
    stages: pd.DataFrame

    @property
    def timed(self) -> list[int]:
        """Latencies of the timed requests in nanoseconds, in the order in which they happened."""
        return self.requests.loc[self.requests["phase"] == "timed", "latency_ns"].tolist()


def read_jobs(folders: Iterable[str | Path]) -> list[Job]:
    """Reads the folders of timing jobs.

    Raises:
        BenchError: a file is missing or is not what the data contract says.
    """
    return [_read_job(Path(folder)) for folder in folders]


def summarise(jobs: list[Job]) -> dict:
    """The summary of one machine's `jobs`, which share an ensemble and settings.

    Rows come in the order of the jobs, one per device and mode. Figures are of all timed requests
    of the completed rounds; speed-ups are against `baseline` on the first device that has it.

    Raises:
        BenchError: jobs disagree about machine or ensemble.
    """
    first = jobs[0].record
    for job in jobs:
        for key in ("machine", "ensemble"):
            if job.record[key] != first[key]:
                raise BenchError(
                    f"jobs disagree about {key}: {_label(job.record)} and {_label(first)} were not "
                    "measured alike; run snakemake again."
                )
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.record["device"], job.record["mode"]), []).append(job)
    rows = [_row(group) for group in groups.values()]
    baseline = next((r for r in rows if r["mode"] == "baseline" and r["latency"]), None)
    for row in rows:
        ranked = baseline and row["latency"] and not row["floor"]
        row["speedup"] = _speedup(row, baseline) if ranked else None
    return {
        "machine": first["machine"],
        "ensemble": first["ensemble"],
        "requests": first["requests"],
        "warmup": first["warmup"],
        "rounds": max(job.record["round"] for job in jobs),
        "threads": first["threads"],
        "started": min(job.record["started"] for job in jobs),
        "versions": first["versions"],
        "baseline": place(baseline) if baseline else None,
        "gaps": _gaps(rows, baseline),
        "rows": rows,
    }


def to_table(summary: dict) -> pd.DataFrame:
    """The rows of a summary as a flat table, one line per device and mode."""
    lines = []
    for row in summary["rows"]:
        latency, speedup = row["latency"] or {}, row["speedup"] or {}
        line = {key: row[key] for key in ("device", "mode", "engine", "outcome", "reason")}
        line |= {k: latency.get(k) for k in ("n", "mean_ms", "sd_ms", "min_ms", "max_ms")}
        for name, found in latency.get("percentiles", {}).items():
            line |= {f"{name}_ms": found["ms"], f"{name}_supported": found["supported"]}
        line["throughput_rps"] = latency.get("throughput_rps")
        line |= {f"speedup_{key}": speedup.get(key) for key in ("p50", "mean")}
        line |= {key: row[key] for key in ("load_seconds", "first_request_ms", "peak_rss_bytes")}
        lines.append(line)
    return pd.DataFrame(lines)


def p50(row: dict) -> float:
    """The median latency of a summary's row in milliseconds."""
    return row["latency"]["percentiles"]["p50"]["ms"]


def place(row: dict) -> dict:
    """Device and mode of a summary's row."""
    return {"device": row["device"], "mode": row["mode"]}


def _row(group: list[Job]) -> dict:
    completed = [job for job in group if job.record["outcome"] == "completed"]
    others = [job.record for job in group if job.record["outcome"] != "completed"]
    record = group[0].record
    latencies = [latency for job in completed for latency in job.timed]
    return {
        "device": record["device"],
        "mode": record["mode"],
        "engine": record["engine"],
        "engine_version": completed[0].record["engine_version"] if completed else None,
        "options": record["options"],
        "floor": record["engine"] == FLOOR_ENGINE,
        "outcome": others[0]["outcome"] if others else "completed",
        "reason": others[0]["reason"] if others else None,
        "rounds_completed": len(completed),
        "latency": describe(latencies) if latencies else None,
        "rounds": [_round(job) for job in completed],
        "stages": _stages(completed),
        **_costs(completed),
    }


def _round(job: Job) -> dict:
    return {"round": job.record["round"], "started": job.record["started"], **describe(job.timed)}


def _costs(completed: list[Job]) -> dict:
    """What a process pays once: medians over rounds, for memory the largest."""
    if not completed:
        names = ("import_seconds", "load_seconds", "first_request_ms", "peak_rss_bytes")
        return dict.fromkeys((*names, "peak_device_bytes"))
    kept = [job.record for job in completed]
    on_device = [record["peak_device_bytes"] for record in kept]
    return {
        "import_seconds": std.median(record["import_seconds"] for record in kept),
        "load_seconds": std.median(record["load_seconds"] for record in kept),
        "first_request_ms": std.median(job.requests["latency_ns"].iloc[0] for job in completed)
        / 1e6,
        "peak_rss_bytes": max(record["peak_rss_bytes"] for record in kept),
        "peak_device_bytes": None if None in on_device else max(on_device),
    }


def _stages(completed: list[Job]) -> dict | None:
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


def _gaps(rows: list[dict], baseline: dict | None) -> list[dict]:
    """How far apart, as ratios of p50, baseline, fastest valid mode and floor are."""
    valid = [row for row in rows if row["latency"] and not row["floor"]]
    if not valid:
        return []
    fastest = min(valid, key=p50)
    floors = [r for r in rows if r["latency"] and r["floor"] and r["device"] == fastest["device"]]
    steps = [fastest, *floors[:1]]
    if baseline and baseline is not fastest:
        steps.insert(0, baseline)
    return [
        {"slower": place(a), "faster": place(b), "ratio": p50(a) / p50(b)}
        for a, b in itertools.combinations(steps, 2)
    ]


def _speedup(row: dict, baseline: dict) -> dict:
    """How many times faster `row` is than `baseline`, by several figures."""
    ours, theirs = row["latency"], baseline["latency"]
    ratios = {
        name: theirs["percentiles"][name]["ms"] / ours["percentiles"][name]["ms"]
        for name in ours["percentiles"]
    }
    ratios["mean"] = theirs["mean_ms"] / ours["mean_ms"]
    ratios["throughput"] = ours["throughput_rps"] / theirs["throughput_rps"]
    return ratios


def _read_job(folder: Path) -> Job:
    record = records.read_json(folder / "job.json", "job")
    frames = []
    for name, columns in records.RAW_COLUMNS.items():
        path = folder / name
        try:
            frame = pd.read_csv(path, keep_default_na=False, dtype={columns[-1]: "int64"})
        except (OSError, ValueError) as error:
            raise BenchError(f"{path} cannot be read ({error}): run this timing again.") from None
        if list(frame.columns) != columns:
            raise BenchError(f"{path} has the columns {list(frame.columns)}, not {columns}.")
        frames.append(frame)
    job = Job(record, *frames)
    if record["outcome"] == "completed" and len(job.timed) != record["requests"]:
        raise BenchError(
            f"{folder / 'requests.csv'} has {len(job.timed)} timed requests, but job.json says "
            f"{record['requests']}: run this timing again."
        )
    return job


def _label(record: dict) -> str:
    return f"{record['device']} {record['mode']} round {record['round']}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", nargs="+", required=True, help="folders of timing jobs")
    parser.add_argument("--json", required=True, help="summary.json to write")
    parser.add_argument("--csv", required=True, help="summary.csv to write")


def run(args: argparse.Namespace) -> None:
    summary = summarise(read_jobs(args.jobs))
    records.write_text(args.csv, to_table(summary).to_csv(index=False))
    records.write_json(args.json, summary, "summary")
