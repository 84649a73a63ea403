"""What the templates of a report see: its rows sorted, its tables filled, its words chosen.

Pure functions of the archive. Templates lay out what is decided here.
"""

from collections.abc import Sequence
from typing import Any

from effdet_bench.config.names import TUNED
from effdet_bench.facts.photos import CARRIED
from effdet_bench.records import Record
from effdet_bench.report.commands import Command, command_with
from effdet_bench.report.decision import accuracy_cost, key_finding, standing_of
from effdet_bench.report.doubts import common_doubts, marked, shared_doubts
from effdet_bench.report.numbers import milliseconds, times
from effdet_bench.report.passes import PassView
from effdet_bench.report.recommendation import advice, constraints, fastest
from effdet_bench.report.sets import set_lines
from effdet_bench.report.targets import latency_targets, throughput_targets
from effdet_bench.report.words import LIMITED, interval
from effdet_bench.summary.rows import (
    AND,
    Row,
    Summary,
    latency_of,
    place,
    standing,
    unsplit,
)

LEAST = ("count", "matched", "agreement")  # of which less is worse
WORST = (
    "class_error",
    "box_error",
    *sum(LIMITED.values(), ()),
    "wrong",
    "ties",
    "box_drift_px",
    *LEAST,
)


View = dict[str, Any]  # what templates see of an archive, by the name that they use


def context(
    summary: Summary,
    environment: Record,
    photos: list[Record],
    config: Record,
    options: list[str],
    pictured: list[str],
    load: dict[str, Any] | None = None,
    passes: Sequence[PassView] = (),
) -> View:
    """The view of an archive. A template fails if it uses a name that is not in the view.

    `config` are the settings of the archive, `options` those of Snakemake that gave some of them,
    `pictured` models with a figure of their detections, `load` is what `under_load.load_view` makes
    of modes under load, and `passes` what `passes_view` makes of accuracy passes.
    """
    rows = summary["rows"]
    at = {(row["device"], row["mode"]): row for row in rows}
    measured = sorted((row for row in rows if row["latency"]), key=standing)
    valid = [row for row in measured if row["ranked"]]
    baseline = next((row for row in valid if place(row) == summary["baseline"]), None)
    command = command_with(options)
    return {
        "summary": summary,
        "environment": environment,
        "photos": photos,
        "carried": CARRIED,
        "config": config,
        "smoke": config["smoke"],
        "pictured": pictured,
        "load": load,
        "passes": passes,
        "measured": measured,
        "valid": valid,
        "baseline": baseline,
        "key_finding": key_finding(valid, baseline),
        "standing": standing_of(valid),
        "synthetic": [e for e in summary["ensemble"] if e["weights"] == "synthetic"],
        "mixed": [f"{k} {v}" for k, v in summary["versions"].items() if AND in v],
        "options": options,
        "command": command,
        "more_requests": lambda needs: command(requests=-(-needs // summary["rounds"])),
        "sets": set_lines(summary, command),
        "ablation": [(step, at[step["device"], step["mode"]]) for step in summary["ablation"]],
        "page_faults": page_faults(valid, baseline),
        "groups": max((row["groups"] for row in rows), default=1),
        **_rows_of_tables(rows, measured),
        **_doubts(rows, measured),
        **_bounds(summary, measured),
        **_decision(valid, config, load, command),
    }


def _rows_of_tables(rows: list[Row], measured: list[Row]) -> View:
    """The rows that single tables show: of all `rows`, and of those with a latency, in order."""
    judged = [row for row in rows if row["validity"]["models"]]
    return {
        "judged": judged,
        "accurate": [
            row
            for row in judged
            if row["validity"]["accuracy"] is not None and not row["floor"] and not row["twin"]
        ],
        "missing": [row for row in rows if row["outcome"] != "completed"],
        "own_settings": [row for row in rows if row["env"] or row["python"]],
        "tuned": any(row["over_tuned"] for row in rows),
        "floors": [row for row in measured if row["floor"]],
        "twins": [row for row in measured if row["twin"]],
        "starts": [row for row in measured if not row["floor"] and not row["twin"]],
        "unsupported": _unsupported(measured),
    }


def _doubts(rows: list[Row], measured: list[Row]) -> View:
    """Doubts about figures. All modes of a device have `shared_doubts`. Most have one of each kind
    of `common_doubts`; rows in `marked` have another one.
    """
    devices = dict.fromkeys(row["device"] for row in rows)
    common = {device: common_doubts(measured, device) for device in devices}
    return {
        "doubted": [row for row in measured if row["doubts"]],
        "shared_doubts": {device: shared_doubts(measured, device) for device in devices},
        "common_doubts": common,
        "marked": marked(measured, common),
    }


def _bounds(summary: Summary, measured: list[Row]) -> View:
    """Ceilings and bounds. Valid modes that beat the physical bound, which shows that the bound is
    wrong, are in `undercut`.
    """
    bounded = [row for row in measured if row["bound"]]
    return {
        "roofs": [roof for roof in summary["rooflines"] if roof["outcome"] == "completed"],
        "bounded": bounded,
        "undercut": [row for row in bounded if row["ranked"] and over_bound(row) < 1],
    }


def _decision(
    valid: list[Row], config: Record, load: dict[str, Any] | None, command: Command
) -> View:
    """What a reader decides by: the mode for each use, and targets that modes meet."""
    targets = config["report"]
    return {
        "advice": advice(valid, load, config, command),
        "constraints": constraints(config),
        "deployed": next(iter(fastest(valid, config)), None),
        "accuracy_cost": accuracy_cost(valid[0], worst(valid[0])) if valid else "",
        "targets": {
            "latency": latency_targets(valid, targets["latency_targets"]),
            "throughput": throughput_targets(valid, targets["throughput_targets"]),
        },
    }


def page_faults(valid: list[Row], baseline: Row | None) -> str:
    """What page faults cost `baseline`, by what it takes on its device without them; empty where
    not known.
    """
    if baseline is None:
        return ""
    wanted = {"device": baseline["device"], "mode": TUNED}
    after = next((row for row in valid if wanted.items() <= row.items()), None)
    versus = after and after["comparison"]
    if not after or not versus:
        return ""
    old, new = baseline["effort"], after["effort"]
    assert old is not None and new is not None, "valid rows completed a round"
    faults, kernel = (old[key] - new[key] for key in ("minor_faults", "kernel_ms"))
    return (
        f"The allocator saves {faults:,.0f} of {old['minor_faults']:,.0f} page faults a request, "
        f"and {milliseconds(kernel)} of {milliseconds(old['kernel_ms'])} "
        "of processor time in the kernel, summed over cores. It makes requests "
        f"{times(versus['ratio'])} as fast ({interval(versus)})."
    )


def over_bound(row: Row) -> float:
    """How many times its bound the networks of `row` take, if stages tell; else its request."""
    assert row["bound"] is not None, "only rows with a bound are asked"
    forward = row["bound"]["forward_over_bound"]
    return row["bound"]["request_over_bound"] if unsplit(row) or forward is None else forward


def worst(row: Row) -> dict[str, float | None] | None:
    """The worst figures of the gate over all models; `None` if there is none."""
    models = [model for model in row["validity"]["models"] if not model["fault"]]
    if not models:
        return None
    figures: dict[str, float | None] = {}
    for name in WORST:
        values = [model.get(name) for model in models]
        known = [value for value in values if value is not None]
        figures[name] = (min if name in LEAST else max)(known) if known else None
    return figures


def _unsupported(measured: list[Row]) -> dict[str, int]:
    """Percentiles that too few requests support, each with the number that it needs."""
    return {
        name: percentile["needs"]
        for row in measured
        for name, percentile in latency_of(row)["percentiles"].items()
        if not percentile["supported"]
    }
