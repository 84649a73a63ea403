"""Compares the archives of all machines side by side."""

import math
from pathlib import Path
from typing import TypedDict

from effdet_bench import records
from effdet_bench.archive.collection import archives_in
from effdet_bench.config.names import DEVICES
from effdet_bench.layout import PUBLISHED_LATENCIES, Archive
from effdet_bench.records import Record, settings_of
from effdet_bench.report.recommendation import fastest
from effdet_bench.report.report import templates
from effdet_bench.report.under_load import load_table, loosest_capacity, read_capacities
from effdet_bench.summary.rows import Row, Summary, measured, p50, place, standing
from effdet_bench.summary.summary import read_summary

# settings on which figures depend
ASKED = ("seconds", "requests", "warmup", "rounds", "threads")


class Machine(TypedDict):
    """The parts of one machine's archive that are compared.

    `config` are its settings, and `asked` those on which figures depend.
    """

    machine: str
    config: Record
    summary: Summary
    environment: Record
    photos: list[Record]
    capacities: Record | None
    asked: Record


def read_machine(archive: Archive) -> Machine:
    """Reads the parts of `archive` that are compared."""
    summary = read_summary(archive)
    asked: Record = {key: summary[key] for key in ASKED}  # type: ignore[literal-required]
    config = settings_of(archive)
    asked |= {key: config[key] for key in ASKED if key in config}
    return {
        "machine": summary["machine"],
        "config": config,
        "summary": summary,
        "environment": records.read_json(archive.environment, "environment"),
        "photos": records.read_json(archive.photos, "photos")["photos"],
        "capacities": read_capacities(archive),
        "asked": asked,
    }


def read_machines(folder: Path, names: list[str] | None = None) -> list[Machine]:
    """The latest archive of each machine in `folder`, as folders or zip files, sorted by name.

    Or only those of `names`; without `names`, no smoke runs.
    """
    if not folder.is_dir():
        return []
    read = [
        read_machine(archive)
        for archive in archives_in(folder)
        if (archive.root.name in names if names else not settings_of(archive)["smoke"])
    ]
    latest = {one["machine"]: one for one in sorted(read, key=lambda one: measured(one["summary"]))}
    return [latest[name] for name in sorted(latest)]


def incomparable(first: Machine, second: Machine) -> list[str]:
    """In words, how the work of `second` differs, so that its latencies cannot be compared."""
    ours, theirs = first["summary"], second["summary"]
    if _models(ours) != _models(theirs):
        return [f"another ensemble: {', '.join(_models(theirs))}"]
    reasons = []
    if _weights(ours) != _weights(theirs):
        kinds = sorted({entry["weights"] for entry in theirs["ensemble"]})
        reasons.append(f"other weights ({', '.join(kinds)})")
    if _photos(first) != _photos(second):
        reasons.append("other photos")
    return reasons


def differences(first: Machine, second: Machine) -> list[str]:
    """The result of `incomparable`, and the code, settings and versions in which the two differ."""
    ours, theirs = _conditions(first), _conditions(second)
    unknown = knows_code(first) != knows_code(second)
    return [
        *incomparable(first, second),
        *(["only one of them says which code measured it"] if unknown else []),
        *(
            f"{key} {theirs[key]} in place of {ours[key]}"
            for key in ours
            # an engine or a package of one run alone concerns no mode of both
            if key in theirs and theirs[key] != ours[key]
        ),
        *(f"other settings of {mode}" for mode in _changed_modes(first, second)),
    ]


def _changed_modes(first: Machine, second: Machine) -> list[str]:
    """The modes of both that ran with other options, variables or interpreters."""
    ours, theirs = (
        {
            f"{row['device']} {row['mode']}": (
                row["options"],
                row["env"],
                row["python"],
            )
            for row in machine["summary"]["rows"]
        }
        for machine in (first, second)
    )
    return [mode for mode in ours if mode in theirs and ours[mode] != theirs[mode]]


def knows_code(machine: Machine) -> bool:
    """Whether the archive says which code measured it."""
    return bool(machine["summary"].get("code"))


def of_one_ensemble(machines: list[Machine]) -> list[Machine]:
    """The machines that ran the same ensemble as the first of `machines`."""
    return [m for m in machines if _models(m["summary"]) == _models(machines[0]["summary"])]


def render_machines(machines: list[Machine], missing: dict[str, str]) -> str:
    """The comparison of all `machines` with the first one, in Markdown.

    `missing` gives for each machine that should have been measured why it was not. One of both must
    hold something.
    """
    alike = sorted(of_one_ensemble(machines), key=_latency)
    view = {
        "machines": [*alike, *(machine for machine in machines if machine not in alike)],
        "first": machines[0] if machines else None,
        "missing": missing,
        "leader": leader,
        "measured": measured,
        "tables": [_table(device, alike) for device in DEVICES if _rows(device, alike)],
        "loads": load_table({one["machine"]: one["capacities"] for one in machines}),
        "differences": {one["machine"]: differences(machines[0], one) for one in machines[1:]},
        "apart": [machine for machine in machines if machine not in alike],
        "published": records.read_yaml(PUBLISHED_LATENCIES),
    }
    return templates().get_template("machines.md.j2").render(view)


class Leader(TypedDict):
    """What a machine can do: `row` is the fastest valid mode within the limits of its settings.

    `loaded` is the mode with the highest capacity at the loosest latency bound at which any has
    one, and `capacity` this capacity. `joules` a request are those of `row`. `cost` is that of a
    million requests at the capacity. What was not measured is `None`.
    """

    row: Row | None
    loaded: Record | None
    capacity: Record | None
    joules: float | None
    cost: float | None


def leader(machine: Machine) -> Leader:
    """The recommended mode of `machine`, and what the machine serves under load."""
    row = _recommended(machine)
    modes = machine["capacities"]["modes"] if machine["capacities"] else []
    loaded, capacity = loosest_capacity(modes) or (None, None)
    own = [one for one in modes if row and (one["device"], one["mode"]) == (*place(row).values(),)]
    energy = next((one["energy"] for one in own if one.get("energy")), None)
    price = machine["config"].get("report", {}).get("price_per_hour")
    return {
        "row": row,
        "loaded": loaded,
        "capacity": capacity,
        "joules": energy and energy["joules_per_request"],
        "cost": price * 1e6 / (3600 * capacity["rate"]) if capacity and price else None,
    }


def _recommended(machine: Machine) -> Row | None:
    """The fastest valid mode within the limits of the machine's settings."""
    ranked = [row for row in machine["summary"]["rows"] if row["ranked"]]
    return next(iter(fastest(ranked, machine["config"])), None)


def _latency(machine: Machine) -> float:
    """Milliseconds, the median, of the recommended mode; infinite if there is none."""
    row = _recommended(machine)
    return p50(row) if row else math.inf


def _rows(device: str, machines: list[Machine]) -> list[tuple[str, Row]]:
    """The rows of all `machines` on `device`, each with the machine's name."""
    return [
        (machine["machine"], row)
        for machine in machines
        for row in machine["summary"]["rows"]
        if row["device"] == device
    ]


def _table(device: str, machines: list[Machine]) -> Record:
    """A table of modes by machines that have `device`; the mode fastest on any machine is first."""
    rows = _rows(device, machines)
    by_place = {(row["mode"], machine): row for machine, row in rows}
    timed = [row for _, row in rows if row["latency"]]
    order = dict.fromkeys(row["mode"] for row in sorted(timed, key=standing))
    modes = [*order, *(mode for mode, _ in by_place if mode not in order)]
    return {
        "device": device,
        "machines": list(dict.fromkeys(machine for machine, _ in rows)),
        "modes": list(dict.fromkeys(modes)),
        "row": lambda mode, machine: by_place.get((mode, machine)),
    }


def _conditions(machine: Machine) -> dict[str, object]:
    """Code, settings and versions on which figures depend."""
    summary = machine["summary"]
    return {**summary.get("code", {}), **machine["asked"], **summary["versions"]}


def _models(summary: Summary) -> list[str]:
    return [f"{e['architecture']} ({e['classes']} classes)" for e in summary["ensemble"]]


def _weights(summary: Summary) -> list[str]:
    return [entry["sha256"] for entry in summary["ensemble"]]


def _photos(machine: Machine) -> list[str]:
    return [photo["sha256"] for photo in machine["photos"]]
