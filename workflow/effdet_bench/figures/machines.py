"""All machines in one figure."""

from pathlib import Path

from matplotlib import pyplot as plt

from effdet_bench.figures.style import COLOURS, STYLE, by_rows, name, plain_log, save
from effdet_bench.rows import p50


def draw_machines(machines: list[dict], path: Path) -> None:
    """Median latency of every valid mode on every machine, the fastest on top; to `path`."""
    rows = sorted(
        (
            (number, row)
            for number, machine in enumerate(machines)
            for row in machine["summary"]["rows"]
            if row["ranked"]
        ),
        key=lambda entry: p50(entry[1]),
    )
    with plt.rc_context(STYLE):
        figure, axes = by_rows(len(rows))
        for place, (number, row) in enumerate(rows):
            axes.plot(p50(row), place, "o", color=COLOURS[number % len(COLOURS)])
        axes.set_yticks(range(len(rows)), [name(row) for _, row in rows])
        for number, machine in enumerate(machines):
            colour = COLOURS[number % len(COLOURS)]
            axes.plot([], [], "o", color=colour, label=machine["machine"])
        if rows:
            plain_log(axes, "x")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        axes.grid(axis="x", which="both")
        axes.set(xlabel="latency of a request, p50, ms")
        axes.set_title("Valid modes of all machines", loc="left")
        save(figure, path)
