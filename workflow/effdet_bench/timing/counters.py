"""What the machine did during one request: read right before its clock starts, and after it stops.

The system keeps all these counters anyway. Reading them takes microseconds, outside the clock.
"""

import contextlib
import resource
from pathlib import Path
from typing import NamedTuple

import psutil

CLOCK = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")


class Effort(NamedTuple):
    """What one request cost, and what others took during it.

    `cpu_ns` is processor time of all threads of the process, and `kernel_ns` the part of it inside
    the kernel. `minor_faults` counts pages that were mapped without reading them, `major_faults`
    pages that were read. `preempted` counts how often another process took the processor away. On
    all cores together, other processes ran for `other_ns`, and the host of a virtual machine took
    `steal_ns`, in steps of 10 ms on Linux. `clock_khz` is the clock of the first core. A value is
    empty where the system does not tell.
    """

    cpu_ns: int
    kernel_ns: int
    minor_faults: int
    major_faults: int
    preempted: int
    other_ns: int
    steal_ns: int | str
    clock_khz: int | str


class Meter:
    """Counts from when this object is made until `read`."""

    def __init__(self) -> None:
        self._busy, self._steal = busy_and_steal()
        self._usage = resource.getrusage(resource.RUSAGE_SELF)

    def read(self) -> Effort:
        usage, before = resource.getrusage(resource.RUSAGE_SELF), self._usage
        busy, steal = busy_and_steal()
        kernel = usage.ru_stime - before.ru_stime
        cpu = usage.ru_utime - before.ru_utime + kernel
        stolen = None if steal is None or self._steal is None else steal - self._steal
        return Effort(
            _nanoseconds(cpu),
            _nanoseconds(kernel),
            usage.ru_minflt - before.ru_minflt,
            usage.ru_majflt - before.ru_majflt,
            usage.ru_nivcsw - before.ru_nivcsw,
            _nanoseconds(max(0.0, busy - self._busy - cpu)),
            "" if stolen is None else _nanoseconds(stolen),
            _clock(),
        )


def busy_and_steal() -> tuple[float, float | None]:
    """Seconds of all cores since the system started: those of processes, those the host took."""
    times = psutil.cpu_times()
    return times.user + times.system + getattr(times, "nice", 0.0), getattr(times, "steal", None)


def _clock() -> int | str:
    with contextlib.suppress(OSError, ValueError):
        return int(CLOCK.read_text())
    return ""


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
