"""Draws modes under load: latency over the rate of arrivals, and throughput over clients."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from effdet_bench.records import Record
from effdet_bench.report.figures.style import COLOURS, name, nothing, plain_log, stacked
from effdet_bench.report.under_load import grouped, shape

PERCENTILES = {"p50": ":", "p90": "-", "p99": "--"}


def load(capacities: Record) -> Figure:
    """Percentiles over the rate, a panel per mode that has them, and throughput of all modes."""
    modes = [mode for mode in capacities["modes"] if mode["most"]]
    arrived = [mode for mode in modes if any(map(_arrivals, mode["passes"]))]
    figure, panels = stacked(max(len(arrived), 1) + 1, 3.4)
    for panel, mode in zip(panels, arrived, strict=False):
        _latencies(panel, mode)
    if not arrived:
        nothing(panels[0], "no bound is kept at any rate")
    if modes:
        _throughput(panels[-1], modes)
    else:
        nothing(panels[-1], "no mode was put under load")
    return figure


def _arrivals(one: Record) -> bool:
    return one.get("name") == "Server"


def _latencies(axes: Axes, mode: Record) -> None:
    shapes = grouped((shape(one), one) for one in filter(_arrivals, mode["passes"]))
    for colour, (where, passes) in zip(COLOURS, shapes.items(), strict=False):
        passes.sort(key=lambda one: one["scheduled_rps"])
        rates = [one["scheduled_rps"] for one in passes]
        for percentile, line in PERCENTILES.items():
            label = f"{percentile}, {where}"
            style: Any = {"color": colour, "linestyle": line, "marker": "o", "markersize": 3}
            axes.plot(rates, [one["loadgen"][percentile] for one in passes], label=label, **style)
    for bound in mode["bounds"]:
        axes.axhline(bound, color="0.6", linewidth=0.8)
        axes.text(1, bound, f" {bound:g} ms", transform=axes.get_yaxis_transform(), va="center")
    for found in mode["capacities"]:
        if found["rate"]:
            axes.plot(found["rate"], found["bound_ms"], "v", color="black", markersize=7)
    axes.set_xlim(0, None)
    plain_log(axes, "y")
    axes.set(xlabel="Poisson arrivals, requests/s", ylabel="latency, ms")
    axes.set_title(f"{name(mode)}: latency under load (▾ capacities)", loc="left")  # type: ignore[arg-type]
    axes.legend(loc="upper left", bbox_to_anchor=(1.16, 1))
    axes.grid(axis="y", which="both")


def _throughput(axes: Axes, modes: list[Record]) -> None:
    for colour, mode in zip(COLOURS, modes, strict=False):
        closed = grouped((shape(one), one) for one in mode["passes"] if one["kind"] == "closed")
        for marker, (where, passes) in zip("os^Dv*Ph", closed.items(), strict=False):
            passes.sort(key=lambda one: one["clients"])
            points = [(one["clients"], one["answered_rps"]) for one in passes]
            label = f"{name(mode)}, {where}"  # type: ignore[arg-type]
            axes.plot(*zip(*points, strict=True), color=colour, marker=marker, label=label)
    plain_log(axes, "x")
    axes.set(xlabel="clients of a closed loop", ylabel="answers, requests/s", ylim=(0, None))
    axes.set_title("Throughput by instances, clients and batches", loc="left")
    axes.legend(loc="upper left", bbox_to_anchor=(1.16, 1))
    axes.grid(axis="y")
