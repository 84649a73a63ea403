"""What a service and its instances say to each other."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from effdet_bench.timing.spec import JobSpec


@dataclass(frozen=True)
class InstanceSpec:
    """What one instance is: the mode of `job`, kept on `cpus`, for up to `batch` photos at a time.

    Answers that are judged go to `folder`. Without a `job` it is the null mode, which answers at
    once: what a service costs without a detector.
    """

    job: JobSpec | None
    cpus: tuple[int, ...]
    batch: int
    folder: Path | None = None


class Served(NamedTuple):
    """A batch as an instance served it: its clock, and the detection tables of each request.

    Nanoseconds are of the monotonic clock, which all processes of a machine share.
    """

    began_ns: int
    ended_ns: int
    tables: list[bytes]
