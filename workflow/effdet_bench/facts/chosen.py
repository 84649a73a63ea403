"""The archive that a command reads: the one that the user names, or this machine's latest."""

import argparse
from pathlib import Path

from effdet_bench import layout
from effdet_bench.errors import BenchError
from effdet_bench.facts.machine import is_of_this_machine
from effdet_bench.layout import Archive


def add_results(parser: argparse.ArgumentParser) -> None:
    """Adds the argument `results`, which `chosen` reads."""
    parser.add_argument(
        "results",
        type=Path,
        nargs="?",
        help="results/<machine>; if left out, the results of the latest run of this machine",
    )


def chosen(args: argparse.Namespace) -> Archive:
    """The archive in the folder `args.results`; by default the one that a run wrote last.

    Raises:
        BenchError: there is no such folder, or no archive of this machine.
    """
    if args.results is None:
        return _latest(layout.RESULTS)
    if not args.results.is_dir():
        raise BenchError(f"{args.results} is not a folder: give results/<machine>.")
    return Archive(args.results)


def _latest(folder: Path) -> Archive:
    found = [
        archive
        for archive in map(Archive, folder.glob("*/"))
        if archive.manifest.exists() and is_of_this_machine(archive)
    ]
    if not found:
        raise BenchError(
            f"{folder}/ has no results of this machine: give results/<machine>, or run "
            "`snakemake --cores 1` first."
        )
    return max(found, key=lambda archive: archive.manifest.stat().st_mtime)
