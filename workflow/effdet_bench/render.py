"""Renders an archive anew: summary, figures and report, from its raw data alone.

For archives of another machine or of an older version; the workflow does the same step by step.
"""

import argparse
from pathlib import Path

from effdet_bench import records
from effdet_bench.archive import renew_manifest
from effdet_bench.config import defaults
from effdet_bench.errors import BenchError
from effdet_bench.figures.draw import draw
from effdet_bench.jobs import Job, read_jobs
from effdet_bench.report import view_of, write_report
from effdet_bench.summary import summarise, write_summary


def settings_of(results: Path) -> dict:
    """The settings of the archive `results`; the defaults, with its own modes, if it is too old."""
    path = results / "settings.json"
    if path.exists():
        return records.read_json(path, "settings")["config"]
    config = defaults()
    config["devices"] = [path.name for path in sorted((results / "timing").glob("*"))]
    modes = [path.name for path in sorted((results / "timing").glob("*/*"))]
    config["modes"] = [{"name": name} for name in dict.fromkeys(modes)]
    rounds = [int(path.name[6:]) for path in (results / "timing").glob("*/*/round-*")]
    return config | {"rounds": max(rounds, default=0)}


def summary_of(results: Path) -> tuple[dict, list[Job]]:
    """The summary of the archive `results`, from its raw data alone, and its completed jobs.

    Raises:
        BenchError: the archive holds no timing, or is damaged.
    """
    config = settings_of(results)
    places = [
        place
        for device in config["devices"]
        for mode in config["modes"]
        if (place := results / "timing" / device / mode["name"]).is_dir()
    ]
    folders = [p / f"round-{k}" for p in places for k in range(1, config["rounds"] + 1)]
    if not folders:
        raise BenchError(f"{results} holds no timing: give the folder results/<machine>.")
    validity = [results / "validity" / p.parent.name / f"{p.name}.json" for p in places]
    roofs = [results / "roofline" / f"{device}.json" for device in config["devices"]]
    jobs = read_jobs(folders)
    summary = summarise(
        jobs,
        [records.read_json(path, "validity") for path in validity],
        [records.read_json(path, "roofline") for path in roofs],
        config["ablation"],
    )
    return summary, [job for job in jobs if job.completed]


def render_archive(results: Path) -> None:
    """Writes everything that is derived to the archive `results`."""
    summary, jobs = summary_of(results)
    write_summary(summary, results)
    summary = records.read_json(results / "summary.json", "summary")
    draw(summary, jobs, results / "figures")
    write_report(results, view_of(results, summary, jobs, settings_of(results)))
    renew_manifest(results)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", required=True, help="results/<machine>")


def run(args: argparse.Namespace) -> None:
    render_archive(Path(args.results))
