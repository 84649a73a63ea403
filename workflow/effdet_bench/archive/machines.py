"""The archives of all machines side by side."""

from pathlib import Path
from typing import TypedDict

import yaml

from effdet_bench import records
from effdet_bench.archive.render import settings_of
from effdet_bench.errors import BenchError
from effdet_bench.layout import PUBLISHED_LATENCIES, Archive
from effdet_bench.records import Record
from effdet_bench.report.report import templates
from effdet_bench.summary.rows import Row, Summary, standing
from effdet_bench.summary.summary import read_summary


class Machine(TypedDict):
    """What is compared of one machine's archive."""

    machine: str
    summary: Summary
    environment: Record
    photos: list[Record]


class MachineRow(Row):
    """A row of a summary, and the machine that it is of."""

    machine: str


def read_machine(archive: Archive) -> Machine:
    """What is compared of `archive`."""
    summary = read_summary(archive)
    return {
        "machine": summary["machine"],
        "summary": summary,
        "environment": records.read_json(archive.environment, "environment"),
        "photos": records.read_json(archive.photos, "photos")["photos"],
    }


def read_machines(folder: Path) -> list[Machine]:
    """The archives in `folder`; no smoke runs."""
    archives = [Archive(path) for path in sorted(folder.iterdir())] if folder.is_dir() else []
    return [
        read_machine(archive)
        for archive in archives
        if archive.summary.exists() and not settings_of(archive)["smoke"]
    ]


def incomparable(first: Machine, second: Machine) -> list[str]:
    """In words, what makes rows of `second` no matter of the machine: it did other work."""
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
    """`incomparable`, and in what settings and versions the two differ."""
    ours, theirs = _conditions(first["summary"]), _conditions(second["summary"])
    changed = [key for key, value in ours.items() if theirs.get(key, value) != value]
    return incomparable(first, second) + [
        f"{key} {theirs[key]} in place of {ours[key]}" for key in changed
    ]


def of_one_ensemble(machines: list[Machine]) -> list[Machine]:
    """Those of `machines` that ran the ensemble of the first."""
    return [m for m in machines if _models(m["summary"]) == _models(machines[0]["summary"])]


def render_machines(machines: list[Machine]) -> str:
    """The comparison of `machines` in Markdown, the first being what the others are held against.

    Raises:
        BenchError: there is no archive.
    """
    if not machines:
        raise BenchError("results/ holds no archive to compare: run `snakemake --cores 1` first.")
    first, alike = machines[0], of_one_ensemble(machines)
    rows = [
        MachineRow(**row, machine=machine["machine"])
        for machine in alike
        for row in machine["summary"]["rows"]
        if row["latency"]
    ]
    view = {
        "machines": machines,
        "first": first,
        "rows": sorted(rows, key=standing),
        "differences": {other["machine"]: differences(first, other) for other in machines[1:]},
        "apart": [machine for machine in machines if machine not in alike],
        "published": yaml.safe_load(PUBLISHED_LATENCIES.read_text()),
    }
    return templates().get_template("machines.md.j2").render(view)


def _conditions(summary: Summary) -> dict[str, object]:
    """Settings and versions that figures depend on."""
    settings: dict[str, object] = {
        "threads": summary["threads"],
        "requests": summary["requests"],
        "warmup": summary["warmup"],
        "rounds": summary["rounds"],
    }
    return settings | summary["versions"]


def _models(summary: Summary) -> list[str]:
    return [f"{e['architecture']} ({e['classes']} classes)" for e in summary["ensemble"]]


def _weights(summary: Summary) -> list[str]:
    return [entry["sha256"] for entry in summary["ensemble"]]


def _photos(machine: Machine) -> list[str]:
    return [photo["sha256"] for photo in machine["photos"]]
