"""Puts one mode under load, as a service on this machine, and records every request.

First, closed loops try every way to split the cores between instances, and sizes of batches. Then
LoadGen's Poisson arrivals find the highest rate that keeps each latency bound, and a longer pass
confirms this rate.
"""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from effdet_bench import layout, records
from effdet_bench.config.names import BASELINE, CONTROL
from effdet_bench.errors import BenchError, Outcome, outcome_of
from effdet_bench.facts.cores import physical_cores
from effdet_bench.load.loadgen import generator
from effdet_bench.load.passes import Passes
from effdet_bench.load.placement import splits
from effdet_bench.load.plan import SETTINGS, Plan
from effdet_bench.progress import tell
from effdet_bench.records import Record
from effdet_bench.summary.rows import Row, Summary, pace
from effdet_bench.timing.job import add_mode_arguments, job_spec, lock_timing
from effdet_bench.worker.spec import JobSpec

FASTEST = 2  # modes that `quick` puts under load besides `baseline`, on each device
LEFT_OUT = {"unbatched": None, "no_energy": None}  # until `Plan.run` returns its reasons


def why_not(summary: Summary, device: str, mode: str, setting: str) -> str | None:
    """Why a mode of `summary` is not put under load; `None` if it is."""
    rows = [row for row in summary["rows"] if row["device"] == device and row["ranked"]]
    valid = [row for row in rows if row["mode"] != CONTROL]
    if mode not in [row["mode"] for row in valid]:
        return "only modes that completed their timing with valid answers are put under load."
    fastest: list[Row] = sorted((r for r in valid if r["mode"] != BASELINE), key=pace)[:FASTEST]
    if setting == "quick" and mode not in [BASELINE, *(row["mode"] for row in fastest)]:
        return f"`quick` is for {BASELINE} and the {FASTEST} fastest valid modes alone."
    return None


def put_under_load(spec: JobSpec, setting: str, bounds: list[float], label: str) -> Record:
    """Runs all passes of the mode of `spec`; raw data go to its folder.

    Returns:
        `outcome`, `reason`, the reasons of `Plan.run`, and the records of the passes, including
        passes before a failure.
    """
    passes = Passes(spec, spec.folder, label)
    outcome, left_out = Outcome("completed", None), LEFT_OUT
    try:
        generator()
        plan = Plan(passes, SETTINGS[setting], splits(physical_cores(), spec.threads))
        left_out = plan.run(bounds)
    except BenchError as error:
        outcome = outcome_of(error)
    finally:
        passes.close()
    records.end_tables(spec.folder, [layout.LOADED])
    ran = [one.record for one in passes.all]
    return {**outcome._asdict(), **left_out, "passes": ran}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_mode_arguments(parser)
    parser.add_argument(
        "--mode", type=json.loads, required=True, help="JSON {name, engine, options, …}"
    )
    parser.add_argument("--setting", choices=SETTINGS, required=True)
    parser.add_argument(
        "--bounds", type=float, nargs="+", required=True, help="latency bounds in milliseconds"
    )
    parser.add_argument("--summary", required=True, help="the record of `summary`")


def run(args: argparse.Namespace) -> None:
    ensemble = [records.read_json(path, "checkpoint") for path in args.records]
    archive = layout.Archive(Path(args.results))
    mode = args.mode["name"]
    spec = job_spec(args, args.mode, ensemble, archive.load(args.device, mode))
    label = f"load, {args.device} {mode}"
    summary: Any = records.read_json(args.summary, "summary")
    result: Record = {**LEFT_OUT, "passes": []}
    bounds = SETTINGS[args.setting].sought(args.bounds)
    reason = why_not(summary, args.device, mode, args.setting)
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    if reason:
        result |= Outcome("unavailable", reason)._asdict()
    else:
        with lock_timing():
            started = datetime.now(UTC).isoformat(timespec="milliseconds")
            result = put_under_load(spec, args.setting, bounds, label)
    record = {
        "machine": args.machine,
        "device": args.device,
        "mode": mode,
        "engine": spec.engine,
        "setting": args.setting,
        "bounds": bounds,
        "percentiles": list(SETTINGS[args.setting].percentiles),
        "threads": args.threads,
        "started": started,
        "ensemble": [entry["model"] for entry in ensemble],
    }
    records.write_json(spec.folder / layout.LOAD_RECORD, record | result, "load")
    if result["outcome"] != "completed" and not reason:
        tell(f"{label} {result['outcome']}: {result['reason']}")
