"""Every number of a report, computed from the archive of a machine.

`summarise` is a pure function; `run` is its files.
"""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from effdet_bench import comparison, costs, records
from effdet_bench.errors import BenchError
from effdet_bench.jobs import Job, read_jobs
from effdet_bench.names import BASELINE, FLOOR_ENGINE, TWIN
from effdet_bench.rows import p50, place
from effdet_bench.stability import Round, find_doubts, tukey_outliers
from effdet_bench.statistics import describe, percentile_intervals

INTERVALS = {"p50": 50, "p90": 90}
JUDGED = ("verdict", "failed", "reason", "tolerance", "models", "accuracy")


def summarise(
    jobs: list[Job], validity: list[dict], rooflines: list[dict], ablation: Sequence[str] = ()
) -> dict:
    """The summary of one machine's `jobs`, which share an ensemble and settings.

    Rows come in the order of the jobs, one per device and mode. Figures are of all timed requests
    of the completed rounds. Only rows whose answers are valid are ranked and compared, with
    `baseline` on the first device that has it. `validity` and `rooflines` are the records of those
    steps, `ablation` modes that each add something to the one before.

    Raises:
        BenchError: jobs disagree about machine, ensemble or number of requests.
    """
    first = jobs[0].record
    for job in jobs:
        for key in ("machine", "ensemble", "requests"):
            if job.record[key] != first[key]:
                raise BenchError(
                    f"jobs disagree about {key}: {job.label} and {jobs[0].label} were not measured "
                    "alike; run snakemake again."
                )
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.record["device"], job.record["mode"]), []).append(job)
    judged = {(one["device"], one["mode"]): one for one in validity}
    roofs = {one["device"]: one for one in rooflines}
    rows = [_row(group, judged[key]) for key, group in groups.items()]
    baseline = next((row for row in rows if row["mode"] == BASELINE and row["ranked"]), None)
    rounds = latencies_by_round(jobs)
    _compare(rows, baseline, rounds)
    for row in rows:
        row["bound"] = _bound(row, roofs.get(row["device"]))
        row["break_even_requests"] = baseline and costs.break_even(row, baseline)
    return {
        "machine": first["machine"],
        "ensemble": first["ensemble"],
        "requests": first["requests"],
        "warmup": first["warmup"],
        "rounds": max(job.record["round"] for job in jobs),
        "threads": first["threads"],
        "seed": first["seed"],
        "started": min(job.record["started"] for job in jobs),
        "versions": {k: v for job in jobs for k, v in job.record["versions"].items()},
        "baseline": place(baseline) if baseline else None,
        "rooflines": rooflines,
        "gaps": _gaps(rows, baseline),
        "ablation": [
            step for device in roofs for step in _ablation(rows, rounds, device, ablation)
        ],
        "rows": rows,
    }


def to_table(summary: dict) -> pd.DataFrame:
    """The rows of a summary as a flat table, one line per device and mode."""
    lines = []
    for row in summary["rows"]:
        latency, versus, bound = row["latency"] or {}, row["comparison"] or {}, row["bound"] or {}
        line = {key: row[key] for key in ("device", "mode", "engine", "outcome", "reason")}
        line["validity"] = row["validity"]["verdict"]
        line |= {k: latency.get(k) for k in ("n", "mean_ms", "sd_ms", "min_ms", "max_ms")}
        for name, found in latency.get("percentiles", {}).items():
            line |= {f"{name}_{key}": found[key] for key in found if key != "needs"}
        line["throughput_rps"] = latency.get("throughput_rps")
        line |= {f"speedup_{k}": versus.get(k) for k in comparison.Comparison._fields[:3]}
        line["verdict"] = versus.get("verdict")
        line |= {key: bound.get(key) for key in ("bound_ms", "request_over_bound")}
        line |= {key: row[key] for key in (*costs.OF_START, "break_even_requests")}
        line["doubts"] = " ".join(doubt["kind"] for doubt in row["doubts"])
        lines.append(line)
    return pd.DataFrame(lines)


def _row(group: list[Job], judged: dict) -> dict:
    completed = [job for job in group if job.completed]
    others = [job.record for job in group if not job.completed]
    record = group[0].record
    floor, twin = record["engine"] == FLOOR_ENGINE, record["mode"] == TWIN
    return {
        "device": record["device"],
        "mode": record["mode"],
        "engine": record["engine"],
        "engine_version": completed[0].record["engine_version"] if completed else None,
        "precision": completed[0].record["precision"] if completed else None,
        "options": record["options"],
        "floor": floor,
        "twin": twin,
        "ranked": bool(completed) and judged["verdict"] == "valid" and not floor and not twin,
        "outcome": others[0]["outcome"] if others else "completed",
        "reason": others[0]["reason"] if others else None,
        "rounds_completed": len(completed),
        "validity": {key: judged.get(key) for key in JUDGED},
        "latency": _latency(completed),
        "rounds": [_round(job) for job in completed],
        "doubts": [doubt._asdict() for doubt in _doubts(completed)],
        "stages": costs.stages(completed),
        **costs.of_start(completed),
    }


def _latency(completed: list[Job]) -> dict | None:
    """Figures of all timed requests, with intervals on the percentiles that they support."""
    if not completed:
        return None
    rounds = [job.timed for job in completed]
    pooled = list(itertools.chain.from_iterable(rounds))
    found = describe(pooled) | {"outliers": tukey_outliers(pooled)}
    intervals = percentile_intervals(rounds, list(INTERVALS.values()))
    for name, (low, high) in zip(INTERVALS, intervals or [], strict=False):
        if found["percentiles"][name]["supported"]:
            found["percentiles"][name] |= {"low_ms": low / 1e6, "high_ms": high / 1e6}
    return found


def _round(job: Job) -> dict:
    return {"round": job.record["round"], "started": job.record["started"], **describe(job.timed)}


def _doubts(completed: list[Job]) -> list:
    if not completed:
        return []
    rounds = [
        Round(
            job.record["round"],
            job.timed_rows["photo"].tolist(),
            job.timed,
            job.record["conditions"],
        )
        for job in completed
    ]
    return find_doubts(rounds)


def _bound(row: dict, roof: dict | None) -> dict | None:
    """The bound of a request in the row's precision, and how far above it the row is."""
    if row["latency"] is None or row["floor"] or roof is None or "request" not in roof:
        return None
    found = roof["request"]["bounds"].get(row["precision"])
    return found and {
        **found,
        "request_over_bound": p50(row) / found["bound_ms"],
        "forward_over_bound": row["stages"]["forward_ms"] / found["bound_ms"],
    }


def latencies_by_round(jobs: list[Job]) -> dict[tuple[str, str], dict[int, list[int]]]:
    """Timed latencies of completed jobs, by device and mode, and then by round."""
    rounds: dict[tuple[str, str], dict[int, list[int]]] = {}
    for job in jobs:
        if job.completed:
            key = job.record["device"], job.record["mode"]
            rounds.setdefault(key, {})[job.record["round"]] = job.timed
    return rounds


def _ablation(rows: list[dict], rounds: dict, device: str, modes: Sequence[str]) -> list[dict]:
    """Each of `modes` that is ranked on `device`, and how much faster it is than the one before."""
    ranked = {row["mode"]: row for row in rows if row["ranked"] and row["device"] == device}
    steps: list[dict] = []
    for mode in modes:
        if mode in ranked:
            before = steps[-1]["mode"] if steps else mode
            found = comparison.compare(rounds[device, mode], rounds[device, before])
            step = {"device": device, "mode": mode, "p50_ms": p50(ranked[mode])}
            steps.append(step | {"step": found._asdict() if steps and found else None})
    return steps if len(steps) > 1 else []


def _compare(rows: list[dict], baseline: dict | None, rounds: dict) -> None:
    """Adds to every valid row how it compares with `baseline`, and to its twin with itself.

    A twin is compared with the baseline of its own device: that is the device's noise floor.
    """

    def against(row: dict, device: str) -> comparison.Comparison | None:
        theirs = rounds.get((device, BASELINE), {})
        return comparison.compare(rounds.get((row["device"], row["mode"]), {}), theirs)

    twins = {row["device"]: against(row, row["device"]) for row in rows if row["twin"]}
    noise = {device: found and found.half_width for device, found in twins.items()}
    for row in rows:
        row["comparison"] = row["speedup"] = None
        device = row["device"] if row["twin"] else baseline and baseline["device"]
        if row is baseline or not device or not (row["ranked"] or row["twin"]):
            continue
        found = against(row, device)
        if found is None:
            continue
        least = comparison.margin([noise[d] for d in {device, row["device"]} & noise.keys()])
        verdict = comparison.verdict(found, least)
        row["comparison"] = {**found._asdict(), "margin": least, "verdict": verdict}
        if row["ranked"]:
            row["speedup"] = _speedup(row, baseline)


def _speedup(row: dict, baseline: dict) -> dict:
    """Ratios of `baseline`'s figures to those of `row`, all rounds together."""
    ours, theirs = row["latency"], baseline["latency"]
    ratios = {
        name: theirs["percentiles"][name]["ms"] / ours["percentiles"][name]["ms"]
        for name in ours["percentiles"]
    }
    ratios["mean"] = theirs["mean_ms"] / ours["mean_ms"]
    ratios["throughput"] = ours["throughput_rps"] / theirs["throughput_rps"]
    return ratios


def _gaps(rows: list[dict], baseline: dict | None) -> list[dict]:
    """How far apart, as ratios of p50, baseline, fastest valid mode and floor are."""
    ranked = [row for row in rows if row["ranked"]]
    if not ranked:
        return []
    fastest = min(ranked, key=p50)
    floors = [r for r in rows if r["latency"] and r["floor"] and r["device"] == fastest["device"]]
    steps = [fastest, *floors[:1]]
    if baseline and baseline is not fastest:
        steps.insert(0, baseline)
    return [
        {"slower": place(a), "faster": place(b), "ratio": p50(a) / p50(b)}
        for a, b in itertools.combinations(steps, 2)
        # a fast mode may undercut a floor that postprocesses as upstream does
        if p50(a) >= p50(b)
    ]


def write_summary(summary: dict, results: Path) -> None:
    """Writes summary.json and summary.csv to the archive `results`."""
    summary = records.rounded(summary)
    records.write_text(results / "summary.csv", to_table(summary).to_csv(index=False))
    records.write_json(results / "summary.json", summary, "summary")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", nargs="+", required=True, help="folders of timing jobs")
    parser.add_argument("--validity", nargs="+", required=True, help="records of `validity`")
    parser.add_argument("--rooflines", nargs="+", required=True, help="records of `roofline`")
    parser.add_argument("--ablation", nargs="*", default=[], help="modes, each a step further")
    parser.add_argument("--output", required=True, help="folder of summary.json and summary.csv")


def run(args: argparse.Namespace) -> None:
    summary = summarise(
        read_jobs(args.jobs),
        [records.read_json(path, "validity") for path in args.validity],
        [records.read_json(path, "roofline") for path in args.rooflines],
        args.ablation,
    )
    write_summary(summary, Path(args.output))
