"""Reads timing jobs from the archive, and checks them against the data contract."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from effdet_bench import layout, records
from effdet_bench.errors import BenchError
from effdet_bench.summary.rows import Summary

# latencies in nanoseconds of a round by turn; turns by (device, mode), and then by round
Turns = dict[int, list[int]]
LatenciesByRound = dict[tuple[str, str], dict[int, Turns]]


@dataclass(frozen=True)
class Job:
    """One timing job: its record and its raw rows, as the data contract has them."""

    record: records.Record
    requests: pd.DataFrame
    stages: pd.DataFrame

    @property
    def completed(self) -> bool:
        return bool(self.record["outcome"] == "completed")

    @cached_property
    def timed_rows(self) -> pd.DataFrame:
        """Rows of the timed requests, in the order in which they happened."""
        return self.requests[self.requests["phase"] == "timed"]

    @cached_property
    def timed(self) -> list[int]:
        """Latencies of the timed requests in nanoseconds, in that order."""
        latencies: list[int] = self.timed_rows["latency_ns"].tolist()
        return latencies

    @cached_property
    def turns(self) -> Turns:
        """These latencies by turn; in a turn, all modes of a group served."""
        turns: Turns = {}
        for turn, latency in zip(self.timed_rows["turn"].tolist(), self.timed, strict=True):
            turns.setdefault(turn, []).append(latency)
        return turns

    @property
    def label(self) -> str:
        return f"{self.record['device']} {self.record['mode']} round {self.record['round']}"


def read_jobs(folders: Iterable[str | Path]) -> list[Job]:
    """Reads the folders of timing jobs.

    Raises:
        BenchError: a file is missing or is not what the data contract says.
    """
    return [_read_job(Path(folder)) for folder in folders]


def jobs_of(summary: Summary, archive: layout.Archive) -> list[Job]:
    """The completed jobs of `archive` from which `summary` was computed."""
    return read_jobs(
        archive.job(row["device"], row["mode"], done["round"])
        for row in summary["rows"]
        for done in row["rounds"]
    )


def _read_job(folder: Path) -> Job:
    record = records.read_json(folder / layout.JOB_RECORD, "job")
    requests, stages = (
        records.read_table(folder / name, records.RAW_COLUMNS[name])
        for name in (layout.REQUESTS, layout.STAGES)
    )
    job = Job(record, requests, stages)
    if job.completed and len(job.timed) != record["requests"]:
        raise BenchError(
            f"{folder / layout.REQUESTS} has {len(job.timed)} timed requests, but job.json says "
            f"{record['requests']}: run this timing again."
        )
    return job


def latencies_by_round(jobs: list[Job]) -> LatenciesByRound:
    """Timed latencies of completed jobs in nanoseconds, by device and mode, and then by round."""
    rounds: LatenciesByRound = {}
    for job in jobs:
        if job.completed:
            key = job.record["device"], job.record["mode"]
            rounds.setdefault(key, {})[job.record["round"]] = job.turns
    return rounds
