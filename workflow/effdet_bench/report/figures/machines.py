"""All machines in one figure."""

from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from effdet_bench.report.figures.style import COLOURS, STYLE, panels, plain_log, save
from effdet_bench.summary.rows import Row, Summary, p50

Ranked = list[tuple[str, list[Row]]]  # machines, and their valid modes


def draw_machines(machines: list[tuple[str, Summary]], path: Path) -> None:
    """Median latency of every valid mode on every machine, a panel for each device; to `path`."""
    rows = [row for _, summary in machines for row in summary["rows"] if row["ranked"]]
    devices = list(dict.fromkeys(row["device"] for row in rows)) or ["cpu"]
    by_device = {device: _ranked(device, machines) for device in devices}
    with plt.rc_context(STYLE):
        figure, grid = panels([len(ranked) for ranked in by_device.values()])
        for axes, (device, ranked) in zip(grid, by_device.items(), strict=True):
            _draw(axes, device, ranked)
        save(figure, path)


def _ranked(device: str, machines: list[tuple[str, Summary]]) -> Ranked:
    """Valid modes on `device`, by machine, the one with the fastest mode first."""
    found = [
        (name, [row for row in summary["rows"] if row["ranked"] and row["device"] == device])
        for name, summary in machines
    ]
    return sorted((one for one in found if one[1]), key=lambda one: min(map(p50, one[1])))


def _draw(axes: Axes, device: str, ranked: Ranked) -> None:
    modes = list(dict.fromkeys(row["mode"] for _, rows in ranked for row in sorted(rows, key=p50)))
    for colour, mode in zip(COLOURS * (1 + len(modes) // len(COLOURS)), modes, strict=False):
        points = [
            (p50(row), place)
            for place, (_, rows) in enumerate(ranked)
            for row in rows
            if row["mode"] == mode
        ]
        axes.plot(*zip(*points, strict=True), "o", color=colour, label=mode, markersize=5)
    axes.set_yticks(range(len(ranked)), [name for name, _ in ranked])
    if ranked:
        plain_log(axes, "x")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes.grid(axis="both", which="both")
    axes.set(xlabel="latency of a request, p50, ms")
    axes.set_title(f"Valid modes on {device.upper()}, by machine", loc="left")
