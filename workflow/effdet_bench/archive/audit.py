"""Audits an archive: recomputes every number from the raw data, and prints what differs."""

import argparse
import itertools
import math
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

from effdet_bench import layout, records
from effdet_bench.accuracy.kept import accuracy_folders
from effdet_bench.accuracy.measure import measured
from effdet_bench.archive.manifest import check_manifest
from effdet_bench.archive.render import counted_rounds, summary_of
from effdet_bench.config.chosen import add_results, chosen
from effdet_bench.errors import BenchError, in_one_line
from effdet_bench.layout import Archive
from effdet_bench.load.capacities import capacities_of
from effdet_bench.records import Record
from effdet_bench.reference.annotations import annotations_of, is_val2017
from effdet_bench.report.figures.draw import draw_archive
from effdet_bench.report.page import to_html
from effdet_bench.report.report import render, view_of
from effdet_bench.report.under_load import read_capacities
from effdet_bench.roofline.bound import request_bounds
from effdet_bench.roofline.ceilings import Ceilings
from effdet_bench.summary.jobs import Job
from effdet_bench.summary.rows import Summary
from effdet_bench.summary.summary import read_summary, to_table
from effdet_bench.validity.gate import judge_jobs

NOISE = 1e-12  # relative difference that another processor or NumPy may make before rounding
INVISIBLE = 1e-5  # points in a figure: the last of matplotlib's six decimals may differ
NUMBER = re.compile(r"-?\d+\.\d+")


def audit(archive: Archive) -> Iterator[str]:
    """Yields in words every difference between the archive and what its raw data give.

    Checks the manifest, then recomputes and compares all verdicts of the gate, bounds, capacities,
    the summary, both reports and the figures.
    """
    yield from check_manifest(archive)
    try:
        summary, jobs = summary_of(archive)
        yield from _accuracy(archive, summary["ensemble"])
        yield from _judgements(archive, summary["ensemble"])
        yield from _bounds(archive, summary["ensemble"])
        yield from _capacities(archive)
        yield from _derived(archive, summary, jobs)
    except (BenchError, OSError) as error:
        yield str(error)
    except (ValueError, OverflowError) as error:
        yield f"a file has a value that cannot be read ({in_one_line(error)})"


def _derived(archive: Archive, summary: Summary, jobs: list[Job]) -> Iterator[str]:
    kept = read_summary(archive)
    if "code" not in kept:
        yield (
            f"summary.json is of an older version, which computed other figures: run "
            f"`effdet-bench render {archive.root}`, and then audit again"
        )
        return
    yield from differences(archive.summary.name, kept, summary)
    if archive.summary_table.read_text() != to_table(kept).to_csv(index=False):
        yield "summary.csv is not the table of summary.json"
    fresh = render(view_of(archive, kept))
    yield from _lines(archive.report.name, archive.report.read_text(), fresh.report)
    if archive.details.exists():
        yield from _lines(archive.details.name, archive.details.read_text(), fresh.details)
    else:
        yield "details.md is missing: `effdet-bench render …` writes it"
    missing, skipped = False, uncompared(archive)
    with tempfile.TemporaryDirectory() as folder:
        draw_archive(archive, kept, jobs, Path(folder))
        for drawn in sorted(Path(folder).iterdir()):
            figure = archive.figures / drawn.name
            if not figure.exists():
                missing = True
                yield f"figures/{drawn.name} is missing"
            elif figure.name not in skipped and not _same_drawing(
                figure.read_text(), drawn.read_text()
            ):
                yield f"figures/{drawn.name} is not what its data give"
    # the page contains all figures
    if not missing:
        page = to_html(fresh.report, archive.root, fresh.details)
        if archive.report_page.read_text() != page:
            yield "report.html is not report.md and details.md with their figures"


def uncompared(archive: Archive) -> dict[str, str]:
    """Figures that another version of matplotlib drew: file name to version.

    Another version draws the same data differently, so these figures cannot be compared.
    """
    found = {path.name: _drawn_by(path) for path in sorted(archive.figures.glob("*.svg"))}
    return {name: by for name, by in found.items() if by and by != _installed()}


def _installed() -> str:
    return f"Matplotlib v{matplotlib.__version__}"


def _accuracy(archive: Archive, ensemble: list[Record]) -> Iterator[str]:
    if annotations_of(archive):
        known = records.read_json(archive.annotations, "annotations")
        photos = records.read_json(archive.photos, "photos")["photos"]
        fresh = {"val2017": is_val2017(known, photos)} if "val2017" in known else {}
        yield from differences(archive.annotations.name, known, fresh)
    for folder in accuracy_folders(archive).values():
        record = folder / layout.ACCURACY
        kept, fresh = records.read_json(record, "accuracy"), measured(archive, ensemble, folder)
        yield from differences(str(record.relative_to(archive.root)), kept, fresh)


def _judgements(archive: Archive, ensemble: list[Record]) -> Iterator[str]:
    references = [archive.reference(entry["model"]) for entry in ensemble]
    roundings = [layout.reference_rounding(path) for path in references]
    annotations, counted = annotations_of(archive), counted_rounds(archive)
    passes = archive if accuracy_folders(archive) else None
    for device, mode in archive.judged_modes():
        where = f"validity/{device}/{mode}.json"
        if (device, mode) not in counted:
            if not archive.rounds(device, mode):
                yield f"{where} judges a mode that was not timed"
            continue  # the settings name this mode no more, so the report does not
        folders = [archive.job(device, mode, number) for number in counted[device, mode]]
        fresh = judge_jobs(folders, references, roundings, annotations, passes)
        kept = records.read_json(archive.validity(device, mode), "validity")
        yield from differences(where, kept, fresh)


def _bounds(archive: Archive, ensemble: list[Record]) -> Iterator[str]:
    for device in archive.bounded_devices():
        kept = records.read_json(archive.roofline(device), "roofline")
        if kept["outcome"] != "completed":
            continue
        kernels = kept["kernels"]
        best = {precision: max(rates.values()) for precision, rates in kernels.items()}
        flops = kept["flops_per_second"] | best
        copied, silu = kept["copy_bytes_per_second"], kept["silu_per_second"]
        ceilings = Ceilings(flops, copied, kernels, silu)
        fresh = request_bounds(ensemble, ceilings, device)
        if "ends" not in kept["request"]:  # an older archive, without what must be moved once
            for work in (*fresh["models"], fresh["request"]):
                del work["ends"]
                for bounds in work["bounds"].values():
                    del bounds["once_ms"]
        yield from differences(f"roofline/{device}.json", kept, fresh)


def _capacities(archive: Archive) -> Iterator[str]:
    kept = read_capacities(archive)
    if kept is not None:
        yield from differences(archive.capacities.name, kept, capacities_of(archive))


def differences(where: str, kept: Any, fresh: Any, at: str = "") -> Iterator[str]:
    """Yields in words where `kept` differs from `fresh`; keys that only `kept` has are ignored."""
    if isinstance(fresh, dict) and isinstance(kept, dict):
        for key in (key for key in fresh if key != "schema_version"):
            yield from differences(where, kept.get(key), fresh[key], f"{at}.{key}".lstrip("."))
    elif isinstance(fresh, list) and isinstance(kept, list):
        if len(fresh) != len(kept):
            yield f"{where}: {at} has {len(kept)} entries, but its raw data give {len(fresh)}"
        for index, (old, new) in enumerate(zip(kept, fresh, strict=False)):
            yield from differences(where, old, new, f"{at}[{index}]")
    elif isinstance(fresh, float) and isinstance(kept, int | float):
        near = {records.rounded(fresh * (1 + error)) for error in (-NOISE, 0, NOISE)}
        if kept not in near | {fresh} and not math.isclose(kept, fresh, rel_tol=0, abs_tol=1e-15):
            yield f"{where}: {at} is {kept}, but its raw data give {records.rounded(fresh)}"
    elif kept != fresh:
        yield f"{where}: {at} is {kept!r}, but its raw data give {fresh!r}"


def _lines(where: str, kept: str, fresh: str) -> Iterator[str]:
    lines = itertools.zip_longest(kept.splitlines(), fresh.splitlines())
    for number, (old, new) in enumerate(lines, start=1):
        if old != new:
            yield f"{where}: line {number} is {old!r}, but its raw data give {new!r}"
            return


def _same_drawing(kept: str, fresh: str) -> bool:
    """Whether two figures are the same, except for rounding on another processor."""
    if NUMBER.sub("", kept) != NUMBER.sub("", fresh):
        return False
    pairs = zip(NUMBER.findall(kept), NUMBER.findall(fresh), strict=True)
    return all(abs(float(old) - float(new)) < INVISIBLE for old, new in pairs)


def _drawn_by(path: Path) -> str | None:
    """The version of matplotlib that drew a figure; `None` if something else drew it."""
    title = re.search(r"<dc:title>(Matplotlib v[^,<]+)", path.read_text())
    return title and title[1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results(parser)


def run(args: argparse.Namespace) -> None:
    archive, count = chosen(args), 0
    for difference in audit(archive):
        count += 1
        print(difference, file=sys.stderr, flush=True)
    if count:
        raise BenchError(
            f"{archive.root} is not what its raw data give: {count} differences in all."
        )
    print(f"{archive.root}: every number follows from its raw data")
    if skipped := uncompared(archive):
        drawn_by = ", ".join(sorted(set(skipped.values())))
        print(
            f"but {len(skipped)} figures were not compared, because {drawn_by} drew them and "
            f"{_installed()} is installed here: {', '.join(skipped)}"
        )
