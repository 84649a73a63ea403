"""The roofline: speed of every model's forward pass under the ceilings of its device."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from effdet_bench.records import Record
from effdet_bench.report.figures.style import COLOURS, nothing, plain_log, stacked
from effdet_bench.summary.jobs import Job
from effdet_bench.summary.rows import Row, Summary, stages_of, unsplit

MARKERS = "osD^vP*X"


def roofline(summary: Summary, jobs: list[Job]) -> Figure:
    """Each model in each ranked mode, under the ceilings of its device: one panel per device.

    Modes whose models are not timed one by one are left out.

    Speed is counted operations over the mean time of the model's forward pass (stage pass);
    operational intensity is operations ÷ the least number of bytes to move.
    """
    roofs = [roof for roof in summary["rooflines"] if roof["outcome"] == "completed"]
    figure, panels = stacked(len(roofs), 4.8)
    for panel, roof in zip(panels, roofs, strict=False):
        _panel(
            panel,
            roof,
            [r for r in summary["rows"] if r["ranked"] and r["stages"] and not unsplit(r)],
        )
    if not roofs:
        nothing(panels[0], "no ceiling was measured")
    return figure


def _panel(axes: Axes, roof: Record, rows: list[Row]) -> None:
    device, rows = roof["device"], [row for row in rows if row["device"] == roof["device"]]
    bandwidth = roof["copy_bytes_per_second"]
    points = []
    for number, row in enumerate(rows):
        size = 2 if row["precision"] in ("bf16", "fp16") else 1 if row["precision"] == "int8" else 4
        for index, model in enumerate(roof["models"]):
            moved = size * (model["weights"] + model["activations"])
            seconds = stages_of(row)["models"][index]["forward_ms"] / 1e3
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
    plain_log(axes, "x", "y")
    axes.set(
        xlabel="operational intensity, FLOP per byte moved at least",
        ylabel="speed of the forward pass, GFLOP/s",
    )
    axes.set_title(f"Roofline of {device.upper()}", loc="left")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes.grid(which="both")


def _label(
    axes: Axes, text: str, at: tuple[float, float], offset: tuple[int, int], align: str
) -> None:
    axes.annotate(text, at, xytext=offset, textcoords="offset points", ha=align)
