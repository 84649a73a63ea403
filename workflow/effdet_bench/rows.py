"""What a row of a summary says of itself: the figures of one mode on one device."""


def p50(row: dict) -> float:
    """The median latency of `row` in milliseconds."""
    return row["latency"]["percentiles"]["p50"]["ms"]


def standing(row: dict) -> tuple:
    """What rows with a latency are sorted by: those ranked first, the floor last."""
    return not row["ranked"], row["floor"], p50(row)


def place(row: dict) -> dict:
    """Device and mode of `row`."""
    return {"device": row["device"], "mode": row["mode"]}
