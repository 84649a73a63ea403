"""Two runs of one machine, before and after a change: which modes became slower or wrong."""

import tempfile
from pathlib import Path
from typing import NamedTuple

from effdet_bench.archive.machines import Machine, incomparable, read_machine
from effdet_bench.archive.pack import unpack
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive
from effdet_bench.report.numbers import milliseconds, times
from effdet_bench.report.words import interval
from effdet_bench.summary.comparison import CONFIDENCE, Comparison, unpaired
from effdet_bench.summary.jobs import LatenciesByRound, jobs_of, latencies_by_round
from effdet_bench.summary.rows import Row, p50

# Of the second measurement. Both share the run before, so one in which the machine was fast makes
# them agree: at 95 % again, 4 of 100 runs without change would fail on a noisy machine (simulated).
SECOND_CONFIDENCE = 0.995


class Run(NamedTuple):
    """An archive, and its timed latencies."""

    archive: Machine
    rounds: LatenciesByRound


class Change(NamedTuple):
    """What became of a mode that was valid before.

    `kind` is `none`, `slower` by more than the threshold, `not valid` or `not measured`; of the
    last two there is a `reason`. Latencies are medians in milliseconds, and `compared` how many
    times as fast the mode is now; `None` where it was not measured or is not valid.
    """

    device: str
    mode: str
    kind: str
    reason: str | None
    before_ms: float
    after_ms: float | None
    compared: Comparison | None

    @property
    def bad(self) -> bool:
        return self.kind != "none"

    def __str__(self) -> str:
        named = f"{self.device} {self.mode}"
        if self.compared is None or self.after_ms is None:
            return f"{named}: {self.reason}"
        change = f"{milliseconds(self.before_ms)} before, {milliseconds(self.after_ms)} after"
        ratio = times(self.compared.ratio)
        return f"{named}: {change}, {ratio} as fast ({interval(self.compared)})"


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


def changes(
    before: Run, after: Run, threshold: float, confidence: float = CONFIDENCE
) -> list[Change]:
    """What became of each mode that was valid in `before`, of two runs of one machine.

    A mode is slower where it is by more than `threshold`, a share, and the interval of that, at
    `confidence`, excludes no change. See `comparison.unpaired`.

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
    found = []
    for row in old["rows"]:
        key = row["device"], row["mode"]
        now = rows.get(key)
        if now is not None and now["ranked"] and row["ranked"]:
            compared = unpaired(before.rounds[key], after.rounds[key], confidence)
            found.append(_measured(row, now, compared, threshold))
        elif row["ranked"]:
            found.append(_missing(row, now))
    return found


def _measured(old: Row, new: Row, compared: Comparison, threshold: float) -> Change:
    sure = compared.high is not None and compared.high < 1
    kind = "slower" if sure and compared.ratio < 1 / (1 + threshold) else "none"
    return Change(old["device"], old["mode"], kind, None, p50(old), p50(new), compared)


def _missing(old: Row, new: Row | None) -> Change:
    kind = "not measured" if new is None else "not valid"
    reason = kind if new is None else new["reason"] or "no longer valid"
    return Change(old["device"], old["mode"], kind, reason, p50(old), None, None)


def confirmed(suspects: list[Change], again: list[Change]) -> list[Change]:
    """Those of `suspects` that a second measurement found too: one that only chance made is not."""
    found = {(change.device, change.mode): change for change in again}
    return [
        change
        for change in suspects
        if (second := found.get((change.device, change.mode))) is None or second.bad
    ]
