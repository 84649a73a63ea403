"""Sets: modes of a device that were timed in the same rounds. After a change, a run makes a set."""

from effdet_bench.config.names import BASELINE, CONTROL
from effdet_bench.summary.comparison import only, unpaired
from effdet_bench.summary.jobs import Job
from effdet_bench.summary.rows import ModeSet
from effdet_bench.summary.verdicts import Pairs


def mode_sets(jobs: list[Job], pairs: Pairs) -> list[ModeSet]:
    """The sets of `jobs` by device, in the order of their rounds."""
    sets: list[ModeSet] = []
    for device in dict.fromkeys(job.record["device"] for job in jobs):
        first = len(sets)
        for modes, own in _together([job for job in jobs if job.record["device"] == device]):
            rounds = sorted({job.record["round"] for job in own})
            found: ModeSet = {
                "device": device,
                "modes": modes,
                "rounds": rounds,
                "started": min(job.record["started"] for job in own),
                "change": None,
                "drifted": False,
            }
            if len(sets) > first:
                _compare_baselines(sets[first], found, pairs)
            sets.append(found)
    return sets


def _together(jobs: list[Job]) -> list[tuple[list[str], list[Job]]]:
    """The modes that were timed in the same rounds, and their jobs, by round."""
    by_round: dict[int, list[Job]] = {}
    for job in jobs:
        by_round.setdefault(job.record["round"], []).append(job)
    sets: dict[tuple[str, ...], list[Job]] = {}
    for number in sorted(by_round):
        names = [job.record["mode"] for job in by_round[number]]
        others = [name for name in names if name not in (BASELINE, CONTROL)]
        sets.setdefault(tuple(others or names), []).extend(by_round[number])
    return [(list(modes), own) for modes, own in sets.items()]


def _compare_baselines(first: ModeSet, other: ModeSet, pairs: Pairs) -> None:
    """Adds to `other` how `baseline` changed since `first`, and whether by more than the noise."""
    device = first["device"]
    base = pairs.rounds.get((device, BASELINE), {})
    before, after = (only(base, one["rounds"]) for one in (first, other))
    if not before or not after:
        return
    change = unpaired(before, after)
    least = pairs.noise_in(device, [*first["rounds"], *other["rounds"]])
    other["change"] = {key: getattr(change, key) for key in ("ratio", "low", "high")}
    other["drifted"] = change.differs and max(change.ratio, 1 / change.ratio) > 1 + (least or 0.0)
