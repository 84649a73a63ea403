"""Renders summary, figures and report of an archive again, from its raw data alone.

Use it for archives of another machine or of an older version. The workflow does the same in steps.
"""

import argparse

from effdet_bench import records
from effdet_bench.archive.manifest import renew_manifest
from effdet_bench.config.chosen import add_results, chosen
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive
from effdet_bench.load.capacities import capacities_of
from effdet_bench.records import settings_of
from effdet_bench.report.figures.draw import draw_archive
from effdet_bench.report.report import view_of, write_report
from effdet_bench.summary.jobs import Job, read_jobs
from effdet_bench.summary.rows import Summary
from effdet_bench.summary.summary import read_summary, summarise, write_summary


def counted_rounds(archive: Archive) -> dict[tuple[str, str], list[int]]:
    """The numbers of the rounds that count, by device and mode, in the order of the settings."""
    record, there = records.read_json(archive.settings, "settings"), set(archive.modes())
    config, counted = record["config"], record.get("counted", {})
    every = list(range(1, config["rounds"] + 1))  # in older archives, all modes share their rounds
    return {
        (device, mode): counted.get(device, {}).get(mode, every)
        for device, mode in records.modes_of(config)
        if (device, mode) in there
    }


def summary_of(archive: Archive) -> tuple[Summary, list[Job]]:
    """The summary of the archive, from its raw data alone, and its completed jobs.

    Raises:
        BenchError: the archive holds no timing, or is damaged.
    """
    config = settings_of(archive)
    counted = counted_rounds(archive)
    folders = [
        archive.job(*place, number) for place, rounds in counted.items() for number in rounds
    ]
    if not folders:
        raise BenchError(f"{archive.root} holds no timing: give the folder results/<machine>.")
    jobs = read_jobs(folders)
    summary = summarise(
        jobs,
        [records.read_json(archive.validity(device, mode), "validity") for device, mode in counted],
        [records.read_json(archive.roofline(device), "roofline") for device in config["devices"]],
        config["ablation"],
    )
    return summary, [job for job in jobs if job.completed]


def render_archive(archive: Archive) -> None:
    """Writes all derived files of the archive: summary, capacities, figures, report, manifest."""
    summary, jobs = summary_of(archive)
    write_summary(summary, archive)
    summary = read_summary(archive)
    if archive.capacities.exists():
        records.write_json(archive.capacities, capacities_of(archive), "capacities")
    draw_archive(archive, summary, jobs, archive.figures)
    write_report(archive, view_of(archive, summary))
    renew_manifest(archive)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results(parser)


def run(args: argparse.Namespace) -> None:
    archive = chosen(args)
    render_archive(archive)
    print(f"The report: {archive.report}, and report.html")
