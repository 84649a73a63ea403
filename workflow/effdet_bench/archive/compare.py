"""Compares archives: all machines side by side, or one machine before and after a change."""

import argparse
from pathlib import Path

from effdet_bench import records
from effdet_bench.archive.machines import of_one_ensemble, read_machines, render_machines
from effdet_bench.archive.regressions import compare_runs
from effdet_bench.errors import BenchError
from effdet_bench.report.figures.machines import draw_machines
from effdet_bench.report.page import to_html


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", default="results", help="folder of all machines' results")
    parser.add_argument("--before", help="an archive, .zip or folder, to compare with --after")
    parser.add_argument("--after", help="another one of the same machine")
    parser.add_argument("--threshold", type=float, default=0.05, help="a share")


def run(args: argparse.Namespace) -> None:
    if args.before and args.after:
        compare_runs(Path(args.before), Path(args.after), args.threshold)
    elif args.before or args.after:
        raise BenchError("config: before and after belong together; give both.")
    else:
        _compare_machines(Path(args.results))


def _compare_machines(folder: Path) -> None:
    machines = read_machines(folder)
    text = render_machines(machines)
    draw_machines(
        [(machine["machine"], machine["summary"]) for machine in of_one_ensemble(machines)],
        folder / "comparison.svg",
    )
    records.write_text(folder / "comparison.md", text)
    records.write_text(folder / "comparison.html", to_html(text, folder))
    print(f"{len(machines)} machines: {folder / 'comparison.md'}, and comparison.html")
