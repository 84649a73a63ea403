"""Draws latencies of timed requests: how they spread, and how they change over a round."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from effdet_bench.report.figures.style import (
    COLOURS,
    by_rows,
    label_rows,
    name,
    nothing,
    plain_log,
    stacked,
)
from effdet_bench.summary.jobs import Job
from effdet_bench.summary.rows import Row, Summary, p50, pace

VECTORS = 2000  # points of a figure that stay vectors; more become an image inside it
JITTER = 0.28  # of a row, to either side


def distribution(summary: Summary, jobs: list[Job]) -> Figure:
    """Every timed request of every mode on a logarithmic axis, and each mode's median."""
    rows = sorted((row for row in summary["rows"] if row["latency"]), key=pace)
    figure, axes = by_rows(len(rows))
    of_row = [_timed(jobs, row) for row in rows]
    image = sum(map(len, of_row)) > VECTORS
    for place, values in enumerate(of_row):
        # evenly spread by the golden ratio: random to the eye, the same each time
        shift = (np.arange(len(values)) * 0.618034 % 1 - 0.5) * 2 * JITTER
        style: Any = {"alpha": 0.5, "markersize": 3, "rasterized": image}
        axes.plot(values, place + shift, "o", color=COLOURS[0], markeredgewidth=0, **style)
        middle = p50(rows[place])
        axes.plot([middle, middle], [place - 0.38, place + 0.38], color=COLOURS[1], linewidth=2)
    if rows:
        plain_log(axes, "x")
        label_rows(axes, rows)
        axes.set(xlabel="latency of a request, ms (points: requests; bars: medians)")
        axes.grid(axis="x", which="both")
    else:
        nothing(axes, "nothing was measured")
    axes.set_title("Latency of every timed request", loc="left")
    return figure


def course(summary: Summary, jobs: list[Job]) -> Figure:
    """Latency over the turns of a round, warm-up included: one panel per device.

    The latency of a turn is the median of its requests; in old archives a turn has one request. A
    line is the median over rounds; its band reaches from the fastest to the slowest round.
    """
    devices = list(dict.fromkeys(row["device"] for row in summary["rows"] if row["latency"]))
    figure, panels = stacked(len(devices), 4.6)
    for panel, device in zip(panels, devices, strict=False):
        rows = [row for row in summary["rows"] if row["device"] == device and row["latency"]]
        _course_of(panel, rows, jobs, summary)
        panel.set_title(f"Latency over a round on {device.upper()}", loc="left")
    if not devices:
        nothing(panels[0], "nothing was measured")
    return figure


def _course_of(axes: Axes, rows: list[Row], jobs: list[Job], summary: Summary) -> None:
    image = sum(job.record["requests"] for row in rows for job in _of(jobs, row)) > VECTORS
    for number, row in enumerate(sorted(rows, key=pace, reverse=True)):
        rounds = [_turns(job) for job in _of(jobs, row)]
        shortest = min(map(len, rounds))
        table = np.stack([one[:shortest] for one in rounds])
        at = np.arange(shortest) + 1
        colour = COLOURS[number % len(COLOURS)]
        style = ("-", "--", ":")[number // len(COLOURS) % 3]
        band = {"alpha": 0.15, "linewidth": 0, "rasterized": image}
        axes.fill_between(at, table.min(0), table.max(0), color=colour, **band)
        line = {"linewidth": 1.4, "label": name(row), "rasterized": image}
        axes.plot(at, np.median(table, axis=0), style, color=colour, **line)
    axes.axvspan(0.5, summary["warmup"] + 0.5, color="0.94", zorder=0)
    axes.set_xlim(0.5, None)
    axes.text(0.01, 0.96, "warm-up", transform=axes.transAxes)
    plain_log(axes, "y")
    turn = "turn" if summary["seconds"] else "request"
    locator: Any = axes.xaxis.get_major_locator()
    locator.set_params(integer=True)
    axes.set(
        xlabel=f"number of the {turn} in its round, warm-up included",
        ylabel="latency of a request, ms",
    )
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes.grid(axis="y", which="both")


def _turns(job: Job) -> np.ndarray:
    """Milliseconds of each warm-up request, and of the median request in each turn."""
    warm = job.requests[job.requests["phase"] != "timed"]["latency_ns"].tolist()
    return np.array([*warm, *(np.median(turn) for turn in job.turns.values())]) / 1e6


def _of(jobs: list[Job], row: Row) -> list[Job]:
    where = row["device"], row["mode"]
    return [job for job in jobs if (job.record["device"], job.record["mode"]) == where]


def _timed(jobs: list[Job], row: Row) -> np.ndarray:
    return np.concatenate([np.asarray(job.timed) for job in _of(jobs, row)]) / 1e6
