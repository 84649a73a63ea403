"""One round of timing jobs on one device: measures every mode, and leaves a record of each.

Two rounds of one user never overlap on a machine: a lock sees to it, which the measuring processes
inherit where they are forked, so that not even an orphan of a killed run overlaps.
"""

import argparse
import fcntl
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from effdet_bench import records
from effdet_bench.modes import engine_versions, export_of
from effdet_bench.photos import list_photos

# Snakemake sets these to a rule's threads, capped by --cores; the job sets threads from config
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def lock_timing() -> IO[str]:
    """Waits for this user's other timing jobs on this machine; the open file is the lock."""
    path = Path(tempfile.gettempdir()) / f"effdet-bench-{os.getuid()}.lock"
    held = path.open("a+")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for another timing job of this user to end", file=sys.stderr, flush=True)
        fcntl.flock(held, fcntl.LOCK_EX)
    return held


def run_jobs(specs: dict[str, dict], folders: dict[str, Path], seed: str, label: str) -> dict:
    """Measures the modes of `specs` side by side, see `rounds.run_round`, into their `folders`.

    Returns:
        By mode, what was found, with `outcome`, `reason`, and start and length of the round.
        Requests that were measured before a failure stay in `requests.csv`.
    """
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
        for name, columns in records.RAW_COLUMNS.items():
            (folder / f".{name}").write_text(",".join(columns) + "\n")
    for variable in THREAD_VARIABLES:
        os.environ.pop(variable, None)
    with lock_timing():
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        begin = time.monotonic()
        from effdet_bench.rounds import run_round  # and torch, which reads those variables

        imported = time.monotonic() - begin
        found = run_round(specs, folders, seed, label)
        seconds = time.monotonic() - begin
    for folder in folders.values():
        for name in records.RAW_COLUMNS:
            (folder / f".{name}").replace(folder / name)
    for one in found.values():
        one |= {"started": started, "job_seconds": round(seconds, 3)}
        if one["outcome"] == "completed":
            one["import_seconds"] = round(imported, 3)
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--machine", required=True)
    parser.add_argument("--device", required=True, choices=["cpu", "cuda", "mps"])
    parser.add_argument(
        "--modes", type=json.loads, required=True, help="a list of {name, engine, options}"
    )
    parser.add_argument("--round", type=int, required=True)
    parser.add_argument("--rounds", type=int, help="how many there are, for the terminal")
    parser.add_argument("--requests", type=int, required=True, help="timed requests of each mode")
    parser.add_argument("--warmup", type=int, required=True, help="requests before them")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--photos", required=True, help="folder of JPEG files")
    parser.add_argument("--records", nargs="+", required=True, help="records of `verify`")
    parser.add_argument("--checkpoints", nargs="+", required=True, help="files, in that order")
    parser.add_argument("--references", nargs="+", required=True, help="records of `reference`")
    parser.add_argument("--exports", nargs="*", default=[], help="records of `export`")
    parser.add_argument("--seed", type=int, default=0, help="of the order of turns")
    parser.add_argument("--output", required=True, help="folder for DEVICE/MODE/round-ROUND/")


def run(args: argparse.Namespace) -> None:
    ensemble = [records.read_json(path, "checkpoint") for path in args.records]
    common = {
        "device": args.device,
        "round": args.round,
        "models": [
            record | {"file": file, "reference": made}
            for record, file, made in zip(ensemble, args.checkpoints, args.references, strict=True)
        ],
        "photos": [str(path) for path in list_photos(args.photos)],
        "requests": args.requests,
        "warmup": args.warmup,
        "threads": args.threads,
    }
    place = Path(args.output) / args.device
    folders = {mode["name"]: place / mode["name"] / f"round-{args.round}" for mode in args.modes}
    specs = {}
    for mode in args.modes:
        name = (export_of(mode, args.device) or {}).get("name")
        made = [path for path in args.exports if Path(path).parent.name == name]
        specs[mode["name"]] = common | {
            "engine": mode["engine"],
            "options": mode["options"],
            "exports": made,
        }
    label = f"{args.device} round {args.round}" + (f" of {args.rounds}" if args.rounds else "")
    found = run_jobs(specs, folders, f"{args.seed} {args.device} {args.round}", label)
    for record in ensemble:
        del record["schema"], record["schema_version"]
    for mode in args.modes:
        job = {
            "machine": args.machine,
            "device": args.device,
            "mode": mode["name"],
            "round": args.round,
            "engine": mode["engine"],
            "options": mode["options"],
            "seed": args.seed,
            "ensemble": ensemble,
            "requests": args.requests,
            "warmup": args.warmup,
            "threads": args.threads,
            "versions": engine_versions(mode["engine"]),
            **found[mode["name"]],
        }
        records.write_json(folders[mode["name"]] / "job.json", job, "job")
        if job["outcome"] != "completed":
            print(f"{label}: {mode['name']} {job['outcome']}: {job['reason']}", file=sys.stderr)
