"""The archive that a command reads: the one that the user names, or that of the latest run."""

import argparse
from pathlib import Path

from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive
from effdet_bench.runs import latest_archive


def add_results(parser: argparse.ArgumentParser) -> None:
    """Adds the argument `results`, which `chosen` reads."""
    parser.add_argument(
        "results",
        type=Path,
        nargs="?",
        help="results/<machine>; if left out, the results of the latest run in this folder",
    )


def chosen(args: argparse.Namespace) -> Archive:
    """The archive in the folder `args.results`; by default that of the latest run.

    Raises:
        BenchError: there is no such folder, or nothing ran here.
    """
    if args.results is None:
        return Archive(latest_archive())
    if not args.results.is_dir():
        raise BenchError(f"{args.results} is not a folder: give results/<machine>.")
    return Archive(args.results)
