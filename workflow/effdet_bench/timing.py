"""One timing job: measures in a child process, and leaves a record whatever becomes of the child.

Two timing jobs of one user never overlap on a machine: both parent and child hold a lock, so that
it lasts as long as either of them. The parent sleeps in waitpid(2) while the child is timed.
"""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from effdet_bench import records
from effdet_bench.photos import list_photos
from effdet_bench.versions import versions

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


def run_job(spec: dict, folder: Path) -> dict:
    """Measures `spec` (see `measure.measure`) in a child and puts its files into `folder`.

    Returns:
        What the child found, with `outcome` (`completed`, `unavailable` or `failed`) and `reason`.
        Requests that were measured before a failure stay in `requests.csv`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in records.RAW_COLUMNS.items():
        (folder / f".{name}").write_text(",".join(columns) + "\n")
    result = folder / ".result.json"
    result.unlink(missing_ok=True)
    environment = {key: value for key, value in os.environ.items() if key not in THREAD_VARIABLES}
    command = [sys.executable, "-m", "effdet_bench.measure", json.dumps(spec), str(folder)]
    with lock_timing() as lock:
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        begin = time.monotonic()
        status = subprocess.run(command, env=environment, pass_fds=[lock.fileno()]).returncode
        seconds = time.monotonic() - begin
    found = {"outcome": "failed", "reason": _death(status)}
    if result.exists():
        found = json.loads(result.read_text())
        result.unlink()
    for name in records.RAW_COLUMNS:
        (folder / f".{name}").replace(folder / name)
    return {"started": started, "job_seconds": round(seconds, 3), **found}


def _death(status: int) -> str:
    if status < 0:
        return f"The measuring process was killed by {signal.Signals(-status).name}."
    return f"The measuring process ended with status {status} and left no result; see its log."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--machine", required=True)
    parser.add_argument("--device", required=True, choices=["cpu", "cuda", "mps"])
    parser.add_argument("--mode", required=True, help="name of the mode, for the record")
    parser.add_argument("--engine", required=True)
    parser.add_argument("--round", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True, help="timed requests")
    parser.add_argument("--warmup", type=int, required=True, help="requests before them")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--photos", required=True, help="folder of JPEG files")
    parser.add_argument("--records", nargs="+", required=True, help="records of `verify`")
    parser.add_argument("--checkpoints", nargs="+", required=True, help="files, in that order")
    parser.add_argument("--references", nargs="+", required=True, help="records of `reference`")
    parser.add_argument("--seed", type=int, default=0, help="of the order of jobs, for the record")
    parser.add_argument("--job", default="1/1", help="which job of how many, for the terminal")
    parser.add_argument("--output", required=True, help="folder for what is measured")


def run(args: argparse.Namespace) -> None:
    ensemble = [records.read_json(path, "checkpoint") for path in args.records]
    spec = {
        "label": f"[{args.job}] {args.device} {args.mode} round {args.round}",
        "device": args.device,
        "engine": args.engine,
        "round": args.round,
        "models": [
            {"model": record["model"], "sha256": record["sha256"], "file": file, "reference": made}
            for record, file, made in zip(ensemble, args.checkpoints, args.references, strict=True)
        ],
        "photos": [str(path) for path in list_photos(args.photos)],
        "requests": args.requests,
        "warmup": args.warmup,
        "threads": args.threads,
    }
    found = run_job(spec, Path(args.output))
    for record in ensemble:
        del record["schema"], record["schema_version"]
    job = {
        "machine": args.machine,
        "device": args.device,
        "mode": args.mode,
        "round": args.round,
        "engine": args.engine,
        "options": {},
        "seed": args.seed,
        "ensemble": ensemble,
        "requests": args.requests,
        "warmup": args.warmup,
        "threads": args.threads,
        "versions": versions(),
        **found,
    }
    records.write_json(Path(args.output) / "job.json", job, "job")
    if job["outcome"] != "completed":
        print(f"{spec['label']}: {job['outcome']}: {job['reason']}", file=sys.stderr)
