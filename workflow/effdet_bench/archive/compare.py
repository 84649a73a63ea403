"""Compares archives: all machines side by side, or one machine before and after a change."""

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path

import yaml

from effdet_bench import layout, records
from effdet_bench.archive.machines import (
    differences,
    knows_code,
    of_one_ensemble,
    read_machines,
    render_machines,
)
from effdet_bench.archive.regressions import (
    SECOND_CONFIDENCE,
    Change,
    Run,
    changes,
    confirmed,
    read_run,
)
from effdet_bench.config.names import BASELINE
from effdet_bench.errors import BenchError
from effdet_bench.records import Record
from effdet_bench.report.figures.machines import draw_machines
from effdet_bench.report.numbers import milliseconds
from effdet_bench.report.page import to_html
from effdet_bench.report.under_load import load_table
from effdet_bench.report.words import name, stated

# Environment variable with the path of a file that GitHub shows beside a run of its CI.
HOSTS_SUMMARY = "GITHUB_STEP_SUMMARY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", nargs="?", help="an archive, .zip or folder, before a change")
    parser.add_argument("after", nargs="?", help="an archive of the same machine, after the change")
    parser.add_argument("--again", help="a third archive, of modes that were slower in AFTER")
    parser.add_argument("--threshold", type=_share, default=0.05, help="allowed slow-down, a share")
    parser.add_argument("--suspects", help="settings to write, to time slower modes again")
    parser.add_argument("--results", default=layout.RESULTS, help="folder of all machines' results")
    parser.add_argument(
        "--types", type=json.loads, help="only these machines: {name: why it was not measured}"
    )


def _share(text: str) -> float:
    """The type of an option that is a number from 0 to 1, and less than 1."""
    with contextlib.suppress(ValueError):
        if 0 <= (number := float(text)) < 1:
            return number
    raise argparse.ArgumentTypeError(f"{text} is no share, such as 0.05 for 5 %")


def run(args: argparse.Namespace) -> None:
    if args.after:
        compare_runs(args)
    elif args.before:
        raise BenchError(f"{args.before} is one run: give the run to compare it with, too.")
    else:
        _compare_machines(Path(args.results), args.types)


def compare_runs(args: argparse.Namespace) -> None:
    """Prints the change of every mode, and writes it to results/changes.json and changes.md.

    Raises:
        BenchError: a mode regressed, or the runs cannot be compared.
    """
    before, after = read_run(Path(args.before)), read_run(Path(args.after))
    found = changes(before, after, args.threshold)
    bad = [change for change in found if change.bad]
    if args.again:
        again = read_run(Path(args.again))
        bad = confirmed(bad, changes(before, again, args.threshold, SECOND_CONFIDENCE))
    apart = differences(before.archive, after.archive)
    if apart:
        print(f"The runs differ: {'; '.join(apart)}.")
    elif knows_code(before.archive):
        print("The runs have the same code, settings and versions.")
    else:
        print("The runs have the same settings and versions, but no record of their code.")
    print("\n".join(map(str, found)))
    record = {
        "threshold": args.threshold,
        "confirmed": bool(args.again),
        "differences": apart,
        "changes": [_recorded(change, change in bad) for change in found],
    }
    records.write_json(Path(args.results) / "changes.json", record, "changes")
    _write_table(Path(args.results), found, bad, _capacity_lines(before, after))
    if args.suspects and bad:
        _write_suspects(Path(args.suspects), after.archive["config"], bad)
    if bad:
        for change in bad:
            print(f"REGRESSION: {change}", file=sys.stderr)
        raise BenchError(f"{len(bad)} of {len(found)} modes regressed by more than the threshold.")


def _capacity_lines(before: Run, after: Run) -> list[str]:
    """The capacities of both runs as lines of a table; empty if one run has no test under load."""
    loads = {"Before": before.archive["capacities"], "After": after.archive["capacities"]}
    table = load_table(loads)
    if table["machines"] != list(loads):
        return []
    lines = ["", "| Under load | Bound | Before | After |", "|---|---|--:|--:|"]
    for (device, mode, bound, percentile), found in table["rows"]:
        rates = [f"{found[key]['rate']:.2f}/s" if key in found else "–" for key in loads]
        where = name({"device": device, "mode": mode})
        lines.append(f"| {where} | {percentile} ≤ {bound:g} ms | {' | '.join(rates)} |")
    return lines


def _recorded(change: Change, bad: bool) -> Record:
    """The entry of changes.json."""
    ratios = {"compared": change.compared, "relative": change.relative}
    known = {key: one and one._asdict() for key, one in ratios.items()}
    return change._asdict() | known | {"bad": bad}


def _write_table(
    folder: Path, found: list[Change], bad: list[Change], capacities: list[str]
) -> None:
    """Writes changes.md, and adds the table to the summary of a code host's CI."""
    lines = [
        "| Mode | Before | After | Times as fast | Relative to | |",
        "|---|--:|--:|--:|--:|---|",
    ]
    lines += [_line(change, change in bad) for change in found]
    text = "\n".join([*lines, *capacities]) + "\n"
    records.write_text(folder / "changes.md", text)
    if summary := os.environ.get(HOSTS_SUMMARY):
        with Path(summary).open("a") as out:
            out.write(f"### effdet-bench: before and after\n\n{text}")


def _line(change: Change, bad: bool) -> str:
    after = "–" if change.after_ms is None else milliseconds(change.after_ms)
    shown = stated(change.compared) if change.compared else "–"
    apart = f"{change.yardstick}: {stated(change.relative)}" if change.relative else "–"
    word = f"**REGRESSION**{f': {change.reason}' if change.reason else ''}" if bad else ""
    mode = name({"device": change.device, "mode": change.mode})
    return f"| {mode} | {milliseconds(change.before_ms)} | {after} | {shown} | {apart} | {word} |"


def _write_suspects(path: Path, config: Record, bad: list[Change]) -> None:
    """Writes `config`, the settings of a run, with only `baseline` and the modes of `bad`."""
    wanted = {BASELINE, *(change.mode for change in bad)}
    modes = [
        {"name": mode["name"], "engine": mode["engine"], **mode["options"]}
        | {key: mode[key] for key in ("env", "python") if mode.get(key)}
        for mode in config["modes"]
        if mode["name"] in wanted
    ]
    kept = {"devices": sorted({change.device for change in bad}), "modes": modes, "ablation": []}
    kept |= {key: config[key] for key in ("seconds", "requests", "warmup", "rounds", "threads")}
    # rounds of an earlier confirmation must not count
    kept |= {"machine": f"{config['machine']}-again", "again": True, "smoke": config["smoke"]}
    records.write_text(path, yaml.safe_dump(kept, sort_keys=False))


def _compare_machines(folder: Path, types: dict[str, str | None] | None) -> None:
    machines = read_machines(folder, None if types is None else list(types))
    missing = {name: reason for name, reason in (types or {}).items() if reason}
    if not machines and not missing:
        raise BenchError(f"{folder}/ holds no archive to compare: run `snakemake --cores 1` first.")
    text = render_machines(machines, missing)
    draw_machines(
        [(machine["machine"], machine["summary"]) for machine in of_one_ensemble(machines)],
        folder / "comparison.svg",
    )
    records.write_text(folder / "comparison.md", text)
    records.write_text(folder / "comparison.html", to_html(text, folder))
    counted = f"{len(machines)} machine{'s' * (len(machines) != 1)}"
    print(f"{counted}: {folder / 'comparison.md'}, and comparison.html")
    for machine, reason in missing.items():
        print(f"not measured: {machine}: {reason}")
