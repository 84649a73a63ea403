"""Rows of a report that hold modes against each other: gaps, and the steps of the ablation."""

from typing import TypedDict

from effdet_bench.report.words import name
from effdet_bench.summary.rows import Summary, Versus, latency_of


class GapLine(TypedDict):
    """A gap of the summary, and in words what lies between its two modes."""

    slower: str
    faster: str
    ratio: float
    between: str


class AblationLine(TypedDict):
    """A step of the ablation, and the verdict on it.

    `over_first` is how many times as fast as the first one it is.
    """

    name: str
    p50_ms: float
    supported: bool
    step: Versus | None
    verdict: str
    over_first: float | None


def gap_lines(summary: Summary) -> list[GapLine]:
    rows = {(row["device"], row["mode"]): row for row in summary["rows"]}
    lines: list[GapLine] = []
    for gap in summary["gaps"]:
        slower, faster = gap["slower"], gap["faster"]
        if rows[faster["device"], faster["mode"]]["floor"]:
            between = "the networks, and postprocessing other than upstream's"
        elif slower["device"] == faster["device"]:
            between = "the mode"
        else:
            between = "the device" + ("" if slower["mode"] == faster["mode"] else " and the mode")
        lines.append(
            {
                "slower": name(slower),
                "faster": name(rows[faster["device"], faster["mode"]]),
                "ratio": gap["ratio"],
                "between": between,
            }
        )
    return lines


def ablation_lines(summary: Summary) -> list[AblationLine]:
    rows = {(row["device"], row["mode"]): row for row in summary["rows"]}
    lines: list[AblationLine] = []
    for step in summary["ablation"]:
        row = rows[step["device"], step["mode"]]
        lines.append(
            {
                "name": name(row),
                "p50_ms": step["p50_ms"],
                "supported": latency_of(row)["percentiles"]["p50"]["supported"],
                "step": step["step"],
                "verdict": step["step"]["verdict"] if step["step"] else "–",
                "over_first": step["over_first"],
            }
        )
    return lines
