"""Forgets the records of timing jobs that did not complete, so that the next run measures them."""

import argparse
from pathlib import Path

from effdet_bench import records


def forget(timing: str | Path) -> list[Path]:
    """Deletes each job.json below `timing` whose outcome is not `completed`; returns their paths.

    A record counts as done for Snakemake whatever its outcome. Raw data stay until they are
    measured again.
    """
    paths = sorted(Path(timing).glob("*/*/*/job.json"))
    forgotten = [p for p in paths if records.read_json(p, "job")["outcome"] != "completed"]
    for path in forgotten:
        path.unlink()
    return forgotten


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--timing", required=True, help="results/<machine>/timing")


def run(args: argparse.Namespace) -> None:
    forgotten = forget(args.timing)
    for path in forgotten:
        print(f"to be measured again: {path.parent}")
    if not forgotten:
        print("every timing job has completed: nothing to retry")
