"""Forgets the records of exports and timing jobs that did not complete; the next run makes them."""

import argparse
from pathlib import Path

from effdet_bench import records


def forget(timing: str | Path, exports: str | Path) -> list[Path]:
    """Deletes each record below `timing` and `exports` whose outcome is not `completed`.

    A record counts as done for Snakemake whatever its outcome. Raw data stay until they are
    measured again.

    Returns:
        The paths of what is forgotten.
    """
    paths = {path: "job" for path in sorted(Path(timing).glob("*/*/*/job.json"))}
    paths |= {path: "export" for path in sorted(Path(exports).glob("*/*.json"))}
    forgotten = [
        path
        for path, schema in paths.items()
        if records.read_json(path, schema)["outcome"] != "completed"
    ]
    for path in forgotten:
        path.unlink()
    return forgotten


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--timing", required=True, help="results/<machine>/timing")
    parser.add_argument("--exports", required=True, help="the folder exports/")


def run(args: argparse.Namespace) -> None:
    forgotten = forget(args.timing, args.exports)
    for path in forgotten:
        print(f"to be made again: {path}")
    if not forgotten:
        print("every export and timing job has completed: nothing to retry")
