"""Compares two runs of one machine, before and after a change: finds modes that became slower or
are no longer valid.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from effdet_bench.archive.machines import Machine, incomparable, read_machine
from effdet_bench.archive.unpack import unpack
from effdet_bench.config.names import BASELINE
from effdet_bench.errors import BenchError
from effdet_bench.facts.machine import is_same
from effdet_bench.layout import Archive
from effdet_bench.report.numbers import milliseconds, times
from effdet_bench.report.words import interval, stated
from effdet_bench.summary.comparison import (
    CONFIDENCE,
    Comparison,
    change,
    log_medians,
    round_ratios,
    unpaired,
)
from effdet_bench.summary.jobs import LatenciesByRound, jobs_of, latencies_by_round
from effdet_bench.summary.rows import Row, p50

# Confidence for the second measurement. Both measurements are compared with the same run before. If
# the machine was fast in that run, both agree on a regression that does not exist. With 95 % for
# both, 4 of 100 runs without a change would fail on a noisy machine (simulated).
SECOND_CONFIDENCE = 0.995


class Run(NamedTuple):
    """An archive, and its timed latencies by round.

    `probes` are the times of a fixed computation by device and round, in milliseconds.
    """

    archive: Machine
    rounds: LatenciesByRound
    probes: dict[str, dict[int, float]]

    def speeds(self, device: str, mode: str) -> np.ndarray | None:
        """Logarithms of the speed of a mode in each round, relative to `baseline`.

        The speed of `baseline` is relative to that of the fixed computation. `None` where that to
        which the speed is relative was not measured.
        """
        own = self.rounds[device, mode]
        if mode != BASELINE:
            base = self.rounds.get((device, BASELINE), {})
            logs = round_ratios(own, base, base)
            return logs if len(logs) else None
        probes = self.probes.get(device, {})
        if not own.keys() <= probes.keys():
            return None
        speeds: np.ndarray = np.log([probes[number] for number in sorted(own)]) - log_medians(own)
        return speeds


class Change(NamedTuple):
    """The change of a mode that was valid before.

    `kind` is `none`, `slower` (by more than the threshold), `not valid` or `not measured`. The last
    two kinds have a `reason`. Latencies are medians in milliseconds. `compared` is how many times
    as fast the mode is now. `relative` is the same relative to `baseline`, so without what became
    of the whole machine; for `baseline` it is relative to a fixed computation. These three are
    `None` for the last two kinds.
    """

    device: str
    mode: str
    kind: str
    reason: str | None
    before_ms: float
    after_ms: float | None
    compared: Comparison | None
    relative: Comparison | None

    @property
    def yardstick(self) -> str:
        """What `relative` is relative to."""
        return "a fixed computation" if self.mode == BASELINE else f"`{BASELINE}`"

    @property
    def bad(self) -> bool:
        return self.kind != "none"

    def __str__(self) -> str:
        named = f"{self.device} {self.mode}"
        if self.compared is None or self.after_ms is None:
            return f"{named}: {self.reason}"
        change = f"{milliseconds(self.before_ms)} before, {milliseconds(self.after_ms)} after"
        ratio = times(self.compared.ratio)
        text = f"{named}: {change}, {ratio} as fast ({interval(self.compared)})"
        if self.relative is None:
            return text
        return f"{text}; relative to {self.yardstick} {stated(self.relative)}"


def read_run(path: Path) -> Run:
    """Reads the run at `path`, an archive as a folder or as a .zip.

    Raises:
        BenchError: it is not an archive, or is damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = unpack(path, Path(folder)) if path.suffix == ".zip" else path
        archive = Archive(root)
        if not archive.summary.exists():
            raise BenchError(f"{path} holds no summary.json: give results/<machine> or an archive.")
        machine = read_machine(archive)
        jobs = jobs_of(machine["summary"], archive)
        probes: dict[str, dict[int, float]] = {}
        for job in jobs:
            moments = (job.record["conditions"][when]["probe_ms"] for when in ("before", "after"))
            if all(taken := list(moments)):
                probes.setdefault(job.record["device"], {})[job.record["round"]] = sum(taken) / 2
        return Run(machine, latencies_by_round(jobs), probes)


def changes(
    before: Run, after: Run, threshold: float, confidence: float = CONFIDENCE
) -> list[Change]:
    """The change of each mode that was valid in `before`; both runs must be of one machine.

    A mode is slower if its latency grew by more than `threshold`, a share, relative to `baseline`,
    and the interval of this change at `confidence` excludes 1. See `comparison.change`. The plain
    latency decides where the relative one is not known, and where `baseline` itself changed
    relative to the fixed computation, because then it is no measure of the machine.

    Raises:
        BenchError: the two runs differ in machine, ensemble, weights, photos or threads.
    """
    old, new = before.archive["summary"], after.archive["summary"]
    apart = incomparable(before.archive, after.archive)
    first, second = (one.archive["environment"].get("fingerprint") for one in (before, after))
    if first and second and not is_same(first, second):
        apart = ["they are of different machines", *apart]
    if old["threads"] != new["threads"]:
        apart = apart or [f"{new['threads']} threads in place of {old['threads']}"]
    if apart:
        raise BenchError(
            f"the two runs cannot be compared: {'; '.join(apart)}. Measure both alike."
        )
    rows = {(row["device"], row["mode"]): row for row in new["rows"]}
    bases = {
        device: _relative(before, after, device, BASELINE, CONFIDENCE)
        for device in {row["device"] for row in old["rows"]}
    }
    changed = [device for device, base in bases.items() if base and base.differs]
    found = []
    for row in old["rows"]:
        key = row["device"], row["mode"]
        now = rows.get(key)
        if now is not None and now["ranked"] and row["ranked"]:
            compared = unpaired(before.rounds[key], after.rounds[key], confidence)
            relative = _relative(before, after, *key, confidence)
            decides = None if row["mode"] != BASELINE and row["device"] in changed else relative
            kind = "slower" if _slower(decides or compared, threshold) else "none"
            found.append(Change(*key, kind, None, p50(row), p50(now), compared, relative))
        elif row["ranked"]:
            found.append(_missing(row, now))
    return found


def _relative(
    before: Run, after: Run, device: str, mode: str, confidence: float
) -> Comparison | None:
    """The change of `Run.speeds`; `None` where they are not known, or have no interval."""
    key = device, mode
    if key not in before.rounds or key not in after.rounds:
        return None
    old, new = before.speeds(*key), after.speeds(*key)
    found = None if old is None or new is None else change(old, new, confidence)
    return found if found and found.high is not None else None


def _slower(found: Comparison, threshold: float) -> bool:
    sure = found.high is not None and found.high < 1
    return sure and found.ratio < 1 / (1 + threshold)


def _missing(old: Row, new: Row | None) -> Change:
    kind = "not measured" if new is None else "not valid"
    reason = kind if new is None else new["reason"] or _why(new)
    return Change(old["device"], old["mode"], kind, reason, p50(old), None, None, None)


def _why(row: Row) -> str:
    if row["validity"]["verdict"] == "not decided":
        return "the gate could not decide whether its answers are valid"
    return "no longer valid"


def confirmed(suspects: list[Change], again: list[Change]) -> list[Change]:
    """The `suspects` that a second measurement, `again`, also found, or did not contain."""
    found = {(change.device, change.mode): change for change in again}
    return [
        change
        for change in suspects
        if (second := found.get((change.device, change.mode))) is None or second.bad
    ]
