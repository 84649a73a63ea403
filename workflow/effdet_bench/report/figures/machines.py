"""All machines in one figure."""

from pathlib import Path

from matplotlib import pyplot as plt

from effdet_bench.report.figures.style import COLOURS, STYLE, by_rows, name, plain_log, save
from effdet_bench.summary.rows import Summary, p50


def draw_machines(machines: list[tuple[str, Summary]], path: Path) -> None:
    """Median latency of every valid mode on every machine, the fastest on top; to `path`."""
    rows = sorted(
        (
            (number, row)
            for number, (_, summary) in enumerate(machines)
            for row in summary["rows"]
            if row["ranked"]
        ),
        key=lambda entry: p50(entry[1]),
    )
    with plt.rc_context(STYLE):
        figure, axes = by_rows(len(rows))
        for place, (number, row) in enumerate(rows):
            axes.plot(p50(row), place, "o", color=COLOURS[number % len(COLOURS)])
        axes.set_yticks(range(len(rows)), [name(row) for _, row in rows])
        for number, (machine, _) in enumerate(machines):
            colour = COLOURS[number % len(COLOURS)]
            axes.plot([], [], "o", color=colour, label=machine)
        if rows:
            plain_log(axes, "x")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        axes.grid(axis="x", which="both")
        axes.set(xlabel="latency of a request, p50, ms")
        axes.set_title("Valid modes of all machines", loc="left")
        save(figure, path)
