"""Times one round on one device: measures every mode, and writes a record of each.

A lock keeps two rounds from overlapping on a machine. Where measuring processes are
forked, they inherit the lock, so even processes that survive a killed run keep the next round
waiting.
"""

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from effdet_bench import layout, records
from effdet_bench.config.modes import Mode, engine_versions, export_of
from effdet_bench.config.names import DEVICES
from effdet_bench.errors import BenchError
from effdet_bench.facts.code import code_digests, code_of_job
from effdet_bench.facts.photos import list_photos
from effdet_bench.locks import hold
from effdet_bench.timing.rounds import run_round
from effdet_bench.worker.spec import Environment, JobSpec, ModelFiles

# not in TMPDIR, which differs between users; tests that run side by side set locks of their own
LOCK = os.environ.get("EFFDET_BENCH_LOCK", "/tmp/effdet-bench.lock")


def lock_timing() -> IO[str]:
    """Waits for all other timing jobs on this machine; returns the lock, an open file.

    Every user takes the lock of one file, which its first user creates and others only read.
    """
    path = Path(LOCK)
    with contextlib.suppress(FileExistsError):
        path.touch(exist_ok=False)
        path.chmod(0o644)  # whatever the user's umask
    try:
        held = path.open()
    except OSError as error:
        raise BenchError(f"{path} cannot be read ({error.strerror}): delete it.") from None
    os.set_inheritable(held.fileno(), True)  # hosts in processes of their own hold it too
    hold(held.fileno(), "another timing job on this machine")
    return held


def run_jobs(specs: Sequence[JobSpec], seed: str, label: str) -> dict[str, records.Record]:
    """Measures the modes of `specs` in turns (`rounds.run_round`); raw data go to their folders.

    Returns:
        For each mode its record, with `outcome`, `reason`, and start and length of the round.
        Requests that were measured before a failure stay in `requests.csv`.
    """
    for spec in specs:
        records.begin_tables(spec.folder, records.RAW_COLUMNS)
    with lock_timing():
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="effdet-bench-unseen-") as folder:
            specs = [replace(spec, unseen=Path(folder)) for spec in specs]
            results = run_round(specs, seed, label)
        seconds = time.monotonic() - begin
    for spec in specs:
        records.end_tables(spec.folder, records.RAW_COLUMNS)
    for result in results.values():
        result |= {"started": started, "job_seconds": round(seconds, 3)}
    return results


def add_mode_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of every step that serves requests; `job_spec` reads them."""
    parser.add_argument("--machine", required=True)
    parser.add_argument("--device", required=True, choices=DEVICES)
    parser.add_argument("--warmup", type=int, required=True, help="requests before the timed ones")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--photos", required=True, help="folder of JPEG files")
    parser.add_argument("--first", type=int, required=True, help="how many of the photos to use")
    parser.add_argument("--records", nargs="+", required=True, help="records of `verify`")
    parser.add_argument(
        "--checkpoints", nargs="+", required=True, help="files of these records, in order"
    )
    parser.add_argument("--references", nargs="+", required=True, help="records of `reference`")
    parser.add_argument("--exports", nargs="*", default=[], help="records of `export`")
    parser.add_argument("--results", required=True, help="results/<machine>")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_mode_arguments(parser)
    parser.add_argument(
        "--modes",
        type=json.loads,
        required=True,
        help="JSON list of {name, engine, options, env, python, depends}; depends may be left "
        "out, but then no run counts the round",
    )
    parser.add_argument("--round", type=int, required=True)
    parser.add_argument("--rounds", type=int, help="number of all rounds, shown on the terminal")
    parser.add_argument(
        "--seconds", type=float, default=0, help="how long the slowest mode serves timed requests"
    )
    parser.add_argument(
        "--requests", type=int, default=1, help="least number of timed requests of each mode"
    )
    parser.add_argument(
        "--stages", type=int, default=0, help="requests of the separate pass that times stages"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random order of turns")


def run(args: argparse.Namespace) -> None:
    for mode in args.modes:
        refuse_changed_code(mode, args.device)
    ensemble = [records.read_json(path, "checkpoint") for path in args.records]
    archive = layout.Archive(Path(args.results))
    specs = [
        replace(
            job_spec(args, mode, ensemble, archive.job(args.device, mode["name"], args.round)),
            round=args.round,
            seconds=args.seconds,
            requests=args.requests,
            stages=args.stages,
        )
        for mode in args.modes
    ]
    label = f"{args.device} round {args.round}" + (f" of {args.rounds}" if args.rounds else "")
    known = {
        mode["name"]: _job(args, spec, ensemble)
        | {key: mode[key] for key in ("depends",) if key in mode}
        for mode, spec in zip(args.modes, specs, strict=True)
    }
    results = run_jobs(specs, f"{args.seed} {args.device} {args.round}", label)
    for spec in specs:
        job = known[spec.mode] | results[spec.mode]
        records.write_json(spec.folder / layout.JOB_RECORD, job, "job")


def refuse_changed_code(mode: Any, device: str) -> None:
    """Checks that the code is still that which the run saw when it planned.

    Raises:
        BenchError: it was edited since, so the digests of `depends` would be wrong.
    """
    now = code_digests(mode["engine"], exported=export_of(mode, device) is not None)
    planned = mode.get("depends", now)  # by hand, nobody planned
    if changed := [part for part in now if now[part] != planned[part]]:
        raise BenchError(
            f"the code of {' and '.join(changed)} of {mode['name']} was edited while the run went "
            "on: run again; finished rounds are kept."
        )


def _job(args: argparse.Namespace, spec: JobSpec, ensemble: list[records.Record]) -> records.Record:
    """The part of a job's record that is known before the measurement."""
    return {
        "machine": args.machine,
        "device": spec.device,
        "mode": spec.mode,
        "round": spec.round,
        "engine": spec.engine,
        "options": spec.options,
        "env": dict(spec.environment.env),
        "python": spec.environment.python,
        "seed": args.seed,
        "ensemble": [
            {key: value for key, value in record.items() if not key.startswith("schema")}
            for record in ensemble
        ],
        "seconds": spec.seconds,
        "requests": spec.requests,
        "warmup": spec.warmup,
        "threads": spec.threads,
        "versions": {} if spec.environment.python else engine_versions(spec.engine),
        "code": code_of_job(spec.engine, any(files.export for files in spec.models)),
    }


def job_spec(
    args: argparse.Namespace, mode: Mode, ensemble: list[records.Record], folder: Path
) -> JobSpec:
    """The job of `mode` by the arguments of `add_mode_arguments`; raw data go to `folder`.

    Raises:
        BenchError: `--exports` does not name one record for each model.
    """
    export = export_of(mode, args.device)
    exports = [path for path in args.exports if export and Path(path).parent.name == export["name"]]
    if export and len(exports) != len(ensemble):
        raise BenchError(
            f"--exports names {len(exports)} records of {export['name']} for {len(ensemble)} "
            "models: give one record for each model."
        )
    models = [
        ModelFiles(record, file, reference, made)
        for record, file, reference, made in zip(
            ensemble,
            args.checkpoints,
            args.references,
            exports if export else [None] * len(ensemble),
            strict=True,
        )
    ]
    return JobSpec(
        device=args.device,
        mode=mode["name"],
        engine=mode["engine"],
        options=mode["options"],
        models=tuple(models),
        photos=tuple(str(path) for path in list_photos(args.photos)[: args.first]),
        warmup=args.warmup,
        threads=args.threads,
        folder=folder,
        environment=Environment(mode["python"], tuple(sorted(mode["env"].items()))),
    )
