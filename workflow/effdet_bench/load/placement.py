"""How the cores of a machine are split between instances of a service; each has its own cores."""

import os
from pathlib import Path
from typing import NamedTuple

from effdet_bench.config.cores import usable_cores

TOPOLOGY = Path("/sys/devices/system/cpu")


class Split(NamedTuple):
    """`cpus` are the logical CPUs of each instance, empty where a process cannot choose CPUs."""

    threads: int
    cpus: tuple[tuple[int, ...], ...]

    @property
    def instances(self) -> int:
        return len(self.cpus)


def physical_cores() -> list[tuple[int, ...]]:
    """Logical CPUs of each physical core that this process may run on, in ascending order.

    Where a process cannot choose CPUs, as on macOS, every core is an empty tuple.
    """
    if not hasattr(os, "sched_getaffinity"):
        return [()] * usable_cores()
    allowed = os.sched_getaffinity(0)
    cores: dict[str, list[int]] = {}
    for cpu in sorted(allowed):
        siblings = TOPOLOGY / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        key = siblings.read_text() if siblings.exists() else str(cpu)
        cores.setdefault(key, []).append(cpu)
    return [tuple(core) for core in cores.values()]


def splits(cores: list[tuple[int, ...]], threads: int) -> list[Split]:
    """Every split of `threads` cores into instances of equal size, the fewest instances first."""
    cores = cores[:threads]
    return [_split(cores, count) for count in range(1, len(cores) + 1) if len(cores) % count == 0]


def _split(cores: list[tuple[int, ...]], instances: int) -> Split:
    size = len(cores) // instances
    parts = [cores[begin : begin + size] for begin in range(0, len(cores), size)]
    return Split(size, tuple(tuple(cpu for core in part for cpu in core) for part in parts))
