"""Which measured rounds count, and which rounds are to be timed; found before a run, from records.

A round counts for a mode while everything that the mode depends on is as it was in that round, and
while the round counts for `baseline` and its control, too. Of these rounds the latest count, as
many as are asked for. Modes that lack rounds are timed in new rounds, together with `baseline` and
its control. All other modes keep their figures. Modes that were timed in the same rounds are a set.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from effdet_bench import layout
from effdet_bench.checkpoints.sources import Source
from effdet_bench.config.modes import Mode, engine_versions, export_of
from effdet_bench.config.names import BASELINE, CONTROL
from effdet_bench.errors import BenchError
from effdet_bench.facts.code import (
    SHORT,
    code_digests,
    digest,
    digest_without_comments,
    module_files,
)
from effdet_bench.layout import Archive
from effdet_bench.records import RAW_COLUMNS, Record

Digests = dict[str, str]  # of each part that a mode depends on

# settings of a round, of which a change concerns every mode
SETTINGS = ("threads", "seconds", "requests", "warmup", "seed")


class Plan(NamedTuple):
    """The rounds of the modes of one device.

    `counted` are the rounds that count for each mode after the run, in ascending order. `new` are
    the modes that are timed in each new round. `staged` are the new rounds that time stages. `why`
    says in words why a mode is timed; it has no entry for other modes.
    """

    counted: dict[str, list[int]]
    new: dict[int, list[str]]
    staged: set[int]
    why: dict[str, str]

    def timed(self, mode: str) -> list[int]:
        """The new rounds in which `mode` is timed."""
        return [number for number, modes in self.new.items() if mode in modes]

    def kept(self, mode: str) -> list[int]:
        """The rounds of earlier runs that count for `mode`."""
        return [number for number in self.counted[mode] if number not in self.new]

    def complete(self, number: int) -> int:
        """How many rounds all modes have after round `number`; 0 if some have more than others."""
        done = {sum(k <= number for k in rounds) for rounds in self.counted.values()}
        return done.pop() if len(done) == 1 else 0


def plan_rounds(
    archive: Archive,
    device: str,
    depends: Mapping[str, Digests],
    rounds: int,
    stage_rounds: int = 0,
    again: bool = False,
) -> Plan:
    """The plan that gives every mode of `depends` `rounds` rounds.

    With `again`, no round of an earlier run counts. `depends` has the digests of
    what each mode depends on now, by name. The first `stage_rounds` rounds of a mode time stages.
    """
    found = {mode: {} if again else _records(archive, device, mode) for mode in depends}
    # without `baseline`, only modes of the same rounds can be compared
    anchors = [mode for mode in depends if mode in (BASELINE, CONTROL)] or list(depends)
    own = _unchanged(found, depends, anchors)
    lacking = {
        mode: rounds - len(own[mode])
        for mode in [mode for mode in depends if mode not in anchors] or depends
    }
    last = archive.last_round(device)
    new = {
        last + count + 1: [
            mode for mode in depends if mode in anchors or lacking.get(mode, 0) > count
        ]
        for count in range(max([0, *lacking.values()]))
    }
    why = {
        mode: "the setting again"
        if again
        else _why(found[mode], depends[mode], len(own[mode]), rounds)
        for mode in lacking
        if lacking[mode] > 0
    }
    staged = _staged(archive, device, own, new, stage_rounds) if new else set()
    for number, modes in new.items():
        for mode in modes:
            own[mode].add(number)
    return Plan(_in_use(own, anchors, rounds), new, staged, why)


def shared_digests(config: Record, sources: Sequence[Source], photos: Sequence[str]) -> Digests:
    """Digests of what the figures of all modes depend on, besides their code.

    They are taken of settings and code, not of the files that steps make of these: so they are
    known before the run. `photos` are those that requests send.

    Raises:
        BenchError: a photo or checkpoint cannot be read.
    """
    parts = {
        "settings": {key: config[key] for key in SETTINGS},
        "checkpoints": [
            [entry["model"], entry["architecture"], entry["classes"], *_identity(source)]
            for entry, source in zip(config["ensemble"], sources, strict=True)
        ],
        "photos": [[Path(path).name, _digest_of(path)] for path in photos],
    }
    return {key: _short(part) for key, part in parts.items()}


def own_digests(mode: Mode, device: str) -> Digests:
    """Digests of what the figures of `mode` on `device` depend on, besides the shared ones."""
    exported = export_of(mode, device) is not None
    calibration = sorted(layout.CALIBRATION_PHOTOS.glob("*.jpg")) if exported else []
    parts = {
        "options": {key: mode[key] for key in ("engine", "options", "env", "python")},
        "versions": engine_versions(mode["engine"]),
        "calibration": digest(calibration),
    }
    code = code_digests(mode["engine"], exported)
    return code | {key: _short(part) for key, part in parts.items()}


def describe(plan: Plan, device: str) -> list[str]:
    """One line for each mode: whether it is kept, or in which rounds it is timed and why.

    One line for all modes if nothing was measured before.
    """
    if 1 in plan.new:
        return [f"{device}: timed in {spans(sorted(plan.new))}: {', '.join(plan.counted)}"]
    width = max(map(len, plan.counted), default=0)
    lines = []
    for mode in plan.counted:
        timed = plan.timed(mode)
        if mode in plan.why:
            text = f"timed in {spans(timed)}: {plan.why[mode]}"
        elif timed:
            text = f"timed in {spans(timed)}: other modes are compared with it"
        else:
            text = f"kept, from {spans(plan.kept(mode))}"
        lines.append(f"{device} {mode:<{width}}  {text}")
    return lines


def spans(numbers: Sequence[int]) -> str:
    """Ascending numbers of rounds in words, such as `rounds 1 to 6, 9`."""
    ends: list[list[int]] = []
    for number in numbers:
        if ends and number == ends[-1][1] + 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    word = "round" if len(numbers) == 1 else "rounds"
    return f"{word} {', '.join(f'{a} to {b}' if b > a else str(a) for a, b in ends)}"


def _unchanged(
    found: Mapping[str, Mapping[int, Record]],
    depends: Mapping[str, Digests],
    anchors: Sequence[str],
) -> dict[str, set[int]]:
    """The rounds whose records `found` have the digests of the mode, and of all `anchors`."""
    own = {
        mode: {k for k, record in found[mode].items() if record.get("depends") == depends[mode]}
        for mode in depends
    }
    shared = set.intersection(*(own[mode] for mode in anchors)) if anchors else set()
    return {mode: numbers & shared for mode, numbers in own.items()}


def _staged(
    archive: Archive,
    device: str,
    own: Mapping[str, set[int]],
    new: Mapping[int, list[str]],
    stage_rounds: int,
) -> set[int]:
    """The rounds of `new` in which a mode has its first `stage_rounds` rounds with stages."""
    stages = {
        mode: sum(
            (archive.job(device, mode, number) / layout.STAGES).read_text().count("\n") > 1
            for number in numbers
        )
        for mode, numbers in own.items()
    }
    staged = set()
    for number, modes in new.items():
        if any(stages[mode] < stage_rounds for mode in modes):
            staged.add(number)
            stages |= {mode: stages[mode] + 1 for mode in modes}
    return staged


def _in_use(
    own: Mapping[str, set[int]], anchors: Sequence[str], rounds: int
) -> dict[str, list[int]]:
    """The latest `rounds` of `own` for each mode, and the rounds of `anchors` that these share."""
    latest = {mode: set(sorted(numbers)[-rounds:]) for mode, numbers in own.items()}
    others = [latest[mode] for mode in latest if mode not in anchors]
    if others:
        latest |= {mode: own[mode] & set().union(*others) for mode in anchors}
    return {mode: sorted(numbers) for mode, numbers in latest.items()}


def _records(archive: Archive, device: str, mode: str) -> dict[int, Record]:
    """The records of `mode` by round; without those that are damaged or of another machine."""
    found = {}
    for number in archive.rounds(device, mode):
        folder = archive.job(device, mode, number)
        try:
            record = json.loads((folder / layout.JOB_RECORD).read_text())
        except (OSError, ValueError):
            continue
        if not isinstance(record, dict) or record.get("machine") != archive.root.name:
            continue
        if all((folder / name).exists() for name in RAW_COLUMNS):
            found[number] = record
    return found


def _why(found: Mapping[int, Record], digests: Digests, kept: int, rounds: int) -> str:
    if not found:
        return "not measured yet"
    if kept:
        return f"{kept} of {rounds} rounds are measured"
    known = [record["depends"] for record in found.values() if "depends" in record]
    if not known:
        return "measured by an older effdet-bench"
    changes = [[key for key in digests if digests[key] != before.get(key)] for before in known]
    fewest = min(map(len, changes))
    changed = next(keys for keys in changes if len(keys) == fewest)
    return f"changed: {', '.join(changed)}" if changed else "its rounds have no baseline"


def _identity(source: Source) -> list[str | None]:
    """What tells a checkpoint from others, before it is downloaded or made."""
    known = source.sha256
    if source.weights == "synthetic":
        photos = sorted(layout.SHIPPED_PHOTOS.glob("*.jpg"))
        known = digest(photos) + digest_without_comments(module_files("checkpoints.synthetic"))
    elif source.weights == "file":
        known = _digest_of(source.path)
    return [source.weights, known]


def _digest_of(path: str) -> str:
    try:
        return digest([Path(path)])
    except OSError as error:
        raise BenchError(
            f"{path} cannot be read ({error.strerror}): give yourself permission, or choose "
            "another file."
        ) from None


def _short(part: Any) -> str:
    return sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:SHORT]
