"""Compares archives: all machines side by side, or one machine before and after a change."""

import argparse
import sys
import tempfile
from pathlib import Path

import yaml

from effdet_bench import records
from effdet_bench.archive import unpack
from effdet_bench.comparison import unpaired
from effdet_bench.errors import BenchError
from effdet_bench.figures.machines import draw_machines
from effdet_bench.html import to_html
from effdet_bench.jobs import jobs_of
from effdet_bench.render import settings_of
from effdet_bench.report import environment_of_templates, interval, milliseconds, times
from effdet_bench.rows import p50, standing
from effdet_bench.summary import latencies_by_round

PUBLISHED = Path(__file__).parents[1] / "resources" / "published" / "latency.yaml"


def read_machines(folder: Path) -> list[dict]:
    """The archives in `folder`: `machine`, `summary`, `environment` and `config`; no smoke runs."""
    found = []
    for path in sorted(folder.glob("*/summary.json")):
        config = settings_of(path.parent)
        if not config["smoke"]:
            found.append(_archive(path.parent) | {"config": config})
    return found


def incomparable(one: dict, other: dict) -> list[str]:
    """In words, what makes rows of `other` no matter of the machine: it did other work."""
    first, second = one["summary"], other["summary"]
    if _models(first) != _models(second):
        return [f"another ensemble: {', '.join(_models(second))}"]
    found = []
    if _weights(first) != _weights(second):
        kinds = sorted({entry["weights"] for entry in second["ensemble"]})
        found.append(f"other weights ({', '.join(kinds)})")
    if _photos(one) != _photos(other):
        found.append("other photos")
    return found


def differences(one: dict, other: dict) -> list[str]:
    """`incomparable`, and in what settings and versions the two differ."""
    first, second = (
        {key: archive["summary"][key] for key in ("threads", "requests", "warmup", "rounds")}
        | archive["summary"]["versions"]
        for archive in (one, other)
    )
    changed = [key for key, value in first.items() if second.get(key, value) != value]
    return incomparable(one, other) + [
        f"{key} {second[key]} in place of {first[key]}" for key in changed
    ]


def of_one_ensemble(machines: list[dict]) -> list[dict]:
    """Those of `machines` that ran the ensemble of the first."""
    return [m for m in machines if _models(m["summary"]) == _models(machines[0]["summary"])]


def render_machines(machines: list[dict]) -> str:
    """The comparison of `machines` in Markdown, the first being what the others are held against.

    Raises:
        BenchError: there is no archive.
    """
    if not machines:
        raise BenchError("results/ holds no archive to compare: run `snakemake --cores 1` first.")
    first, alike = machines[0], of_one_ensemble(machines)
    rows = [
        row | {"machine": one["machine"]}
        for one in alike
        for row in one["summary"]["rows"]
        if row["latency"]
    ]
    view = {
        "machines": machines,
        "first": first,
        "rows": sorted(rows, key=standing),
        "differences": {one["machine"]: differences(first, one) for one in machines[1:]},
        "apart": [one for one in machines if one not in alike],
        "published": yaml.safe_load(PUBLISHED.read_text()),
    }
    return environment_of_templates().get_template("machines.md.j2").render(view)


def regressions(before: dict, after: dict, threshold: float) -> tuple[list[str], list[str]]:
    """Lines on every mode of two archives of one machine, and those that are regressions.

    A mode regressed where its answers are no longer valid, or where it is slower by more than
    `threshold`, a share, and the interval of that excludes no change. See `comparison.unpaired`.

    Raises:
        BenchError: the two were not measured alike.
    """
    threads = before["summary"]["threads"], after["summary"]["threads"]
    if (apart := incomparable(before, after)) or threads[0] != threads[1]:
        what = "; ".join(apart) or f"{threads[1]} threads in place of {threads[0]}"
        raise BenchError(f"the two runs cannot be compared: {what}. Measure both alike.")
    places = {(row["device"], row["mode"]): row for row in after["summary"]["rows"]}
    lines, bad = [], []
    for row in before["summary"]["rows"]:
        where = row["device"], row["mode"]
        if not row["ranked"]:
            continue
        name = f"{where[0]} {where[1]}"
        now = places.get(where)
        if now is None or not now["ranked"]:
            state = "not measured" if now is None else now["reason"] or "no longer valid"
            bad.append(f"{name}: {state}")
            lines.append(bad[-1])
            continue
        found = unpaired(before["rounds"][where], after["rounds"][where])
        change = f"{milliseconds(p50(row))} before, {milliseconds(p50(now))} after"
        line = f"{name}: {change}, {times(found.ratio)} as fast ({interval(found._asdict())})"
        lines.append(line)
        if found.high is not None and found.high < 1 and found.ratio < 1 / (1 + threshold):
            bad.append(line)
    return lines, bad


def _archive(results: Path) -> dict:
    summary = records.read_json(results / "summary.json", "summary")
    return {
        "machine": summary["machine"],
        "summary": summary,
        "environment": records.read_json(results / "environment.json", "environment"),
        "photos": records.read_json(results / "photos.json", "photos")["photos"],
    }


def _models(summary: dict) -> list[str]:
    return [f"{e['architecture']} ({e['classes']} classes)" for e in summary["ensemble"]]


def _weights(summary: dict) -> list[str]:
    return [entry["sha256"] for entry in summary["ensemble"]]


def _photos(archive: dict) -> list[str]:
    return [photo["sha256"] for photo in archive["photos"]]


def _one_run(path: Path, place: str) -> dict:
    """The archive at `path`, a folder or a .zip that is unpacked to `place`."""
    results = unpack(path, Path(place)) if path.suffix == ".zip" else path
    if not (results / "summary.json").exists():
        raise BenchError(f"{path} holds no summary.json: give results/<machine> or an archive.")
    found = _archive(results)
    return found | {"rounds": latencies_by_round(jobs_of(found["summary"], results))}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", default="results", help="folder of all machines' results")
    parser.add_argument("--before", help="an archive, .zip or folder, to compare with --after")
    parser.add_argument("--after", help="another one of the same machine")
    parser.add_argument("--threshold", type=float, default=0.05, help="a share")


def run(args: argparse.Namespace) -> None:
    if args.before or args.after:
        _compare_runs(args)
        return
    folder = Path(args.results)
    machines = read_machines(folder)
    text = render_machines(machines)
    draw_machines(of_one_ensemble(machines), folder / "comparison.svg")
    records.write_text(folder / "comparison.md", text)
    records.write_text(folder / "comparison.html", to_html(text, folder))
    print(f"{len(machines)} machines: {folder / 'comparison.md'}, and comparison.html")


def _compare_runs(args: argparse.Namespace) -> None:
    if not (args.before and args.after):
        raise BenchError("config: before and after belong together; give both.")
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        runs = _one_run(Path(args.before), one), _one_run(Path(args.after), other)
    lines, bad = regressions(*runs, args.threshold)
    print("\n".join(lines))
    if bad:
        for line in bad:
            print(f"REGRESSION: {line}", file=sys.stderr)
        raise BenchError(f"{len(bad)} of {len(lines)} modes regressed by more than the threshold.")
