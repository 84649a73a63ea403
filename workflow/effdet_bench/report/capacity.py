"""What the section on load shows: the rate that each mode sustains, and machines for a rate."""

import math
from typing import Any, TypedDict

from effdet_bench.records import Record

HOURS = 730  # of a month, a twelfth of a year


class Planned(TypedDict):
    """For `rate` requests a second within a bound: the mode that needs the fewest machines.

    `busy` is the share of their capacity that is used; the costs are in the currency of
    `price_per_hour`, `None` without it.
    """

    rate: float
    bound_ms: float
    percentile: str
    mode: Record | None
    machines: int | None
    busy: float | None
    per_million: float | None
    per_month: float | None


def load_view(capacities: Record | None, config: Record) -> dict[str, Any] | None:
    """What the templates see of `capacities`; `None` where nothing was put under load."""
    if capacities is None:
        return None
    loaded = [mode for mode in capacities["modes"] if mode["passes"]]
    goals = list(dict.fromkeys((c["bound_ms"], c["percentile"]) for m in loaded for c in _goals(m)))
    null = [one for mode in loaded for one in mode["passes"] if one["kind"] == "null"]
    price = config["report"].get("price_per_hour")
    strictest = max((percentile for _, percentile in goals), default=None)
    return {
        "setting": loaded[0]["setting"] if loaded else None,
        "modes": sorted(loaded, key=lambda mode: -most(mode)["answered_rps"]),
        "left_out": [mode for mode in capacities["modes"] if not mode["passes"]],
        "goals": goals,
        "null": null,
        "most": most,
        "capacity": capacity,
        "pass_of": lambda mode, number: mode["passes"][number],
        "price": price,
        "plan": [
            plan(loaded, rate, bound, percentile, price)
            for rate in config["report"].get("request_rates", [])
            for bound, percentile in goals
            if percentile == strictest
        ],
    }


def most(mode: Record) -> Record:
    """The pass of `mode` in a closed loop that answered the most requests a second."""
    closed = [one for one in mode["passes"] if one["kind"] == "closed"]
    best: Record = max(closed, key=lambda one: one["answered_rps"], default={"answered_rps": 0})
    return best


def capacity(mode: Record, bound: float, percentile: str) -> Record | None:
    """The capacity of `mode` for a bound, `None` if no rate was found or its answers are wrong."""
    found = [
        one
        for one in mode["capacities"]
        if (one["bound_ms"], one["percentile"]) == (bound, percentile) and one["rate"]
    ]
    return found[0] if found and mode["answers"]["verdict"] == "valid" else None


def plan(
    modes: list[Record], rate: float, bound: float, percentile: str, price: float | None
) -> Planned:
    """The fewest machines for `rate`.

    Poisson arrivals that are dealt out to machines at random are Poisson on each: so a machine
    takes what it took alone, and the room for bursts is in what was measured.
    """
    known = [(one["rate"], mode) for mode in modes if (one := capacity(mode, bound, percentile))]
    result: Planned = {
        "rate": rate,
        "bound_ms": bound,
        "percentile": percentile,
        "mode": None,
        "machines": None,
        "busy": None,
        "per_million": None,
        "per_month": None,
    }
    if not known:
        return result
    each, mode = max(known, key=lambda one: one[0])
    machines = math.ceil(rate / each)
    result |= {"mode": mode, "machines": machines, "busy": rate / (machines * each)}
    if price is not None:
        result["per_month"] = machines * price * HOURS
        result["per_million"] = machines * price / (3600 * rate) * 1e6
    return result


def _goals(mode: Record) -> list[Record]:
    return sorted(mode["capacities"], key=lambda one: (one["percentile"], one["bound_ms"]))
