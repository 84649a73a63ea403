"""Timing jobs as they lie in the archive: read, and checked against the data contract."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from effdet_bench import records
from effdet_bench.errors import BenchError


@dataclass(frozen=True)
class Job:
    """One timing job: its record and its raw rows, as the data contract in the README has them."""

    record: dict
    requests: pd.DataFrame
    stages: pd.DataFrame

    @property
    def completed(self) -> bool:
        return self.record["outcome"] == "completed"

    @cached_property
    def timed_rows(self) -> pd.DataFrame:
        """Rows of the timed requests, in the order in which they happened."""
        return self.requests[self.requests["phase"] == "timed"]

    @cached_property
    def timed(self) -> list[int]:
        """Latencies of the timed requests in nanoseconds, in that order."""
        return self.timed_rows["latency_ns"].tolist()

    @property
    def label(self) -> str:
        return f"{self.record['device']} {self.record['mode']} round {self.record['round']}"


def read_jobs(folders: Iterable[str | Path]) -> list[Job]:
    """Reads the folders of timing jobs.

    Raises:
        BenchError: a file is missing or is not what the data contract says.
    """
    return [_read_job(Path(folder)) for folder in folders]


def jobs_of(summary: dict, results: Path) -> list[Job]:
    """The completed jobs in the folder `results` that `summary` is of."""
    return read_jobs(
        results / "timing" / row["device"] / row["mode"] / f"round-{done['round']}"
        for row in summary["rows"]
        for done in row["rounds"]
    )


def _read_job(folder: Path) -> Job:
    record = records.read_json(folder / "job.json", "job")
    requests, stages = (
        records.read_table(folder / name, records.RAW_COLUMNS[name])
        for name in ("requests.csv", "stages.csv")
    )
    job = Job(record, requests, stages)
    if job.completed and len(job.timed) != record["requests"]:
        raise BenchError(
            f"{folder / 'requests.csv'} has {len(job.timed)} timed requests, but job.json says "
            f"{record['requests']}: run this timing again."
        )
    return job
