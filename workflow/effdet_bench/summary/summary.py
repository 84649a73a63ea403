"""Computes every number of a report from the archive of a machine.

`summarise` is a pure function; `run` reads and writes its files.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from effdet_bench import records
from effdet_bench.config.names import BASELINE, CONTROL, NO_NETWORK
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive
from effdet_bench.records import Record
from effdet_bench.summary.breakdown import (
    break_even,
    held_together,
    physical_ms,
    stage_medians,
    start_costs,
)
from effdet_bench.summary.comparison import Comparison
from effdet_bench.summary.effort import mean_effort
from effdet_bench.summary.jobs import Job, latencies_by_round, read_jobs
from effdet_bench.summary.latency import describe, percentile_interval
from effdet_bench.summary.rows import (
    AND,
    Bound,
    Latency,
    RoundLatency,
    Row,
    Start,
    Summary,
    Warned,
    p50,
    place,
)
from effdet_bench.summary.sets import mode_sets
from effdet_bench.summary.stability import Round, find_doubts, tukey_outliers
from effdet_bench.summary.verdicts import Pairs, ablation_steps, add_verdicts

INTERVALS = {"p50": 50, "p90": 90}
JUDGED = ("verdict", "failed", "reason", "tolerance", "models", "unseen", "accuracy")


def summarise(
    jobs: list[Job], validity: list[Record], rooflines: list[Record], ablation: Sequence[str] = ()
) -> Summary:
    """The summary of one machine's `jobs`, which share an ensemble and settings.

    Rows come in the order of the jobs, one per device and mode. Figures are of all timed requests
    of the completed rounds. Only rows with valid answers are ranked. They are compared with
    `baseline` on the first device that has it. `validity` and `rooflines` are records of the steps
    `validity` and `roofline`. `ablation` names modes that each add a technique to the one before.

    Raises:
        BenchError: jobs disagree about machine, ensemble, or how long to serve.
    """
    first = jobs[0].record
    _check_alike(jobs)
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.record["device"], job.record["mode"]), []).append(job)
    judged = {(record["device"], record["mode"]): record for record in validity}
    roofs = {record["device"]: record for record in rooflines}
    rows = [_row(group, judged[key]) for key, group in groups.items()]
    baseline = next((row for row in rows if row["mode"] == BASELINE and row["ranked"]), None)
    pairs = Pairs(rows, latencies_by_round(jobs))
    add_verdicts(rows, baseline, pairs)
    for row in rows:
        row["bound"] = _bound(row, roofs.get(row["device"]))
        row["break_even_requests"] = break_even(row, baseline) if baseline else None
    return {
        "machine": first["machine"],
        "ensemble": first["ensemble"],
        "seconds": first["seconds"],
        "requests": min(job.record["requests"] for job in jobs),
        "warmup": first["warmup"],
        "rounds": min(map(len, groups.values())),
        "threads": first["threads"],
        "seed": first["seed"],
        "started": min(job.record["started"] for job in jobs),
        "versions": _versions(jobs),
        "code": _code(jobs, validity),
        "baseline": place(baseline) if baseline else None,
        "rooflines": rooflines,
        "held_bytes": held_together(jobs),
        "sets": mode_sets(jobs, pairs),
        "ablation": [
            step for device in roofs for step in ablation_steps(rows, pairs, device, ablation)
        ],
        "rows": rows,
    }


def to_table(summary: Summary) -> pd.DataFrame:
    """The rows of a summary as a flat table, one line per device and mode."""
    lines = []
    for row in summary["rows"]:
        latency: Any = row["latency"] or {}
        versus: Any = row["comparison"] or {}
        bound: Any = row["bound"] or {}
        figures: Any = row
        line = {key: figures[key] for key in ("device", "mode", "engine", "outcome", "reason")}
        line["validity"] = row["validity"]["verdict"]
        line |= {k: latency.get(k) for k in ("n", "mean_ms", "sd_ms", "min_ms", "max_ms")}
        for name, percentile in latency.get("percentiles", {}).items():
            line |= {f"{name}_{key}": percentile[key] for key in percentile if key != "needs"}
        line["throughput_rps"] = latency.get("throughput_rps")
        line |= {f"speedup_{k}": versus.get(k) for k in Comparison._fields[:3]}
        line["verdict"] = versus.get("verdict")
        line |= {key: bound.get(key) for key in ("bound_ms", "request_over_bound")}
        line |= {key: figures[key] for key in (*Start.__annotations__, "break_even_requests")}
        if row["effort"]:
            line |= {f"request_{key}": value for key, value in row["effort"].items()}
            first = row["effort"]["first_of_turn"]
            line["request_first_of_turn"] = first and first["ratio"]
        line["doubts"] = " ".join(doubt["kind"] for doubt in row["doubts"])
        lines.append(line)
    return pd.DataFrame(lines)


def _check_alike(jobs: list[Job]) -> None:
    def told(job: Job) -> dict[str, Any]:
        keys = ("model", "architecture", "classes", "weights", "sha256")
        weights = [[entry[key] for key in keys] for entry in job.record["ensemble"]]
        return {**job.record, "ensemble": weights}

    first = told(jobs[0])
    for job in jobs:
        for key in ("machine", "ensemble", "seconds"):
            if told(job)[key] != first[key]:
                raise BenchError(
                    f"jobs disagree about {key}: {job.label} and {jobs[0].label} were not measured "
                    "alike; run `snakemake --cores 1 --config again=true`."
                )


def _versions(jobs: list[Job]) -> dict[str, str]:
    """Versions of the environment that the run itself is in, all where rounds had different ones.

    A new version makes a run repeat the rounds that it concerns. So versions differ only where
    someone brought rounds together by hand.
    """
    own = [job.record["versions"] for job in jobs if not job.record["python"]]
    return _joined((package, version) for one in own for package, version in one.items())


def _code(jobs: list[Job], validity: list[Record]) -> dict[str, str]:
    """Commit and digests of the code that measured and judged; empty for older archives."""
    found = []
    for job in jobs:
        code = job.record.get("code", {})
        if code.get("commit"):
            found.append(("commit", code["commit"] + (" with changes" if code["changed"] else "")))
        if code:
            found.append(("harness", code["harness"]))
            found.append((f"engine {job.record['engine']}", code["engine"]))
    found += [("judge", record["judge"]) for record in validity if "judge" in record]
    return _joined(found)


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The values of each key, once each, in their order."""
    found: dict[str, dict[str, None]] = {}
    for key, value in pairs:
        found.setdefault(key, {})[value] = None
    return {key: AND.join(values) for key, values in found.items()}


def _row(group: list[Job], judged: Record) -> Row:
    """The row of one mode's jobs, before it is compared with others."""
    completed = [job for job in group if job.completed]
    others = [job.record for job in group if not job.completed]
    record = group[0].record
    floor, twin = record["engine"] == NO_NETWORK, record["mode"] == CONTROL
    return {
        "device": record["device"],
        "mode": record["mode"],
        "engine": record["engine"],
        "engine_version": completed[0].record["engine_version"] if completed else None,
        "precision": completed[0].record["precision"] if completed else None,
        "options": record["options"],
        "env": record["env"],
        "python": record["python"],
        "groups": max(job.record["groups"] for job in group),
        "drift": 1.0,
        "effort": mean_effort(completed),
        "floor": floor,
        "twin": twin,
        "ranked": bool(completed) and judged["verdict"] == "valid" and not floor and not twin,
        "outcome": others[0]["outcome"] if others else "completed",
        "reason": others[0]["reason"] if others else None,
        "rounds_completed": len(completed),
        "validity": {key: judged.get(key) for key in JUDGED},
        "latency": _latency(completed) if completed else None,
        "rounds": [_round(job) for job in completed],
        "doubts": _doubts(completed) if completed else [],
        "stages": stage_medians(completed),
        **start_costs(completed),
        "comparison": None,
        "over_tuned": None,
        "behind": None,
        "bound": None,
        "break_even_requests": None,
    }


def _latency(completed: list[Job]) -> Latency:
    """Figures of all timed requests, with intervals on the percentiles that they support."""
    rounds = [list(job.turns.values()) for job in completed]
    latency = describe([turn for turns in rounds for turn in turns])
    latency["outliers"] = tukey_outliers([one for job in completed for one in job.timed])
    for name, percent in INTERVALS.items():
        found = percentile_interval(rounds, percent)
        if found and latency["percentiles"][name]["supported"]:
            latency["percentiles"][name] |= {"low_ms": found[0] / 1e6, "high_ms": found[1] / 1e6}
    return latency


def _round(job: Job) -> RoundLatency:
    figures = describe(list(job.turns.values()))
    return {"round": job.record["round"], "started": job.record["started"], **figures}


def _doubts(completed: list[Job]) -> list[Warned]:
    return find_doubts(
        [
            Round(
                job.record["round"],
                job.timed_rows["photo"].tolist(),
                job.timed,
                job.record["conditions"],
            )
            for job in completed
        ]
    )


def _bound(row: Row, roof: Record | None) -> Bound | None:
    """The physical bound of a request in the row's precision, and how far above it the row is."""
    if row["latency"] is None or row["floor"] or roof is None or "request" not in roof:
        return None
    bound = roof["request"]["bounds"].get(row["precision"])
    if bound is None:
        return None
    forward = row["stages"]["forward_ms"] if row["stages"] else None
    attainable, least = bound["attainable_ms"], physical_ms(bound)
    return {
        "bound_ms": least,
        "request_over_bound": p50(row) / least,
        "forward_over_bound": forward and forward / least,
        "attainable_ms": attainable,
        "forward_over_attainable": forward and forward / attainable,
    }


def write_summary(summary: Summary, archive: Archive) -> None:
    """Writes summary.json and summary.csv to the archive."""
    kept: Summary = records.rounded(summary)
    records.write_text(archive.summary_table, to_table(kept).to_csv(index=False))
    records.write_json(archive.summary, dict(kept), "summary")


def read_summary(archive: Archive) -> Summary:
    """The summary of the archive.

    Raises:
        BenchError: it is missing, or does not follow its schema.
    """
    summary: Summary = records.read_json(archive.summary, "summary")  # type: ignore[assignment]
    return summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", nargs="+", required=True, help="folders of timing jobs")
    parser.add_argument("--validity", nargs="+", required=True, help="records of `validity`")
    parser.add_argument("--rooflines", nargs="+", required=True, help="records of `roofline`")
    parser.add_argument("--ablation", nargs="*", default=[], help="modes of the ablation, in order")
    parser.add_argument("--results", required=True, help="results/<machine>")


def run(args: argparse.Namespace) -> None:
    summary = summarise(
        read_jobs(args.jobs),
        [records.read_json(path, "validity") for path in args.validity],
        [records.read_json(path, "roofline") for path in args.rooflines],
        args.ablation,
    )
    write_summary(summary, Archive(Path(args.results)))
