"""Into how many rounds the time of a run is best split, by what a committed archive measured."""

import numpy as np
import pytest

from effdet_bench.config.names import BASELINE
from effdet_bench.config.settings import resolve
from effdet_bench.layout import Archive
from effdet_bench.summary.comparison import compare
from effdet_bench.summary.jobs import Job, jobs_of, latencies_by_round
from effdet_bench.summary.summary import read_summary
from helpers import EXAMPLES

RUNS = 60
DEFAULT = resolve({})["rounds"]


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    """Of a run of the default settings."""
    archive = Archive(EXAMPLES / "amd-epyc-zen4-2-core")
    return jobs_of(read_summary(archive), archive)


def logs_of(jobs: list[Job]) -> list[np.ndarray]:
    """For each mode the logarithms [rounds, turns] of its speed-ups, with 1 as their middle."""
    rounds = latencies_by_round(jobs)
    baseline = rounds.pop(("cpu", BASELINE))
    found = []
    for mode in rounds.values():
        shared = min(len(mode[k].keys() & baseline[k].keys()) for k in mode)
        found.append(
            np.array(
                [
                    [
                        np.log(np.median(baseline[k][turn]) / np.median(mode[k][turn]))
                        for turn in sorted(mode[k].keys() & baseline[k].keys())[:shared]
                    ]
                    for k in mode
                ]
            )
        )
    return [one - one.mean() for one in found if one.shape[1] > 1]


def between_rounds(logs: np.ndarray, generator: np.random.Generator) -> float:
    """The variance of a round's median beyond what so many turns explain."""
    within = logs - np.median(logs, axis=1, keepdims=True)
    turns = logs.shape[1]
    picked = generator.choice(within.ravel(), (4000, turns)) * np.sqrt(turns / (turns - 1))
    return max(0.0, np.median(logs, axis=1).var(ddof=1) - np.median(picked, axis=1).var())


def test_the_default_number_of_rounds_is_as_good_as_any(jobs):
    """Of a fixed time, each round takes that of loading and warming up; the rest are turns."""
    generator = np.random.default_rng(7)
    modes = logs_of(jobs)
    spread = np.sqrt(np.mean([between_rounds(logs, generator) for logs in modes]))
    length = np.mean([job.record["job_seconds"] for job in jobs])
    timed = sum(sum(job.timed) for job in jobs) / 1e9 / DEFAULT
    turn = timed / modes[0].shape[1]
    widths, covered = {}, {}
    for rounds in range(3, 13):
        turns = int((DEFAULT * length / rounds - (length - timed)) / turn)
        if turns < 1:
            break
        found = []
        for logs in modes:
            within = (logs - np.median(logs, axis=1, keepdims=True)).ravel()
            for _ in range(RUNS):
                made = generator.choice(within, (rounds, turns))
                made += generator.normal(0, spread, (rounds, 1))
                ours = {
                    k: {t: [np.exp(-log)] for t, log in enumerate(r)} for k, r in enumerate(made)
                }
                theirs = {k: {t: [1.0] for t in turns_of} for k, turns_of in ours.items()}
                found.append(compare(ours, theirs))
        widths[rounds] = float(np.median([one.half_width for one in found]))
        covered[rounds] = float(np.mean([one.low <= 1 <= one.high for one in found]))
        print(f"{rounds} rounds, {turns} turns: ± {widths[rounds]:.1%}, {covered[rounds]:.0%}")
    assert min(covered.values()) > 0.9
    assert widths[DEFAULT] < 1.15 * min(widths.values())
