"""Whether one more mode fits into memory, judged by what the modes before it took."""

import contextlib
from pathlib import Path
from typing import NamedTuple

import psutil

from effdet_bench.facts.cores import groups
from effdet_bench.worker.gpu import Gpu


class _Version(NamedTuple):
    """The files of one version of control groups.

    `given_back` are keys of memory.stat: pages of files, which the kernel can take back.
    """

    limit: str
    used: str
    given_back: tuple[str, ...]


VERSIONS = (
    _Version(
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_active_file", "total_inactive_file"),
    ),
    _Version("memory.max", "memory.current", ("active_file", "inactive_file")),
)
MARGIN = 1.25  # the next mode may take so many times the memory of the largest one
RESERVE = 512 * 2**20  # bytes that stay free, of the machine and of a GPU


def available(gpu: str | None) -> list[int]:
    """Free bytes: of the machine, or of a control group if less; and of the GPU `gpu`."""
    of_gpu = Gpu(gpu).free_bytes()
    left = [_left(group, version) for group in groups("memory") for version in VERSIONS]
    limits = [one for one in left if one is not None]
    free = [min([psutil.virtual_memory().available, *limits])]
    return free if of_gpu is None else [*free, of_gpu]


class Room:
    """The memory left for modes that are loaded one after the other; `gpu` is of `gpu.uuid_of`."""

    def __init__(self, gpu: str | None) -> None:
        self._gpu = gpu
        self._largest = [0, 0]
        self._peak = 0
        self._before = available(self._gpu)

    def fits(self) -> bool:
        """Whether a mode `MARGIN` times as large as the largest so far fits.

        A mode takes more memory while it serves: the largest `peak` of `took` must fit too.
        """
        self._before = available(self._gpu)
        spare = [RESERVE + self._peak, RESERVE]
        return all(
            free > MARGIN * largest + kept
            for free, largest, kept in zip(self._before, self._largest, spare, strict=False)
        )

    def took(self, peak: int) -> None:
        """Notes that a mode was loaded after `fits`, whose requests take `peak` more bytes."""
        self._peak = max(self._peak, peak)
        after = available(self._gpu)
        self._largest = [
            max(largest, before - now)
            for largest, before, now in zip(self._largest, self._before, after, strict=False)
        ]


def _left(group: Path, version: _Version) -> int | None:
    """Bytes until the limit of `group`; `None` where it has none of this version."""
    with contextlib.suppress(OSError, ValueError):
        limit = int((group / version.limit).read_text())
        used = int((group / version.used).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # the kernel takes back pages of files before it kills a process
        return limit - used + sum(int(stat.get(key, 0)) for key in version.given_back)
    return None
