"""Results of one machine over time: each mode's ratio to `baseline` and latency, with steps marked.

Reads archives, folders or zip files, and writes history.html, history.md, history.svg and
history.jsonl beside them.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scipy.special import stdtrit

from effdet_bench import records
from effdet_bench.archive.collection import archives_in
from effdet_bench.archive.machines import Machine, differences, incomparable, read_machine
from effdet_bench.errors import BenchError
from effdet_bench.records import Record
from effdet_bench.report.figures.history import Known, Point, Series, draw_history
from effdet_bench.report.numbers import times
from effdet_bench.report.page import to_html
from effdet_bench.report.report import templates
from effdet_bench.summary.comparison import CONFIDENCE
from effdet_bench.summary.rows import Row, latency_of, measured
from effdet_bench.summary.steps import Step, find_steps


class Marked(NamedTuple):
    """A step of a series, in words: `before` and `after` are labels of the archives around it."""

    mode: str
    before: str
    after: str
    change: str
    differences: str


class History(NamedTuple):
    """The archives of one machine that can be compared, in the order of their measurements.

    `left_out` has the label of each other archive, and the reason.
    """

    machine: str
    archives: list[Machine]
    left_out: list[tuple[str, str]]


def read_history(folder: Path, machine: str | None = None) -> History:
    """The archives in `folder`, of the machine `machine` if they are of several.

    Those that differ from the latest in ensemble, weights or photos are left out.

    Raises:
        BenchError: there are no archives, or they are of several machines and none is named.
    """
    read = [read_machine(archive) for archive in archives_in(folder)]
    names = sorted({one["machine"] for one in read})
    if machine is None and len(names) > 1:
        raise BenchError(
            f"{folder} holds archives of {', '.join(names)}: name one of them by --machine."
        )
    # one of those that differ in their report alone
    own = {measured(one["summary"]): one for one in read if machine in (None, one["machine"])}
    if not own:
        raise BenchError(
            f"{folder} holds no archive{f' of {machine}' if machine else ''}: give a folder with "
            "results/<machine>, or .zip files that `effdet-bench pack` wrote."
        )
    ordered = [own[moment] for moment in sorted(own)]
    apart = [(one, "; ".join(incomparable(ordered[-1], one))) for one in ordered]
    return History(
        ordered[-1]["machine"],
        [one for one, reason in apart if not reason],
        [(label(one), reason) for one, reason in apart if reason],
    )


def label(machine: Machine) -> str:
    """Date and minute of a measurement, and the commit that was measured."""
    commit = machine["summary"].get("code", {}).get("commit") or ""
    return f"{measured(machine['summary'])[:16].replace('T', ' ')} {commit[:7]}".rstrip()


def series_of(history: History) -> list[Series]:
    """The series of each mode that was valid in any archive, in the order of the latest archives.

    Raises:
        BenchError: no archive has a valid mode.
    """
    places = {
        (row["device"], row["mode"]): None
        for machine in reversed(history.archives)
        for row in machine["summary"]["rows"]
        if row["ranked"] and not row["twin"]
    }
    if not places:
        raise BenchError(f"no archive of {history.machine} has a valid mode to show over time.")
    return [_series(history.archives, *place) for place in places]


def _series(archives: Sequence[Machine], device: str, mode: str) -> Series:
    points = [
        _point(number, row)
        for number, machine in enumerate(archives)
        for row in machine["summary"]["rows"]
        if (row["device"], row["mode"]) == (device, mode) and row["ranked"]
    ]
    series = Series(device, mode, points, [])
    values = [(point.ratio or point.latency).value for point in series.followed]
    return series._replace(steps=find_steps(values, [point.error for point in series.followed]))


def _point(index: int, row: Row) -> Point:
    median = latency_of(row)["percentiles"]["p50"]
    latency = Known(median["ms"], median.get("low_ms"), median.get("high_ms"))
    versus = row["comparison"]
    if versus is None:
        return Point(index, None, latency, None)
    error = None
    if versus["half_width"] is not None:
        quantile = float(stdtrit(versus["rounds"] - 1, (1 + CONFIDENCE) / 2))
        error = math.log1p(versus["half_width"]) / quantile
    return Point(index, Known(versus["ratio"], versus["low"], versus["high"]), latency, error)


def marked(history: History, series: Series) -> list[Marked]:
    """The steps of `series` in words."""
    return [_marked(history, series, step) for step in series.steps]


def _marked(history: History, series: Series, step: Step) -> Marked:
    before, after = (series.followed[step.at + offset].archive for offset in (-1, 0))
    first, second = history.archives[before], history.archives[after]
    faster = step.factor if series.relative else 1 / step.factor
    words = f"{times(faster)} as fast" + (" relative to `baseline`" if series.relative else "")
    apart = "; ".join(differences(first, second)) or "no recorded difference"
    return Marked(series.name, label(first), label(second), words, apart)


def lines(history: History, series: Sequence[Series]) -> list[Record]:
    """One record for each archive; `benchmarks` is in the metric format of bencher.dev.

    Latencies are in nanoseconds. A ratio is how many times as fast as `baseline` a mode is.
    """
    return [
        {
            "machine": history.machine,
            "measured": measured(machine["summary"]),
            "commit": machine["summary"].get("code", {}).get("commit"),
            "benchmarks": {
                f"{one.device}/{one.mode}": _metrics(point)
                for one in series
                for point in one.points
                if point.archive == index
            },
        }
        for index, machine in enumerate(history.archives)
    ]


def _metrics(point: Point) -> Record:
    value, low, high = point.latency
    latency = Known(value * 1e6, low and low * 1e6, high and high * 1e6)
    found = {"latency": latency} | ({"ratio": point.ratio} if point.ratio else {})
    return {
        name: {"value": known.value, "lower_value": known.low, "upper_value": known.high}
        for name, known in found.items()
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a folder with archives: folders or .zip files")
    parser.add_argument("--machine", help="its name, if the folder has archives of several")


def run(args: argparse.Namespace) -> None:
    history = read_history(args.folder, args.machine)
    series = series_of(history)
    steps = [step for one in series for step in marked(history, one)]
    labels = [label(machine) for machine in history.archives]
    draw_history(series, labels, args.folder / "history.svg")
    text = (
        templates()
        .get_template("history.md.j2")
        .render(history=history, labels=labels, steps=steps)
    )
    records.write_text(args.folder / "history.md", text)
    records.write_text(args.folder / "history.html", to_html(text, args.folder))
    told = "".join(f"{json.dumps(line)}\n" for line in lines(history, series))
    records.write_text(args.folder / "history.jsonl", told)
    for step in steps:
        print(f"STEP {step.mode}: {step.change}, between {step.before} and {step.after}")
    counts = f"Archives: {len(history.archives)}. Steps: {len(steps)}."
    print(f"{counts} The page: {args.folder / 'history.html'}")
