"""Accuracy against latency, and the modes that no other mode beats in both."""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from effdet_bench.report.figures.style import COLOURS, name, nothing, plain_log, stacked
from effdet_bench.summary.rows import Row, Summary, latency_of


class Range(NamedTuple):
    """A figure with its 95 % interval, which is the figure itself where none is known."""

    value: float
    low: float
    high: float


class Point(NamedTuple):
    """A mode: milliseconds of its median request, and percent of the reference's AP it keeps."""

    row: Row
    latency: Range
    kept: Range


def accuracy(summary: Summary) -> Figure:
    """A panel per model: every mode whose AP is known; valid modes that no other beats are filled.

    Latency is that of the whole request, with all models.
    """
    models = [entry["model"] for entry in summary["ensemble"]]
    found = {model: points for model in models if (points := points_of(summary, model))}
    figure, panels = stacked(len(found), 4)
    for panel, (model, points) in zip(panels, found.items(), strict=False):
        _panel(panel, points)
        panel.set_title(f"Accuracy of {model} against latency of a request", loc="left")
    if not found:
        nothing(panels[0], "no mAP is known: it takes `annotations` and trained weights")
    return figure


def points_of(summary: Summary, model: str) -> list[Point]:
    """The modes whose AP of `model` is known, the fastest first."""
    points = []
    for row in summary["rows"]:
        known = row["validity"]["accuracy"] or [] if row["latency"] else []
        for entry in known:
            if entry["model"] == model and "share" in entry and not (row["floor"] or row["twin"]):
                median = latency_of(row)["percentiles"]["p50"]
                low, high = median.get("low_ms", median["ms"]), median.get("high_ms", median["ms"])
                shares = (100 * entry[key] for key in ("share", "low", "high"))
                points.append(Point(row, Range(median["ms"], low, high), Range(*shares)))
    return sorted(points, key=lambda point: point.latency.value)


def unbeaten(points: list[Point]) -> list[Point]:
    """The valid `points` that no other valid point beats.

    A point beats another if neither of its figures is worse, and the interval of one figure lies
    wholly on the better side of the other's interval.
    """
    valid = [point for point in points if point.row["ranked"]]
    return [one for one in valid if not any(_beats(other, one) for other in valid)]


def _beats(one: Point, other: Point) -> bool:
    no_worse = one.latency.value <= other.latency.value and one.kept.value >= other.kept.value
    faster = one.latency.high < other.latency.low
    return no_worse and (faster or one.kept.low > other.kept.high)


def _panel(axes: Axes, points: list[Point]) -> None:
    best = unbeaten(points)
    for number, point in enumerate(points):
        ranked, latency, kept = point.row["ranked"], point.latency, point.kept
        rank = "" if ranked else f" ({point.row['validity']['verdict']})"
        colour = COLOURS[number % len(COLOURS)]
        axes.errorbar(
            latency.value,
            kept.value,
            xerr=[[latency.value - latency.low], [latency.high - latency.value]],
            # with few photos, the figure may lie outside its interval
            yerr=[[max(0, kept.value - kept.low)], [max(0, kept.high - kept.value)]],
            fmt="o" if ranked else "x",
            color=colour,
            markerfacecolor=colour if point in best else "white",
            elinewidth=0.8,
            label=name(point.row) + rank,
        )
    axes.plot([], [], "o", color="0.35", label="filled: none beats it in both")
    least = points[0].row["validity"]["tolerance"]["accuracy"]
    axes.axhline(100 * least, color="0.6", linewidth=0.8, linestyle="--")
    plain_log(axes, "x")
    axes.set(
        xlabel="median latency of a request, ms, with its 95 % interval",
        ylabel="mAP kept of the reference's, %",
    )
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes.grid(which="both")
