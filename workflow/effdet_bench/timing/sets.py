"""Which measured rounds count, and which rounds are to be timed; found before a run, from records.

A round counts for a mode while everything that the mode depends on is as it was in that round, and
while the round counts for `baseline`, too. Of these rounds the latest count, as many as are asked
for. Modes that lack rounds are timed in new rounds, together with `baseline` and its control. All
other modes keep their figures. Modes that were timed in the same rounds are a set.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from effdet_bench import layout
from effdet_bench.checkpoints.sources import Source
from effdet_bench.config.code import SHORT, digest, digest_without_comments, module_files
from effdet_bench.config.modes import Mode, engine_versions, export_of
from effdet_bench.config.names import BASELINE, CONTROL
from effdet_bench.layout import Archive
from effdet_bench.records import RAW_COLUMNS, Record

Digests = dict[str, str]  # of each part that a mode depends on

HARNESS = ("timing.job", "reference.reference", "reference.errors")
# settings of a round, of which a change concerns every mode
SETTINGS = ("threads", "seconds", "requests", "warmup", "stage_rounds", "seed")


class Plan(NamedTuple):
    """The rounds of the modes of one device.

    `counted` are the rounds that count for each mode after the run, in ascending order. `new` are
    the modes that are timed in each new round. `why` says in words why a mode is timed; it has no
    entry for other modes.
    """

    counted: dict[str, list[int]]
    new: dict[int, list[str]]
    why: dict[str, str]

    def timed(self, mode: str) -> list[int]:
        """The new rounds in which `mode` is timed."""
        return [number for number, modes in self.new.items() if mode in modes]

    def kept(self, mode: str) -> list[int]:
        """The rounds of earlier runs that count for `mode`."""
        return [number for number in self.counted[mode] if number not in self.new]

    def staged(self, number: int, rounds: int) -> bool:
        """Whether the new round `number` times stages, as the last `rounds` of each mode do."""
        return any(
            number in self.counted[mode][len(self.counted[mode]) - rounds :]
            for mode in self.new[number]
        )


def plan_rounds(
    archive: Archive, device: str, depends: Mapping[str, Digests], rounds: int, anew: bool = False
) -> Plan:
    """The plan that gives every mode of `depends` `rounds` rounds; `anew` counts none from before.

    `depends` has the digests of what each mode depends on now, by name.
    """
    found = {mode: {} if anew else _records(archive, device, mode) for mode in depends}
    own = _unchanged(found, depends)
    lacking = {
        mode: rounds - len(own[mode]) for mode in depends if mode != BASELINE or len(own) == 1
    }
    last = archive.last_round(device)
    new = {
        last + count + 1: [
            mode for mode in depends if mode in (BASELINE, CONTROL) or lacking[mode] > count
        ]
        for count in range(max([0, *lacking.values()]))
    }
    why = {
        mode: "forced" if anew else _why(found[mode], depends[mode], len(own[mode]), rounds)
        for mode in lacking
        if lacking[mode] > 0
    }
    for number, modes in new.items():
        for mode in modes:
            own[mode].add(number)
    return Plan(_in_use(own, rounds), new, why)


def depends_on(
    mode: Mode, device: str, config: Record, sources: Sequence[Source], photos: Sequence[str]
) -> Digests:
    """Digests of everything that the figures of `mode` on `device` depend on.

    They are taken of code and settings, not of the files that steps make of these: so they are
    known before the run. `photos` are those that requests send.
    """
    harness = module_files(*HARNESS)
    engine = [f"engines.{mode['engine']}"]
    if export_of(mode, device):
        engine.append("export.export")
    own = [path for path in module_files(*engine) if path not in harness]
    calibration = sorted(layout.CALIBRATION_PHOTOS.glob("*.jpg")) if len(engine) > 1 else []
    given = {key: mode[key] for key in ("engine", "options", "env", "python")}
    parts: dict[str, Any] = {
        "harness": digest_without_comments(harness),
        "engine": [digest_without_comments(own), digest(calibration)],
        "options": given,
        "versions": engine_versions(mode["engine"]),
        "settings": {key: config[key] for key in SETTINGS},
        "checkpoints": [
            [entry["model"], entry["architecture"], entry["classes"], *_identity(source)]
            for entry, source in zip(config["ensemble"], sources, strict=True)
        ],
        "photos": [[Path(path).name, digest([Path(path)])] for path in photos],
    }
    return {key: _short(part) for key, part in parts.items()}


def describe(plan: Plan, device: str) -> list[str]:
    """One line for each mode: whether it is kept, or in which rounds it is timed and why."""
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
    found: Mapping[str, Mapping[int, Record]], depends: Mapping[str, Digests]
) -> dict[str, set[int]]:
    """The rounds of each mode whose records `found` have its digests, and those of `baseline`."""
    own = {
        mode: {k for k, record in found[mode].items() if record.get("depends") == depends[mode]}
        for mode in depends
    }
    base = own.get(BASELINE)
    return {mode: numbers if base is None else numbers & base for mode, numbers in own.items()}


def _in_use(own: Mapping[str, set[int]], rounds: int) -> dict[str, list[int]]:
    """The latest `rounds` of `own` for each mode, and all that these need of the baselines."""
    kept = {mode: set(sorted(numbers)[-rounds:]) for mode, numbers in own.items()}
    used = set().union(*(kept[mode] for mode in kept if mode not in (BASELINE, CONTROL)))
    if CONTROL in own and len(own[CONTROL] & used) >= rounds:
        kept[CONTROL] = own[CONTROL] & used
    if BASELINE in own and len(own) > 1:
        kept[BASELINE] = own[BASELINE] & (used | kept.get(CONTROL, set()))
    return {mode: sorted(numbers) for mode, numbers in kept.items()}


def _records(archive: Archive, device: str, mode: str) -> dict[int, Record]:
    """The records of `mode` by round; without those that are damaged or lack raw data."""
    found = {}
    for number in archive.rounds(device, mode):
        folder = archive.job(device, mode, number)
        try:
            record = json.loads((folder / layout.JOB_RECORD).read_text())
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and all((folder / name).exists() for name in RAW_COLUMNS):
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
    return f"changed: {', '.join(min(changes, key=len)) or BASELINE}"


def _identity(source: Source) -> list[str | None]:
    """What tells a checkpoint from others, before it is downloaded or made."""
    known = source.sha256
    if source.weights == "synthetic":
        known = digest_without_comments(module_files("checkpoints.synthetic"))
    elif source.weights == "file":
        known = digest([Path(source.path)])
    return [source.weights, known]


def _short(part: Any) -> str:
    return sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:SHORT]
