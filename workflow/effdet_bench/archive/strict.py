"""Fails if a mode of the settings did not complete, or is not valid.

It is for scripts that read the exit status and no report. It runs after the report is written.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive
from effdet_bench.records import Record
from effdet_bench.report.under_load import read_capacities
from effdet_bench.summary.rows import Summary
from effdet_bench.summary.summary import read_summary


def shortcomings(summary: Summary, capacities: Record | None) -> Iterator[str]:
    """Yields in words why each mode is not valid. `no-network` need not be: it detects nothing."""
    for row in summary["rows"]:
        where = f"{row['device']} {row['mode']}"
        if row["outcome"] != "completed":
            yield f"{where} {row['outcome']}: {row['reason']}"
        elif not row["floor"] and row["validity"]["verdict"] != "valid":
            yield f"{where} {row['validity']['verdict']}: {row['validity']['reason']}"
    for mode in capacities["modes"] if capacities else []:
        where = f"{mode['device']} {mode['mode']} under load"
        if mode["outcome"] == "failed":
            yield f"{where} failed: {mode['reason']}"
        elif mode["answers"] and mode["answers"]["verdict"] != "valid":
            yield f"{where} invalid: {mode['answers']['reason']}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", required=True, help="results/<machine>")


def run(args: argparse.Namespace) -> None:
    archive = Archive(Path(args.results))
    found = list(shortcomings(read_summary(archive), read_capacities(archive)))
    for one in found:
        print(one)
    if found:
        raise BenchError(
            f"{len(found)} of the modes asked for are not valid, and config asks for `strict`: "
            f"see {archive.report}; `effdet-bench retry` has the next run repeat what failed."
        )
