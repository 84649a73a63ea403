"""Where the time of a request goes, what a mode gains, and what each step of the ablation buys."""

from collections.abc import Callable
from typing import TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from effdet_bench.report.figures.style import (
    COLOURS,
    by_rows,
    label_rows,
    name,
    nothing,
    panels,
    plain_log,
)
from effdet_bench.summary.jobs import Job
from effdet_bench.summary.rows import Place, Row, Stages, Step, Summary, pace, stages_of, unsplit

BLUES = ("#08306B", "#2171B5", "#6BAED6", "#C6DBEF")  # forward passes, model by model
VERDICTS = {"FASTER": "#009E73", "SLOWER": "#D55E00", "SAME": "#56B4E9", "AMBIGUOUS": "#777777"}

# label, colour and mean time of a stage
Part = tuple[str, str, Callable[[Stages], float]]
R = TypeVar("R", bound=Place)


def stages(summary: Summary, jobs: list[Job]) -> Figure:
    """Median time of every stage in the separate pass, stacked: a bar per mode, on the scale of its
    device.
    """
    measured = [row for row in summary["rows"] if row["stages"]]
    by_device = _by_device(sorted(measured, key=pace))
    parts: list[Part] = [
        ("decode", "#999933", lambda s: s["decode_ms"]),
        ("preprocess", "#E69F00", lambda s: s["preprocess_ms"]),
    ]
    parts += [
        (f"forward {model['model']}", BLUES[k % len(BLUES)], _forward_of(k))
        for k, model in enumerate(summary["ensemble"])
    ]
    parts += [("postprocess", "#CC79A7", lambda s: s["postprocess_ms"])]
    figure, below = panels([len(rows) for rows in by_device.values()] or [0])
    for axes, (device, rows) in zip(below, by_device.items(), strict=False):
        _stack(axes, rows, parts)
        axes.set_title(f"Where the time of a request on {device.upper()} goes", loc="left")
        label = "median time in a request, ms (separate pass"
        if any(map(unsplit, rows)):
            label += "; *: otherwise than in a request, see the report"
        axes.set(xlabel=label + ")")
    if by_device:
        below[0].legend(loc="upper left", bbox_to_anchor=(1, 1))
    else:
        nothing(below[0], "nothing was measured")
    return figure


def _stack(axes: Axes, rows: list[Row], parts: list[Part]) -> None:
    left = [0.0] * len(rows)
    for label, colour, value in parts:
        widths = [value(stages_of(row)) for row in rows]
        axes.barh(range(len(rows)), widths, left=left, color=colour, label=label, height=0.7)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(rows)), [name(row) + "*" * bool(unsplit(row)) for row in rows])
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.grid(axis="x")


def speedup(summary: Summary, jobs: list[Job]) -> Figure:
    """How many times as fast as baseline each mode is, with its interval and its verdict."""
    compared = [(row["comparison"], row) for row in summary["rows"] if row["comparison"]]
    compared.sort(key=lambda pair: -pair[0]["ratio"])
    rows = [row for _, row in compared]
    figure, axes = by_rows(len(rows))
    for line, (versus, _) in enumerate(compared):
        colour = VERDICTS[versus["verdict"]]
        if versus["low"] is not None and versus["high"] is not None:
            axes.plot([versus["low"], versus["high"]], [line, line], color=colour, linewidth=2)
        axes.plot(versus["ratio"], line, "o", color=colour)
        text = f"{versus['ratio']:.2f}x"
        end = versus["high"] or versus["ratio"]
        axes.annotate(text, (end, line), (8, -4), textcoords="offset points")
    if rows:
        plain_log(axes, "x")
        label_rows(axes, rows)
        axes.axvline(1, color="0.3", linewidth=1)
        axes.margins(x=0.15)
        for verdict in dict.fromkeys(versus["verdict"] for versus, _ in compared):
            axes.plot([], [], "o-", color=VERDICTS[verdict], label=verdict)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        device = summary["baseline"]["device"].upper() if summary["baseline"] else "its device"
        axes.set(xlabel=f"times as fast as baseline on {device}, with its 95 % interval")
        axes.grid(axis="x", which="both")
    else:
        nothing(axes, "there is nothing to compare")
    axes.set_title("Speed-up", loc="left")
    return figure


def ablation(summary: Summary, jobs: list[Job]) -> Figure:
    """The median latency at every step of the ablation, and what the step bought."""
    by_device = _by_device(summary["ablation"])
    figure, below = panels([len(steps) for steps in by_device.values()] or [0])
    for axes, (device, steps) in zip(below, by_device.items(), strict=False):
        _fall(axes, steps)
        axes.set_title(f"What each step buys on {device.upper()}", loc="left")
    if not by_device:
        nothing(below[0], "no two steps were measured")
    return figure


def _fall(axes: Axes, steps: list[Step]) -> None:
    latencies = [step["p50_ms"] for step in steps]
    # a waterfall: what a step bought stays visible as a pale rest
    saved = [max(a - b, 0) for a, b in zip(latencies[:1] + latencies, latencies, strict=False)]
    places = range(len(steps))
    axes.barh(places, latencies, color=COLOURS[0], height=0.7)
    rest = axes.barh(places, saved, left=latencies, color="#C6DBEF", height=0.7)
    axes.bar_label(rest, list(map(_step_label, steps)), padding=4)
    label_rows(axes, steps)
    axes.set_xlim(0, 1.3 * max(latencies))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set(xlabel="latency of a request, p50, ms (pale: saved by the step)")
    axes.grid(axis="x")


def _by_device(rows: list[R]) -> dict[str, list[R]]:
    devices: dict[str, list[R]] = {}
    for row in rows:
        devices.setdefault(row["device"], []).append(row)
    return devices


def _forward_of(index: int) -> Callable[[Stages], float]:
    return lambda stages: stages["models"][index]["forward_ms"]


def _step_label(step: Step) -> str:
    label = f"{step['p50_ms']:,.0f} ms"
    return label if step["step"] is None else f"{label}, {step['step']['ratio']:.2f}x as fast"
