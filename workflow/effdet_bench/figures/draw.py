"""Draws the figures of a report from the archive of a machine."""

import argparse
from pathlib import Path

from matplotlib import pyplot as plt

from effdet_bench import records
from effdet_bench.figures.costs import ablation, speedup, stages
from effdet_bench.figures.latency import course, distribution
from effdet_bench.figures.roofline import roofline
from effdet_bench.figures.style import STYLE, save
from effdet_bench.jobs import Job, jobs_of

FIGURES = (speedup, distribution, stages, ablation, roofline, course)


def draw(summary: dict, jobs: list[Job], folder: Path, kind: str = "svg") -> None:
    """Writes every figure to `folder`, as svg or png files of its name."""
    for figure in FIGURES:
        with plt.rc_context(STYLE):
            save(figure(summary, jobs), folder / f"{figure.__name__}.{kind}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", required=True, help="results/<machine>")
    parser.add_argument("--kind", choices=["svg", "png"], default="svg")


def run(args: argparse.Namespace) -> None:
    results = Path(args.results)
    summary = records.read_json(results / "summary.json", "summary")
    draw(summary, jobs_of(summary, results), results / "figures", args.kind)
