"""Draws the figures of a report from the archive of a machine."""

import argparse
from pathlib import Path

from matplotlib import pyplot as plt

from effdet_bench.config.chosen import add_results, chosen
from effdet_bench.config.names import DRAWINGS
from effdet_bench.layout import Archive
from effdet_bench.reference.annotations import annotations_of
from effdet_bench.report.figures.accuracy import accuracy
from effdet_bench.report.figures.bars import ablation, speedup, stages
from effdet_bench.report.figures.detections import draw_detections, draw_differences
from effdet_bench.report.figures.latency import course, distribution
from effdet_bench.report.figures.load import load
from effdet_bench.report.figures.roofline import roofline
from effdet_bench.report.figures.style import STYLE, save
from effdet_bench.report.under_load import read_capacities
from effdet_bench.summary.jobs import Job, jobs_of
from effdet_bench.summary.rows import Summary
from effdet_bench.summary.summary import read_summary

BY_NAME = {
    draw.__name__: draw for draw in (speedup, distribution, stages, ablation, roofline, course)
}


def draw(summary: Summary, jobs: list[Job], folder: Path, kind: str = "svg") -> None:
    """Writes the figures that every archive has to `folder`, as svg or png files (`kind`)."""
    for name in DRAWINGS:
        with plt.rc_context(STYLE):
            save(BY_NAME[name](summary, jobs), folder / f"{name}.{kind}")


def draw_archive(
    archive: Archive, summary: Summary, jobs: list[Job], folder: Path, kind: str = "svg"
) -> None:
    """Writes to `folder` what `draw` does, detections, and accuracy and load if they are known."""
    draw(summary, jobs, folder, kind)
    draw_detections(archive, summary, folder)
    draw_differences(archive, summary, folder)
    if annotations_of(archive):
        with plt.rc_context(STYLE):
            save(accuracy(summary), folder / f"accuracy.{kind}")
    capacities = read_capacities(archive)
    if capacities is not None:
        with plt.rc_context(STYLE):
            save(load(capacities), folder / f"load.{kind}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results(parser)
    parser.add_argument("--kind", choices=["svg", "png"], default="svg")


def run(args: argparse.Namespace) -> None:
    archive = chosen(args)
    summary = read_summary(archive)
    draw_archive(archive, summary, jobs_of(summary, archive), archive.figures, args.kind)
    print(f"The figures: {archive.figures}/*.{args.kind}")
