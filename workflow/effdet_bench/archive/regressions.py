"""Two runs of one machine, before and after a change: which modes became slower or wrong."""

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from effdet_bench.archive.machines import Machine, incomparable, read_machine
from effdet_bench.archive.pack import unpack
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive
from effdet_bench.report.words import interval, milliseconds, times
from effdet_bench.summary.comparison import unpaired
from effdet_bench.summary.jobs import LatenciesByRound, jobs_of, latencies_by_round
from effdet_bench.summary.rows import p50


class Run(NamedTuple):
    """An archive, and its timed latencies."""

    archive: Machine
    rounds: LatenciesByRound


def read_run(path: Path) -> Run:
    """The run at `path`, a folder, or a .zip of an archive.

    Raises:
        BenchError: it is neither, or damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = unpack(path, Path(folder)) if path.suffix == ".zip" else path
        archive = Archive(root)
        if not archive.summary.exists():
            raise BenchError(f"{path} holds no summary.json: give results/<machine> or an archive.")
        machine = read_machine(archive)
        return Run(machine, latencies_by_round(jobs_of(machine["summary"], archive)))


def regressions(before: Run, after: Run, threshold: float) -> tuple[list[str], list[str]]:
    """Lines on every mode of two runs of one machine, and those that are regressions.

    A mode regressed where its answers are no longer valid, or where it is slower by more than
    `threshold`, a share, and the interval of that excludes no change. See `comparison.unpaired`.

    Raises:
        BenchError: the two were not measured alike.
    """
    old, new = before.archive["summary"], after.archive["summary"]
    apart = incomparable(before.archive, after.archive)
    if old["threads"] != new["threads"]:
        apart = apart or [f"{new['threads']} threads in place of {old['threads']}"]
    if apart:
        raise BenchError(
            f"the two runs cannot be compared: {'; '.join(apart)}. Measure both alike."
        )
    rows = {(row["device"], row["mode"]): row for row in new["rows"]}
    lines, bad = [], []
    for row in old["rows"]:
        key = row["device"], row["mode"]
        if not row["ranked"]:
            continue
        named = f"{row['device']} {row['mode']}"
        now = rows.get(key)
        if now is None or not now["ranked"]:
            state = "not measured" if now is None else now["reason"] or "no longer valid"
            bad.append(f"{named}: {state}")
            lines.append(bad[-1])
            continue
        compared = unpaired(before.rounds[key], after.rounds[key])
        change = f"{milliseconds(p50(row))} before, {milliseconds(p50(now))} after"
        line = f"{named}: {change}, {times(compared.ratio)} as fast ({interval(compared)})"
        lines.append(line)
        sure = compared.high is not None and compared.high < 1
        if sure and compared.ratio < 1 / (1 + threshold):
            bad.append(line)
    return lines, bad


def compare_runs(before: Path, after: Path, threshold: float) -> None:
    """Prints what became of every mode.

    Raises:
        BenchError: a mode regressed, or the two runs cannot be compared.
    """
    lines, bad = regressions(read_run(before), read_run(after), threshold)
    print("\n".join(lines))
    if bad:
        for line in bad:
            print(f"REGRESSION: {line}", file=sys.stderr)
        raise BenchError(f"{len(bad)} of {len(lines)} modes regressed by more than the threshold.")
