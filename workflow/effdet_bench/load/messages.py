"""The messages between a service and its instances."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from effdet_bench.worker.spec import Environment, JobSpec


@dataclass(frozen=True)
class InstanceSpec:
    """One instance: the mode of `job`, on the cores `cpus`, for up to `batch` photos at a time.

    Answers for the gate go to `folder`. Without a `job`, the instance is the null mode. The null
    mode answers at once, and so shows what a service costs without a detector.
    """

    job: JobSpec | None
    cpus: tuple[int, ...]
    batch: int
    folder: Path | None = None

    @property
    def environment(self) -> Environment:
        return self.job.environment if self.job else Environment()

    @property
    def engines(self) -> tuple[str, ...]:
        return (self.job.engine,) if self.job else ()


class Served(NamedTuple):
    """A batch that an instance served: its begin and end, and the detections of each request.

    Nanoseconds are of the monotonic clock, which all processes of a machine share.
    """

    began_ns: int
    ended_ns: int
    tables: list[bytes]
