"""How the cores of a machine are split between instances of a service; each has its own cores."""

from typing import NamedTuple


class Split(NamedTuple):
    """`cpus` are the logical CPUs of each instance, empty where a process cannot choose CPUs."""

    threads: int
    cpus: tuple[tuple[int, ...], ...]

    @property
    def instances(self) -> int:
        return len(self.cpus)


def splits(cores: list[tuple[int, ...]], threads: int) -> list[Split]:
    """Every split of `threads` cores into instances of equal size, the fewest instances first."""
    cores = cores[:threads]
    return [_split(cores, count) for count in range(1, len(cores) + 1) if len(cores) % count == 0]


def _split(cores: list[tuple[int, ...]], instances: int) -> Split:
    size = len(cores) // instances
    parts = [cores[begin : begin + size] for begin in range(0, len(cores), size)]
    return Split(size, tuple(tuple(cpu for core in part for cpu in core) for part in parts))
