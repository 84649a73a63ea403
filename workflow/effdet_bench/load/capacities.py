"""Computes what modes sustain under load, from their recorded requests.

A capacity is the highest rate of Poisson arrivals at which a percentile of latencies stayed within
a latency bound, in a pass that confirmed the rate. Latencies count from the scheduled arrival. No
figure here is computed as 1 ÷ latency.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from effdet_bench import layout, records
from effdet_bench.layout import Archive
from effdet_bench.load.loadgen import read_verdict
from effdet_bench.load.plan import SETTINGS
from effdet_bench.records import Record
from effdet_bench.summary.latency import needed_requests
from effdet_bench.validity.answers import read_captured
from effdet_bench.validity.gate import judge, standards

PERCENTILES = (50, 90, 99)
# times a capacity: from there on, a pass must break the bound. The search asks for 1.2 times, and
# chance may make a lower rate of that.
BEYOND = 1.1


def capacities_of(archive: Archive) -> Record:
    """The figures of every mode of the settings that was put under load in `archive`.

    Raises:
        BenchError: a file is missing or broken.
    """
    asked = set(records.modes_of(records.settings_of(archive)))
    paths = [path for path in archive.load_records() if path.parent.parts[-2:] in asked]
    return {"modes": [_mode(archive, path) for path in paths]}


def _mode(archive: Archive, path: Path) -> Record:
    record = records.read_json(path, "load")
    kept = ("device", "mode", "engine", "setting", "bounds", "outcome", "reason", "unbatched")
    result = {key: record[key] for key in kept}
    result |= {"no_energy": record["no_energy"], "energy": _energy(record["passes"])}
    if not record["passes"]:
        return result | {"passes": [], "most": None, "capacities": [], "answers": None}
    rows = records.read_table(path.parent / layout.LOADED, records.LOAD_COLUMNS)
    passes = [
        _pass(path.parent, one, rows[rows["pass"] == one["pass"]]) for one in record["passes"]
    ]
    found = [
        _capacity(passes, bound, percentile, SETTINGS[record["setting"]].official)
        for percentile in record["percentiles"]
        for bound in record["bounds"]
    ]
    closed = [one for one in passes if one["kind"] == "closed"]
    most = max(closed, key=lambda one: one["answered_rps"], default=None)
    answers = _answers(archive, path.parent, record, rows) if most else None
    return result | {"passes": passes, "most": most, "capacities": found, "answers": answers}


def _pass(folder: Path, record: Record, rows: pd.DataFrame) -> Record:
    """The figures of one pass, from its `rows` of load.csv; times in milliseconds."""
    shown = ("pass", "kind", "purpose", "name", "instances", "threads", "batch", "clients")
    result = {key: record[key] for key in (*shown, "requests", "rate", "bound_ms") if key in record}
    answered = _answered(rows)
    times = {
        "latency": answered["answered_ns"] - answered["arrived_ns"],
        "queue": answered["taken_ns"] - answered["arrived_ns"],
        "service": answered["ended_ns"] - answered["began_ns"],
    }
    for name, values in times.items():
        result[name] = {
            f"p{p}": float(np.percentile(values, p)) / 1e6 if len(values) else None
            for p in PERCENTILES
        }
    result["lost"] = len(rows) - len(answered)
    result["answered_rps"] = 1e9 * len(answered) / int(rows["answered_ns"].max())
    if "valid" in record:
        folder = folder / layout.LOADGEN / str(record["pass"])
        valid, scheduled, percentiles = read_verdict(folder)
        result |= {"loadgen_valid": valid, "scheduled_rps": scheduled, "loadgen": percentiles}
    if record.get("bound_ms"):
        result["percentile"] = f"p{100 * record['percentile']:g}"
        result["keeps"] = result["loadgen"][result["percentile"]] <= record["bound_ms"]
        result["supported"] = result["requests"] >= needed_requests(100 * record["percentile"])
    return result


def _energy(passes: list[Record]) -> Record | None:
    """Watts while busy and idle, and joules per request; `None` if no pass measured energy."""
    for one in passes:
        if one["kind"] == "energy" and one["reason"] is None:
            watts = {
                f"{state}_watts": {
                    name: counted / one[f"{state}_seconds"]
                    for name, counted in one[f"{state}_joules"].items()
                }
                for state in ("busy", "idle")
            }
            joules = sum(one["busy_joules"].values()) / one["requests"]
            return {"pass": one["pass"], **watts, "joules_per_request": joules}
    return None


def _answered(rows: pd.DataFrame) -> pd.DataFrame:
    """The `rows` whose request was answered: all but those of an instance that died."""
    return rows[rows["answer"] != ""]


def _capacity(passes: list[Record], bound: float, percentile: str, official: bool) -> Record:
    """The confirmed `rate` for a latency bound, or `None`; and the pass `beyond` it.

    If `official`, only passes that LoadGen calls VALID confirm a rate.
    """
    asked = [
        one
        for one in passes
        if one.get("bound_ms") == bound and one.get("percentile") == percentile
    ]
    result: Record = {"bound_ms": bound, "percentile": percentile}
    confirmed = [
        one
        for one in asked
        if one["purpose"] == "confirm" and one["keeps"] and (not official or one["loadgen_valid"])
    ]
    if not confirmed:
        return result | {"rate": None, "confirm": None, "beyond": None, "headroom": None}
    best = max(confirmed, key=lambda one: one["scheduled_rps"])
    rate = best["scheduled_rps"]
    shape = ("instances", "threads", "batch")
    same = [one for one in passes if all(one[key] == best[key] for key in shape)]
    higher = [one for one in asked if one in same and one["scheduled_rps"] >= BEYOND * rate]
    # the pass with most requests is the surest
    beyond = max(higher, key=lambda one: one["requests"], default=None)
    most = max(one["answered_rps"] for one in same if one["kind"] == "closed")
    return result | {
        "rate": rate,
        "confirm": best["pass"],
        "beyond": beyond["pass"] if beyond else None,
        "headroom": 1 - rate / most,
    }


def _answers(archive: Archive, folder: Path, record: Record, rows: pd.DataFrame) -> Record | None:
    """The gate's verdict on the answers of a mode under load; `None` if no timing tells how.

    The gate judges the passes `judged`, in which every instance answers every photo while all
    instances work. Every other answer to a single photo must equal a judged one, to the last bit.
    """
    judged = records.read_json(archive.validity(record["device"], record["mode"]), "validity")
    if "precision" not in judged:
        return None
    references = [archive.reference(model) for model in record["ensemble"]]
    roundings = [layout.reference_rounding(path) for path in references]
    captured = [read_captured(path) for path in sorted((folder / layout.ANSWERS).glob("*"))]
    gate = standards(judged["precision"], references, roundings, captured[0].old)
    verdict = judge(captured, gate.expected, gate.tolerance, gate.roundings)
    kinds = {one["pass"]: one["kind"] for one in record["passes"]}
    detected = _answered(rows[rows["pass"].map(kinds) != "null"])
    own = detected["pass"].map(kinds) == "judged"
    known = set(zip(detected["photo"][own], detected["answer"][own], strict=True))
    others = detected[~own & (detected["batch"] == 1)]
    unknown = sum(pair not in known for pair in zip(others["photo"], others["answer"], strict=True))
    result = {key: verdict[key] for key in ("verdict", "failed", "reason")}
    if unknown and verdict["verdict"] == "valid":
        reason = f"{unknown} of {len(others)} answers are none of those that the gate has judged"
        result = {"verdict": "invalid", "failed": "changed", "reason": reason}
    return result | {"judged": int(own.sum()), "compared": len(others), "unknown": unknown}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", required=True, help="results/<machine>")


def run(args: argparse.Namespace) -> None:
    archive = Archive(Path(args.results))
    result: dict[str, Any] = capacities_of(archive)
    records.write_json(archive.capacities, result, "capacities")
    for mode in result["modes"]:
        for one in mode["capacities"]:
            rate = "no confirmed rate" if one["rate"] is None else f"{one['rate']:.3g}/s"
            goal = f"{one['percentile']} ≤ {one['bound_ms']:g} ms"
            print(f"{mode['device']} {mode['mode']}: {goal}: {rate}")
