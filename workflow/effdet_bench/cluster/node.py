"""Times this node as one machine type of a cluster, by running the whole workflow on it.

One job measures all rounds, so all rounds are of one node. The workflow runs in `cluster/<type>/`,
with checkpoints and results of this project. If a job is killed, its finished measurements are
kept, and the next job continues from there.
"""

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from effdet_bench import layout, records
from effdet_bench.errors import BenchError
from effdet_bench.facts import machine
from effdet_bench.locks import hold

# shared with the project; not exports, because some fit only one processor or GPU
SHARED = ("Snakefile", "workflow", "profiles", "checkpoints", "results")
ALLOCATED = "SLURM_JOB_PARTITION"  # variable of a job, with the name of its partition
PATHS = ("photos", "annotations", "weights_folder")  # settings that are paths


def refuse_another_type(kind: dict[str, Any], results: Path) -> None:
    """Checks that this node is of the machine type `kind`, and like the machine measured before.

    Raises:
        BenchError: it is not. Nothing was measured then.
    """
    here = f"{platform.node()} is a {machine.default_name()}"
    partition = os.environ.get(ALLOCATED)
    if partition is None:
        raise BenchError(
            "this process is not a job of the scheduler, and a login node must not be timed: add "
            "`--workflow-profile workflow/profiles/slurm`."
        )
    if partition != kind["partition"]:
        raise BenchError(
            f"{kind['name']} must be timed on the partition {kind['partition']}, but this job "
            f"runs on {partition}: nothing was measured."
        )
    expected = kind.get("expect")
    if expected and machine.default_name() != expected:
        raise BenchError(
            f"{kind['name']} is expected to be a {expected}, but {here}: nothing was measured. "
            "Narrow the partition by `constraint`, or correct `expect`."
        )
    if not machine.is_of_this_machine(layout.Archive(results / kind["name"])):
        raise BenchError(
            f"{results / kind['name']} holds the results of another machine, but {here}: nothing "
            "was measured. Narrow the partition by `constraint`, or give each type of its nodes "
            "another name."
        )


def prepare(kind: dict[str, Any], settings: dict[str, Any], folder: Path) -> None:
    """Prepares `folder` for a run of the workflow, with `settings` and the settings of `kind`."""
    for name in SHARED:
        target = Path(name).resolve()
        if name in ("checkpoints", "results"):
            target.mkdir(exist_ok=True)
        link = folder / name
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    own = _absolute(settings | (kind.get("settings") or {})) | {"machine": kind["name"]}
    own.pop("cluster", None)
    # the Snakefile reads this file, and no other settings
    records.write_text(folder / "config.yaml", yaml.safe_dump(own, allow_unicode=True))


def _absolute(settings: dict[str, Any]) -> dict[str, Any]:
    """A copy of `settings` with absolute paths, so that they hold in any folder."""
    own: dict[str, Any] = json.loads(json.dumps(settings))
    for key in PATHS:
        if own.get(key) and own[key] != "shipped":
            own[key] = str(Path(own[key]).resolve())
    for entry in [*own.get("ensemble", []), *own.get("modes", [])]:
        if not isinstance(entry, dict):
            continue
        if entry.get("file"):
            entry["file"] = str(Path(entry["file"]).absolute())
        if os.sep in (entry.get("python") or ""):  # a bare name is looked for on PATH
            # do not resolve links: the interpreter of a virtual environment is a link
            entry["python"] = str(Path(entry["python"]).absolute())
    return own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--type", type=json.loads, required=True, help="an entry of `cluster`")
    parser.add_argument("--settings", type=json.loads, required=True, help="settings of all types")
    parser.add_argument("--output", required=True, help="the record to write, in the run's folder")


def run(args: argparse.Namespace) -> None:
    kind, folder = args.type, Path(args.output).parent
    refuse_another_type(kind, layout.RESULTS)
    folder.mkdir(parents=True, exist_ok=True)
    # if Snakemake was killed, its job may still run: a second job waits for its end
    with (folder / "node.lock").open("a") as held:
        with contextlib.suppress(OSError):  # a file system without locks
            hold(held.fileno(), "an earlier job of this machine type")
        prepare(kind, args.settings, folder)
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        command = [sys.executable, "-m", "snakemake", "--cores", "1"]
        if subprocess.run(command, cwd=folder).returncode:
            raise BenchError(f"the workflow failed on {platform.node()}: see its messages above.")
    record = {
        "name": kind["name"],
        "partition": kind["partition"],
        "node": platform.node(),
        "job": os.environ.get("SLURM_JOB_ID"),
        "machine": machine.default_name(),
        "fingerprint": machine.fingerprint(),
        "started": started,
        "ended": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    records.write_json(args.output, record, "node")
