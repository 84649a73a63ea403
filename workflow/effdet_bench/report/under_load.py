"""What the section on load shows: the rate that each mode sustains, and machines for a rate."""

import math
from collections.abc import Iterable
from typing import Any

from effdet_bench import records
from effdet_bench.layout import Archive
from effdet_bench.records import Record
from effdet_bench.summary.latency import needed_requests

HOURS = 730  # of a month, a twelfth of a year


def read_capacities(archive: Archive) -> Record | None:
    """The record that the step wrote; `None` where nothing was put under load."""
    if not archive.capacities.exists():
        return None
    return records.read_json(archive.capacities, "capacities")


def shape(served: Record) -> str:
    """Where a pass under load ran: `2 × 1 threads`, and the size of batches beyond one."""
    text = f"{served['instances']} × {served['threads']} threads"
    return text if served["batch"] == 1 else f"{text}, batches of {served['batch']}"


def load_view(capacities: Record | None, config: Record) -> dict[str, Any] | None:
    """What the templates see of `capacities`; `None` where nothing was put under load."""
    if capacities is None:
        return None
    loaded = [mode for mode in capacities["modes"] if mode["most"]]
    left_out = grouped((m["reason"], m) for m in capacities["modes"] if not m["most"])
    goals = list(dict.fromkeys((c["bound_ms"], c["percentile"]) for m in loaded for c in _goals(m)))
    null = [one for mode in capacities["modes"] for one in mode["passes"] if one["kind"] == "null"]
    price = config["report"].get("price_per_hour")
    strictest = max((percentile for _, percentile in goals), default=None)
    return {
        "settings": grouped((mode["setting"], mode) for mode in loaded),
        "modes": sorted(loaded, key=lambda mode: -mode["most"]["answered_rps"]),
        "left_out": left_out,
        "goals": goals,
        "unsought": _unsought(config, goals),
        "scenarios": [
            (mode, one)
            for mode in loaded
            for one in mode["passes"]
            if one.get("purpose") == "scenario"
        ],
        "null": null,
        "energy": [mode for mode in loaded if mode.get("energy")],
        "no_energy": grouped((m["no_energy"], m) for m in loaded if m.get("no_energy")),
        "found": any(one["rate"] for mode in loaded for one in mode["capacities"]),
        "capacity": capacity,
        "sought": sought,
        "supports": lambda one, which: one["requests"] >= needed_requests(float(which[1:])),
        "price": price,
        "plan": [
            plan(loaded, rate, bound, percentile, price)
            for rate in config["report"].get("request_rates", [])
            for bound, percentile in goals
            if percentile == strictest
        ],
    }


def grouped(pairs: Iterable[tuple[str, Record]]) -> dict[str, list[Record]]:
    """The records of each key, in their order."""
    found: dict[str, list[Record]] = {}
    for key, record in pairs:
        found.setdefault(key, []).append(record)
    return found


def _unsought(config: Record, goals: list[tuple[float, str]]) -> list[str]:
    """Bounds of the settings that no rate was looked for."""
    sought = {bound for bound, _ in goals}
    return [f"{bound:g}" for bound in config.get("latency_bounds", []) if bound not in sought]


def capacity(mode: Record, bound: float, percentile: str) -> Record | None:
    """The capacity of `mode` for a bound, `None` if none was found or its answers are wrong."""
    found = sought(mode, bound, percentile)
    valid = mode["answers"] and mode["answers"]["verdict"] == "valid"
    return found if found and found["rate"] and valid else None


def sought(mode: Record, bound: float, percentile: str) -> Record | None:
    """What the search for the capacity of `mode` found, `None` if it looked for no such bound."""
    asked = bound, percentile
    every = mode["capacities"]
    return next((one for one in every if (one["bound_ms"], one["percentile"]) == asked), None)


def best_capacities(
    modes: list[Record], bound: float, percentile: str
) -> list[tuple[Record, Record]]:
    """The modes of `modes` that have a capacity for a bound, and it; the highest first."""
    known = [(mode, one) for mode in modes if (one := capacity(mode, bound, percentile))]
    return sorted(known, key=lambda pair: -pair[1]["rate"])


def loosest_capacity(modes: list[Record]) -> tuple[Record, Record] | None:
    """The mode with the highest capacity at the loosest bound that has one, and this capacity."""
    goals = {(one["bound_ms"], one["percentile"]) for mode in modes for one in _goals(mode)}
    found = [best_capacities(modes, *goal)[:1] for goal in sorted(goals, reverse=True)]
    return next((best[0] for best in found if best), None)


def load_table(loads: dict[str, Record | None]) -> Record:
    """Capacities by device, mode and bound, of the machines that `loads` are of, by name.

    Machines that were put under none are left out.
    """
    loaded = {machine: load for machine, load in loads.items() if load}
    found: dict[tuple[str, str, float, str], dict[str, Record]] = {}
    for machine, capacities in loaded.items():
        for mode in capacities["modes"]:
            for one in _goals(mode):
                if known := capacity(mode, one["bound_ms"], one["percentile"]):
                    key = mode["device"], mode["mode"], one["bound_ms"], one["percentile"]
                    found.setdefault(key, {})[machine] = known
    return {"machines": list(loaded), "rows": sorted(found.items())}


def plan(
    modes: list[Record], rate: float, bound: float, percentile: str, price: float | None
) -> Record:
    """The mode that needs the fewest machines for `rate` requests a second within a bound.

    Poisson arrivals that are dealt out to machines at random are Poisson on each: so a machine
    takes what it took alone, and the room for bursts is in what was measured.

    Returns:
        What was asked, and `mode`, which is `None` if no mode keeps the bound; else also the number
        of `machines`, `busy`, the share of their capacity that is used, and the costs in the
        currency of `price`, `None` without it.
    """
    asked = {"rate": rate, "bound_ms": bound, "percentile": percentile}
    best = best_capacities(modes, bound, percentile)
    if not best:
        return asked | {"mode": None}
    mode, each = best[0][0], best[0][1]["rate"]
    machines = math.ceil(rate / each)
    return asked | {
        "mode": mode,
        "machines": machines,
        "busy": rate / (machines * each),
        "per_month": None if price is None else machines * price * HOURS,
        "per_million": None if price is None else machines * price / (3600 * rate) * 1e6,
    }


def _goals(mode: Record) -> list[Record]:
    return sorted(mode["capacities"], key=lambda one: (one["percentile"], one["bound_ms"]))
