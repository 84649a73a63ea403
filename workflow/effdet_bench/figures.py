"""The figures of a report, drawn from its summary alone; the same bytes for the same summary."""

import argparse
import io
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from effdet_bench import records

# Okabe and Ito's colours, then Tol's: told apart with any colour vision, on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
COLOURS += ("#882255", "#999933", "#332288", "#999999", "#AA4499", "#117733", "#661100", "#88CCEE")
MARKERS = "osD^vP*X"
STYLE = {
    "svg.hashsalt": "effdet-bench",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def roofline(summary: dict) -> Figure:
    """Each model in each ranked mode, under the ceilings of its device: one panel per device.

    Speed is counted operations over the mean time of the model's forward pass (stage pass);
    operational intensity is operations per byte that has to be moved at least.
    """
    roofs = [roof for roof in summary["rooflines"] if roof["outcome"] == "completed"]
    figure, panels = plt.subplots(
        max(len(roofs), 1), 1, figsize=(8, 4.8 * max(len(roofs), 1)), squeeze=False
    )
    for panel, roof in zip(panels[:, 0], roofs, strict=False):
        _panel(panel, roof, [row for row in summary["rows"] if row["ranked"]])
    if not roofs:
        panels[0, 0].text(0.5, 0.5, "no ceiling was measured", ha="center")
        panels[0, 0].axis("off")
    figure.tight_layout()
    return figure


def ablation(summary: dict) -> Figure:
    """The median latency at every step of the ablation, and what the step bought."""
    steps = summary["ablation"]
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.45 * max(len(steps), 2)))
    names = [f"{step['device'].upper()} {step['mode']}" for step in steps]
    bars = axes.barh(names, [step["p50_ms"] for step in steps], color=COLOURS[0])
    labels = [_step_label(step) for step in steps]
    axes.bar_label(bars, labels, padding=4)
    axes.margins(x=0.3)
    axes.invert_yaxis()
    axes.set(xlabel="latency of a request, p50, ms", title="What each step buys")
    if not steps:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no two steps were measured", ha="center", transform=axes.transAxes)
    figure.tight_layout()
    return figure


def _step_label(step: dict) -> str:
    label = f"{step['p50_ms']:,.0f} ms"
    return label if step["step"] is None else f"{label}, {step['step']['ratio']:.2f}x as fast"


def _panel(axes: Axes, roof: dict, rows: list[dict]) -> None:
    device, rows = roof["device"], [row for row in rows if row["device"] == roof["device"]]
    bandwidth = roof["copy_bytes_per_second"]
    points = []
    for number, row in enumerate(rows):
        size = 2 if row["precision"] in ("bf16", "fp16") else 1 if row["precision"] == "int8" else 4
        for index, model in enumerate(roof["models"]):
            moved = size * (model["weights"] + model["activations"])
            seconds = row["stages"]["models"][index]["forward_ms"] / 1e3
            x, y = model["flops"] / moved, model["flops"] / seconds / 1e9
            points.append(x)
            axes.plot(x, y, MARKERS[index % len(MARKERS)], color=COLOURS[number % len(COLOURS)])
    ridges = [ceiling / bandwidth for ceiling in roof["flops_per_second"].values()]
    low, high = min(points + ridges) / 4, max(points + ridges) * 4
    intensity = np.geomspace(low, high, 400)
    for number, (precision, ceiling) in enumerate(roof["flops_per_second"].items()):
        speed = np.minimum(ceiling, intensity * bandwidth) / 1e9
        axes.plot(intensity, speed, color="0.35", linestyle=("-", "--", ":", "-.")[number % 4])
        label = f"{precision}: {ceiling / 1e9:,.0f} GFLOP/s"
        _label(axes, label, (high, ceiling / 1e9), (0, 4), "right")
    _label(
        axes, f"copy: {bandwidth / 1e9:,.1f} GB/s", (low, low * bandwidth / 1e9), (14, 0), "left"
    )
    for number, row in enumerate(rows):
        axes.plot([], [], "s", color=COLOURS[number % len(COLOURS)], label=row["mode"])
    for index, model in enumerate(roof["models"]):
        marker = MARKERS[index % len(MARKERS)]
        axes.plot([], [], marker, color="0.35", fillstyle="none", label=model["model"])
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="operational intensity, FLOP per byte moved at least",
        ylabel="speed of the forward pass, GFLOP/s",
        title=f"Roofline of {device.upper()}",
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:,g}")
        axis.set_minor_formatter(NullFormatter())
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes.grid(color="0.9", which="both")


def _label(axes: Axes, text: str, at: tuple, offset: tuple, align: str) -> None:
    axes.annotate(text, at, xytext=offset, textcoords="offset points", ha=align)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--summary", required=True, help="summary.json")
    parser.add_argument("--output", required=True, help="folder for the figures, .svg")


def run(args: argparse.Namespace) -> None:
    summary = records.read_json(args.summary, "summary")
    for draw in (roofline, ablation):
        buffer = io.BytesIO()
        with plt.rc_context(STYLE):
            draw(summary).savefig(buffer, format="svg", metadata={"Date": None})
        records.write_bytes(Path(args.output) / f"{draw.__name__}.svg", buffer.getvalue())
