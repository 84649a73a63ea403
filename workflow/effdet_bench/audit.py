"""Audits an archive: recomputes every number from the raw data, and says what differs."""

import argparse
import itertools
import math
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from effdet_bench import records
from effdet_bench.archive import check_manifest
from effdet_bench.errors import BenchError
from effdet_bench.figures.draw import draw
from effdet_bench.html import to_html
from effdet_bench.jobs import Job
from effdet_bench.render import settings_of, summary_of
from effdet_bench.report import render, view_of
from effdet_bench.roofline import Ceilings, request_bounds
from effdet_bench.summary import to_table
from effdet_bench.validity import judge_jobs

NOISE = 1e-12  # relative: how far another processor or NumPy may be off, before records are rounded


def audit(results: Path) -> Iterator[str]:
    """What differs between the archive `results` and what its raw data give.

    Checked are the manifest, and then all judgements, bounds, the summary, both reports and the
    figures, each computed anew.
    """
    yield from check_manifest(results)
    try:
        summary, jobs = summary_of(results)
        yield from _judgements(results, summary["ensemble"])
        yield from _bounds(results, summary["ensemble"])
        yield from _derived(results, summary, jobs)
    except (BenchError, OSError) as error:
        yield str(error)


def _derived(results: Path, summary: dict, jobs: list[Job]) -> Iterator[str]:
    kept = records.read_json(results / "summary.json", "summary")
    yield from differences("summary.json", kept, summary)
    if (results / "summary.csv").read_text() != to_table(kept).to_csv(index=False):
        yield "summary.csv is not the table of summary.json"
    report = render(view_of(results, kept, jobs, settings_of(results)))
    yield from _lines("report.md", (results / "report.md").read_text(), report)
    if (results / "report.html").read_text() != to_html(report, results):
        yield "report.html is not report.md with its figures"
    with tempfile.TemporaryDirectory() as folder:
        draw(kept, jobs, Path(folder))
        for drawn in sorted(Path(folder).iterdir()):
            figure = results / "figures" / drawn.name
            alike = _drawn_by(figure) == _drawn_by(drawn)
            if alike and figure.read_bytes() != drawn.read_bytes():
                yield f"figures/{drawn.name} is not what its data give"


def _judgements(results: Path, ensemble: list[dict]) -> Iterator[str]:
    references = [results / "reference" / f"{one['model']}.json" for one in ensemble]
    annotations = results / "annotations.json"
    for path in sorted((results / "validity").glob("*/*.json")):
        place = results / "timing" / path.parent.name / path.stem
        folders = sorted(place.glob("round-*"), key=lambda folder: int(folder.name[6:]))
        fresh = judge_jobs(folders, references, annotations if annotations.exists() else None)
        kept = records.read_json(path, "validity")
        yield from differences(f"validity/{path.parent.name}/{path.name}", kept, fresh)


def _bounds(results: Path, ensemble: list[dict]) -> Iterator[str]:
    for path in sorted((results / "roofline").glob("*.json")):
        kept = records.read_json(path, "roofline")
        if kept["outcome"] != "completed":
            continue
        ceilings = Ceilings(kept["flops_per_second"], kept["copy_bytes_per_second"])
        fresh = request_bounds(ensemble, ceilings)
        yield from differences(f"roofline/{path.name}", kept, fresh)


def differences(where: str, kept: Any, fresh: Any, at: str = "") -> Iterator[str]:
    """Where `kept` differs from `fresh`, what it has beyond the schema's keys aside."""
    if isinstance(fresh, dict) and isinstance(kept, dict):
        for key in fresh:
            yield from differences(where, kept.get(key), fresh[key], f"{at}.{key}".lstrip("."))
    elif isinstance(fresh, list) and isinstance(kept, list):
        if len(fresh) != len(kept):
            yield f"{where}: {at} has {len(kept)} entries, but its raw data give {len(fresh)}"
        for index, (one, other) in enumerate(zip(kept, fresh, strict=False)):
            yield from differences(where, one, other, f"{at}[{index}]")
    elif isinstance(fresh, float) and isinstance(kept, int | float):
        near = {records.rounded(fresh * (1 + error)) for error in (-NOISE, 0, NOISE)}
        # schema version 2 rounded nothing
        if kept not in near | {fresh} and not math.isclose(kept, fresh, rel_tol=0, abs_tol=1e-15):
            yield f"{where}: {at} is {kept}, but its raw data give {records.rounded(fresh)}"
    elif kept != fresh:
        yield f"{where}: {at} is {kept!r}, but its raw data give {fresh!r}"


def _lines(where: str, kept: str, fresh: str) -> Iterator[str]:
    lines = itertools.zip_longest(kept.splitlines(), fresh.splitlines())
    for number, (one, other) in enumerate(lines, start=1):
        if one != other:
            yield f"{where}: line {number} is {one!r}, but its raw data give {other!r}"
            return


def _drawn_by(path: Path) -> str | None:
    """The version of matplotlib that drew a figure; another one draws the same otherwise."""
    if not path.exists():
        return None
    found = re.search(r"<dc:title>(Matplotlib v[^,<]+)", path.read_text())
    return found and found[1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", required=True, help="results/<machine>")


def run(args: argparse.Namespace) -> None:
    results = Path(args.results)
    if not results.is_dir():
        raise BenchError(f"{results} is no folder: give results/<machine>.")
    found = 0
    for one in audit(results):
        found += 1
        print(one, file=sys.stderr, flush=True)
    if found:
        raise BenchError(f"{results} is not what its raw data give: {found} differences in all.")
    print(f"{results}: every number follows from its raw data")
