"""Times the node that this runs on, as one machine type of a cluster: the whole workflow, there.

All rounds are of one job, and so of one node. A run of its own in `cluster/<type>/` does it, with
this project's checkpoints and results: what a job that was killed has measured is kept and gone on
with by the next one.
"""

import argparse
import contextlib
import fcntl
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
from effdet_bench.config import machine
from effdet_bench.errors import BenchError

# shared with the project; exports are not, as some are of one processor or GPU alone
SHARED = ("Snakefile", "workflow", "profiles", "checkpoints", "results")
PATHS = ("photos", "annotations", "weights_folder")  # settings that name one
ALLOCATED = "SLURM_JOB_PARTITION"


def refuse_another_type(kind: dict[str, Any], results: Path) -> None:
    """Makes sure that this node is of the machine type `kind`, and of the one measured before.

    Raises:
        BenchError: it is not; nothing is measured then.
    """
    here = f"{platform.node()} is a {machine.default_name()}"
    partition = os.environ.get(ALLOCATED)
    if partition is None:
        raise BenchError(
            "this is no job of a scheduler, and a login node is no machine to time: add "
            "`--workflow-profile workflow/profiles/slurm`."
        )
    if partition != kind["partition"]:
        raise BenchError(
            f"{kind['name']} is to be timed on the partition {kind['partition']}, but this job "
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
            "was measured. Narrow the partition by `constraint`, or give each type of its nodes a "
            "name of its own."
        )


def prepare(kind: dict[str, Any], settings: dict[str, Any], folder: Path) -> None:
    """Makes `folder` one that the workflow runs in, with `settings` and those of `kind`."""
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
    # the file that the Snakefile reads first; there is nothing else to read
    records.write_text(folder / "config.yaml", yaml.safe_dump(own, allow_unicode=True))


def _absolute(settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` with paths that hold in any folder."""
    own: dict[str, Any] = json.loads(json.dumps(settings))
    for key in PATHS:
        if own.get(key) and own[key] != "shipped":
            own[key] = str(Path(own[key]).resolve())
    for entry in [*own.get("ensemble", []), *_modes(own)]:
        for key in ("file", "python"):
            if isinstance(entry, dict) and os.sep in str(entry.get(key) or ""):
                # not resolved: an environment's interpreter is a link
                entry[key] = str(Path(entry[key]).absolute())
    return own


def _modes(settings: dict[str, Any]) -> list[Any]:
    modes = settings.get("modes", [])
    return modes if isinstance(modes, list) else []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--type", type=json.loads, required=True, help="an entry of `cluster`")
    parser.add_argument("--settings", type=json.loads, required=True, help="of all types")
    parser.add_argument("--output", required=True, help="the record to write, in its folder")


def run(args: argparse.Namespace) -> None:
    kind, folder = args.type, Path(args.output).parent
    refuse_another_type(kind, layout.RESULTS)
    folder.mkdir(parents=True, exist_ok=True)
    # of a job that goes on though its Snakemake was killed: the second one waits for it
    with (folder / "node.lock").open("a") as held:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(held, fcntl.LOCK_EX)
        prepare(kind, args.settings, folder)
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        command = [sys.executable, "-m", "snakemake", "--cores", "1"]
        if subprocess.run(command, cwd=folder).returncode:
            raise BenchError(f"the workflow failed on {platform.node()}: see above why.")
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
