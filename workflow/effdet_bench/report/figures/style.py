"""What all figures have in common: colours, type, and how a row of a summary is named."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from effdet_bench import records
from effdet_bench.summary.rows import Place, Row

# Okabe and Ito's colours, then Tol's: distinct on white for any colour vision
COLOURS: tuple[str, ...] = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#000000",
)
COLOURS += ("#882255", "#999933", "#332288", "#999999", "#AA4499", "#117733", "#661100", "#88CCEE")
# white behind all, so that a figure is as readable on a dark page
STYLE: Any = {
    "svg.hashsalt": "effdet-bench",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "legend.frameon": False,
}
WIDTH = 9.0  # inches, of every figure
ROW = 0.32  # inches, of a row of a summary


def save(figure: Figure, path: Path) -> None:
    """Writes `figure` to `path`, .svg or .png."""
    buffer = io.BytesIO()
    kind = path.suffix[1:]
    figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {})
    plt.close(figure)
    records.write_bytes(path, buffer.getvalue())


def by_rows(count: int) -> tuple[Figure, Axes]:
    """Axes for `count` rows of a summary, the first on top."""
    figure, (axes,) = panels([count])
    return figure, axes


def stacked(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """`count` axes below each other, at least one, each `height` inches high."""
    count = max(count, 1)
    size = WIDTH, height * count
    figure, grid = plt.subplots(count, 1, figsize=size, squeeze=False, layout="constrained")
    return figure, list(grid[:, 0])


def panels(counts: list[int]) -> tuple[Figure, list[Axes]]:
    """Axes below each other, as in `by_rows`, for as many rows each as `counts` says."""
    heights = [1.2 + ROW * max(count, 2) for count in counts]
    figure, grid = plt.subplots(
        len(counts),
        1,
        figsize=(WIDTH, sum(heights)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for axes, count in zip(grid[:, 0], counts, strict=True):
        axes.set_ylim(max(count, 1) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
    return figure, list(grid[:, 0])


def label_rows(axes: Axes, rows: Sequence[Place]) -> None:
    axes.set_yticks(range(len(rows)), [name(row) for row in rows])


def name(row: Row | Place) -> str:
    """The name of a row in figures, such as `CPU baseline`."""
    return f"{row['device'].upper()} {row['mode']}"


def plain_log(axes: Axes, *which: str) -> None:
    """Makes axes logarithmic, labelled with plain numbers."""
    for letter in which:
        axes.set(**{f"{letter}scale": "log"})
        axis = getattr(axes, f"{letter}axis")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:,g}")
        axis.set_minor_formatter(NullFormatter())


def nothing(axes: Axes, why: str) -> None:
    """Says on empty `axes` why they are empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", transform=axes.transAxes)
