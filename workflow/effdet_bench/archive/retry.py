"""Deletes records of steps that did not complete; the next run repeats these steps."""

import argparse
from pathlib import Path

from effdet_bench import layout, records
from effdet_bench.config.chosen import add_results, chosen
from effdet_bench.report.commands import command_with
from effdet_bench.runs import hold_folder


def forget(archive: layout.Archive, exports: Path) -> list[Path]:
    """Deletes each record of `archive` and below `exports` that did not complete.

    Snakemake counts a record that exists as done, whatever its outcome. Raw data stay until they
    are measured again.

    Returns:
        The paths of the deleted records.
    """
    schemas = {path: "job" for path in archive.job_records()}
    schemas |= {path: "load" for path in archive.load_records()}
    schemas |= {path: "accuracy_pass" for path in archive.pass_records()}
    for path in sorted(exports.glob("*/*.json")):
        schemas[path] = "export_check" if path.name.endswith(".check.json") else "export"
    forgotten = [
        path
        for path, schema in schemas.items()
        if records.read_json(path, schema)["outcome"] != "completed"
    ]
    for path in forgotten:
        path.unlink()
    return forgotten


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results(parser)


def run(args: argparse.Namespace) -> None:
    hold_folder()  # a run that goes on reads these records
    archive = chosen(args)
    forgotten = forget(archive, layout.EXPORTS)
    for path in forgotten:
        print(f"the next run makes this again: {path}")
    if not forgotten:
        print("every export, timing, load test and accuracy pass has completed: nothing to retry")
    elif archive.settings.exists():
        command = command_with(records.options_of(archive))()
        print(f"To run them again with the settings of the report: {command}")
