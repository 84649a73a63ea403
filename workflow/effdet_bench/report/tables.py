"""What the templates of a report see: its rows sorted, its tables filled, its words chosen.

Pure functions of the archive. Templates lay out what is decided here.
"""

from collections.abc import Callable
from typing import Any, TypedDict

from effdet_bench.config.names import BASELINE, TUNED
from effdet_bench.records import Record
from effdet_bench.report.decision import accuracy_cost, key_finding, standing_of
from effdet_bench.report.doubts import CommonDoubt, common_doubts, marked, shared_doubts
from effdet_bench.report.ladder import AblationLine, GapLine, ablation_lines, gap_lines
from effdet_bench.report.numbers import milliseconds, times
from effdet_bench.report.recommendation import Advice, advice, constraints
from effdet_bench.report.roadmap import RoadmapLine, roadmap
from effdet_bench.report.sets import set_lines
from effdet_bench.report.targets import Reach, Targets, latency_targets, reach, throughput_targets
from effdet_bench.report.words import LIMITED, interval
from effdet_bench.summary.rows import (
    AND,
    Row,
    Summary,
    Warned,
    latency_of,
    place,
    stages_of,
    standing,
    unsplit,
)

MATRIX_PRODUCT = "a dense matrix product"  # all that version 0.1 measured

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


class View(TypedDict):
    """What templates see of an archive.

    `measured` are the rows with a latency, ranked ones first; `valid` those that are ranked. Of
    `shared_doubts` all modes of a device have the same, and most have one of each of the kinds in
    `common_doubts`; `marked` rows have a doubt of another kind. `undercut`
    are valid modes that beat the physical bound, which is a finding about the bound.
    """

    summary: Summary
    environment: Record
    photos: list[Record]
    config: Record
    smoke: bool
    key_finding: str
    measured: list[Row]
    valid: list[Row]
    baseline: Row | None
    other_devices: list[Row]
    floors: list[Row]
    twins: list[Row]
    pictured: list[str]
    load: dict[str, Any] | None
    judged: list[Row]
    accurate: list[Row]
    doubted: list[Row]
    missing: list[Row]
    starts: list[Row]
    bounded: list[Row]
    undercut: list[Row]
    shared_doubts: dict[str, list[Warned]]
    common_doubts: dict[str, list[CommonDoubt]]
    marked: list[Row]
    efforts: list[Row]
    own_settings: list[Row]
    tuned: bool
    page_faults: str
    groups: int
    roofs: list[Record]
    dense_kernel: str
    kernel_column: str
    synthetic: list[Record]
    mixed: list[str]
    unsupported: dict[str, int]
    requests_for: Callable[[int], str]
    sets: list[str]
    gaps: list[GapLine]
    ablation: list[AblationLine]
    roadmap: list[RoadmapLine]
    standing: str
    accuracy_cost: str
    advice: list[Advice]
    constraints: str
    targets: Targets
    reach: Reach


def context(
    summary: Summary,
    environment: Record,
    photos: list[Record],
    config: Record,
    pictured: list[str],
    load: dict[str, Any] | None = None,
) -> View:
    """What the templates see.

    `config` are the settings of the archive, `pictured` models with a figure of their detections,
    and `load` is what `capacity.load_view` makes of modes under load.
    """
    rows = summary["rows"]
    measured = sorted((row for row in rows if row["latency"]), key=standing)
    valid = [row for row in measured if row["ranked"]]
    baseline = next((row for row in valid if place(row) == summary["baseline"]), None)
    devices = list(dict.fromkeys(row["device"] for row in rows))
    judged = [row for row in rows if row["validity"]["models"]]
    bounded = [row for row in measured if row["bound"]]
    roofs = [roof for roof in summary["rooflines"] if roof["outcome"] == "completed"]
    common = {device: common_doubts(measured, device) for device in devices}
    several = any("kernels" in roof for roof in roofs)
    accelerated = bool(environment["accelerators"] or set(devices) - {"cpu"})
    return {
        "summary": summary,
        "environment": environment,
        "photos": photos,
        "config": config,
        "smoke": config["smoke"],
        "key_finding": key_finding(valid, baseline),
        "measured": measured,
        "valid": valid,
        "baseline": baseline,
        "other_devices": [r for r in valid if r["mode"] == BASELINE and r is not baseline],
        "floors": [row for row in measured if row["floor"]],
        "twins": [row for row in measured if row["twin"]],
        "judged": judged,
        "pictured": pictured,
        "load": load,
        "accurate": [r for r in judged if r["validity"]["accuracy"] is not None and not r["floor"]],
        "doubted": [row for row in measured if row["doubts"]],
        "missing": [row for row in rows if row["outcome"] != "completed"],
        "starts": [row for row in measured if not row["floor"] and not row["twin"]],
        "bounded": bounded,
        "undercut": [row for row in bounded if row["ranked"] and over_bound(row) < 1],
        "shared_doubts": {device: shared_doubts(measured, device) for device in devices},
        "common_doubts": common,
        "marked": marked(measured, common),
        "efforts": [row for row in measured if row["effort"]],
        "own_settings": [row for row in rows if row["env"] or row["python"]],
        "tuned": any(row["over_tuned"] for row in rows),
        "page_faults": page_faults(valid),
        "groups": max((row["groups"] for row in rows), default=1),
        "roofs": roofs,
        "dense_kernel": "the fastest of several dense kernels" if several else MATRIX_PRODUCT,
        "kernel_column": "Fastest kernel" if several else "Matrix product",
        "mixed": [f"{k} {v}" for k, v in summary["versions"].items() if AND in v],
        "synthetic": [e for e in summary["ensemble"] if e["weights"] == "synthetic"],
        "unsupported": _unsupported(measured),
        "requests_for": lambda needs: f"requests={-(-needs // summary['rounds'])}",
        "sets": set_lines(summary),
        "gaps": gap_lines(summary),
        "ablation": ablation_lines(summary),
        "roadmap": roadmap(valid, summary, {*devices, *(["accelerator"] if accelerated else [])}),
        "standing": standing_of(valid),
        "accuracy_cost": accuracy_cost(worst(valid[0])) if valid else "",
        "advice": advice(valid, load, config),
        "constraints": constraints(config),
        "targets": {
            "latency": latency_targets(valid, config["report"]["latency_targets"]),
            "throughput": throughput_targets(valid, config["report"]["throughput_targets"]),
        },
        "reach": reach(valid, config["report"]["latency_targets"]),
    }


def page_faults(valid: list[Row]) -> str:
    """What page faults cost `baseline`, by what it takes without them; empty where not known."""
    rows = {row["mode"]: row for row in valid}
    before, after = rows.get(BASELINE), rows.get(TUNED)
    if not before or not after or not before["effort"] or not after["effort"]:
        return ""
    versus = after["comparison"]
    if versus is None:
        return ""
    old, new = before["effort"], after["effort"]
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


def heaviest(row: Row) -> dict[str, Any] | None:
    """The stages of the model that takes most of a request; `None` if they were not timed."""
    if row["stages"] is None:
        return None
    return dict(max(stages_of(row)["models"], key=lambda model: model["total_ms"]))


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
