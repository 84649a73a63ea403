"""Numbers as they are printed, with their units; the same everywhere in a report."""

import math

from effdet_bench.summary.rows import Percentile


def milliseconds(value: float) -> str:
    """`1,459.29 ms`, with more digits where the value is small: `0.0123 ms`."""
    digits = 2 if value >= 1 else 4
    return f"{value:,.{digits}f} ms"


def times(ratio: float) -> str:
    """`8.66x`, without decimals from 1,000 on."""
    return f"{ratio:,.2f}x" if ratio < 1000 else f"{ratio:,.0f}x"


def requests_per_second(rate: float) -> str:
    """`0.68 requests/s`."""
    return f"{rate:,.2f} requests/s"


def percent(share: float) -> str:
    """`12.5 %` of 0.125."""
    return f"{share * 100:.1f} %"


def mebibytes(size: float) -> str:
    """`1,164 MiB` of bytes."""
    return f"{size / 2**20:,.0f} MiB"


def seconds(value: float) -> str:
    """`3.4 s`."""
    return f"{value:.1f} s"


def error(value: float) -> str:
    """`0.0012`, and `0` for what is exactly that."""
    return "0" if value == 0 else f"{value:.2g}"


def gigaflops(rate: float) -> str:
    """`449 GFLOP/s`."""
    return f"{rate / 1e9:,.0f} GFLOP/s"


def significant(value: float, digits: int = 3) -> str:
    """`8.50` of 8.4961: so many significant digits, and all digits of whole numbers above."""
    decimals = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(0, decimals)}f}"


def brief(value: float) -> str:
    """`117 ms`, and `1.67 s` from a second on: milliseconds by three significant digits."""
    return f"{significant(value / 1e3)} s" if value >= 999.5 else f"{significant(value)} ms"


def uncertain(figure: Percentile) -> str:
    """`1.67 s (1.58 – 1.81)`: a percentile and its interval, whose width decides on the digits.

    Without an interval, as for one round: `brief`.
    """
    if "low_ms" not in figure or figure["high_ms"] <= figure["low_ms"]:
        return brief(figure["ms"])
    unit, scale = ("s", 1e3) if figure["ms"] >= 999.5 else ("ms", 1)
    half = (figure["high_ms"] - figure["low_ms"]) / 2 / scale
    decimals = max(0, 1 - math.floor(math.log10(half)))
    value, low, high = (
        f"{ms / scale:,.{decimals}f}" for ms in (figure["ms"], figure["low_ms"], figure["high_ms"])
    )
    return f"{value} {unit} ({low} – {high})"
