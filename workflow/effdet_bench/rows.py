"""What a row of a summary says of itself: the figures of one mode on one device."""

from effdet_bench.names import JOINT_ENGINES


def p50(row: dict) -> float:
    """The median latency of `row` in milliseconds."""
    return row["latency"]["percentiles"]["p50"]["ms"]


def standing(row: dict) -> tuple:
    """What rows with a latency are sorted by: those ranked first, the floor last."""
    return not row["ranked"], row["floor"], p50(row)


def place(row: dict) -> dict:
    """Device and mode of `row`."""
    return {"device": row["device"], "mode": row["mode"]}


def unsplit(row: dict) -> str | None:
    """In words, why stages of the separate pass are not those of a request; `None` if they are."""
    if row["options"].get("parallel"):
        return (
            "in a request these models run side by side, but in this pass one after the other, "
            "each on its share of the threads"
        )
    if row["engine"] in JOINT_ENGINES:
        return "these networks run as one, all of which is in the forward of the first"
    return None
