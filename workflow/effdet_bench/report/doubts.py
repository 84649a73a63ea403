"""Which doubts concern a machine, because most of its modes have them, and which a mode alone."""

from typing import TypedDict

from effdet_bench.summary.rows import Row, Warned


class CommonDoubt(TypedDict):
    """The worst doubt of its kind on a device, and how many of `rows` modes have one."""

    worst: Warned
    count: int
    rows: int


def shared_doubts(measured: list[Row], device: str) -> list[Warned]:
    """Doubts that all modes on `device` have, with the same figure: those about the machine."""
    doubts = [row["doubts"] for row in measured if row["device"] == device]
    if len(doubts) < 2:
        return []
    return [shared for shared in doubts[0] if all(shared in own for own in doubts)]


def common_doubts(measured: list[Row], device: str) -> list[CommonDoubt]:
    """Doubts of the kinds that at least half of the modes on `device` have, if it has several."""
    rows = [row for row in measured if row["device"] == device]
    found: dict[str, list[Warned]] = {}
    for row in rows:
        for doubt in row["doubts"]:
            found.setdefault(doubt["kind"], []).append(doubt)
    return [
        {"worst": max(doubts, key=_size), "count": len(doubts), "rows": len(rows)}
        for doubts in found.values()
        if len(rows) > 1 and 2 * len(doubts) >= len(rows)
    ]


def marked(measured: list[Row], common: dict[str, list[CommonDoubt]]) -> list[Row]:
    """Rows that have a doubt of a kind that is not among the `common` ones of their device."""
    kinds = {device: {one["worst"]["kind"] for one in found} for device, found in common.items()}
    return [
        row for row in measured if {doubt["kind"] for doubt in row["doubts"]} - kinds[row["device"]]
    ]


def _size(doubt: Warned) -> float:
    size = abs(doubt["value"])
    return -size if doubt["kind"] == "clock" else size  # a share of the highest clock
