"""Ratios to `baseline` and latencies of one machine over time, a row of panels for each mode."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from effdet_bench.config.names import BASELINE
from effdet_bench.report.figures.style import COLOURS, STYLE, WIDTH, save
from effdet_bench.report.numbers import times
from effdet_bench.summary.steps import Step

HEIGHT = 1.7  # inches, of a row of panels
LABELS = 12  # along the time axis


class Known(NamedTuple):
    """A figure, and the ends of its 95 % interval; `None` where there is no interval."""

    value: float
    low: float | None
    high: float | None


class Point(NamedTuple):
    """A mode in the archive of this number: how many times as fast as `baseline`, and median in ms.

    `error` is the standard error of the ratio's logarithm.
    """

    archive: int
    ratio: Known | None
    latency: Known
    error: float | None


class Series(NamedTuple):
    """A mode over time, and its steps: in the ratio, or of `baseline` itself in the latency."""

    device: str
    mode: str
    points: list[Point]
    steps: list[Step]

    @property
    def name(self) -> str:
        return f"{self.device.upper()} {self.mode}"

    @property
    def relative(self) -> bool:
        """Whether the steps are in the ratio."""
        return any(point.ratio for point in self.points)

    @property
    def followed(self) -> list[Point]:
        """The points in which steps are searched: those with a ratio, if any has one."""
        return [point for point in self.points if point.ratio] or self.points


def draw_history(series: Sequence[Series], labels: Sequence[str], path: Path) -> None:
    """Draws all `series`, at least one, over the archives with these `labels` to `path`."""
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            len(series),
            2,
            figsize=(WIDTH, HEIGHT * len(series) + 1.2),
            sharex=True,
            squeeze=False,
            layout="constrained",
        )
        for (ratios, latencies), one in zip(grid, series, strict=True):
            without = "1 by definition" if one.mode == BASELINE else f"no valid {BASELINE}"
            _draw(ratios, [(p.archive, p.ratio) for p in one.points if p.ratio], without)
            _draw(latencies, [(point.archive, point.latency) for point in one.points])
            ratios.set_title(f"{one.name}: times as fast as baseline", loc="left", fontsize=10)
            latencies.set_title("latency p50, ms", loc="left", fontsize=10)
            _mark(ratios if one.relative else latencies, one)
        shown = range(0, len(labels), -(-len(labels) // LABELS))
        for axes in grid[-1]:
            axes.set_xticks(shown, [labels[number] for number in shown], rotation=60, ha="right")
            axes.set_xlim(-0.5, len(labels) - 0.5)
        save(figure, path)


def _draw(axes: Axes, points: list[tuple[int, Known]], without: str = "") -> None:
    """Draws `points`, number of the archive and figure; in place of none, the words `without`."""
    axes.grid(axis="y")
    if not points:
        axes.text(0.5, 0.5, without, ha="center", va="center", transform=axes.transAxes)
        axes.set_yticks([])
        return
    places = [place for place, _ in points]
    axes.plot(places, [known.value for _, known in points], "o-", color=COLOURS[0], markersize=4)
    for place, known in points:
        if known.low is not None and known.high is not None:
            axes.plot([place, place], [known.low, known.high], color=COLOURS[0], linewidth=1)


def _mark(axes: Axes, series: Series) -> None:
    """A line before the first archive of each step, with its size."""
    for step in series.steps:
        place = series.followed[step.at].archive - 0.5
        axes.axvline(place, color=COLOURS[1], linestyle="--", linewidth=1.2)
        axes.annotate(
            f" {times(step.factor)}",
            (place, 1),
            xycoords=("data", "axes fraction"),
            va="top",
            color=COLOURS[1],
            fontsize=9,
        )
