"""Whether one more mode fits into memory, by what those before it took."""

import contextlib
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
MARGIN = 1.25  # the next mode may take so many times what the largest one took
RESERVE = 512 * 2**20  # bytes that stay free, of the machine and of a GPU


def available(device: str) -> list[int]:
    """Bytes that are free: of the machine or of this process's group, and of the first GPU."""
    free = [min([psutil.virtual_memory().available, *_of_cgroups()])]
    if device == "cuda":
        free += _of_gpu()
    return free


class Room:
    """What is left on `device` for modes that are loaded one after the other."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._largest = [0, 0]
        self._peak = 0
        self._before = available(device)

    def fits(self) -> bool:
        """Whether a mode as large as the largest so far may be loaded, with a margin.

        Beside what modes keep, the one that serves takes more for the moment: `took` is told of it.
        """
        self._before = available(self._device)
        spare = [RESERVE + self._peak, RESERVE]
        return all(
            free > MARGIN * largest + kept
            for free, largest, kept in zip(self._before, self._largest, spare, strict=False)
        )

    def took(self, peak: int) -> None:
        """Has a mode been loaded since `fits`, whose requests take `peak` more bytes at times."""
        self._peak = max(self._peak, peak)
        after = available(self._device)
        self._largest = [
            max(largest, before - now)
            for largest, before, now in zip(self._largest, self._before, after, strict=False)
        ]


def _of_cgroups() -> list[int]:
    """What is left of the limits of the groups that this process is in (Linux, version 2)."""
    left = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        own = OWN_CGROUP.read_text().strip().splitlines()[-1].split("::", 1)[1].lstrip("/")
        for folder in [CGROUPS / own, *(CGROUPS / own).parents]:
            limit = folder / "memory.max"
            if CGROUPS in [folder, *folder.parents] and limit.exists():
                left += _left(folder, limit.read_text().strip())
    return left


def _left(folder: Path, limit: str) -> list[int]:
    if limit == "max":
        return []
    used = int((folder / "memory.current").read_text())
    stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    # pages of files are given back before anything is killed
    return [int(limit) - used + int(stat.get("inactive_file", 0)) + int(stat.get("active_file", 0))]


def _of_gpu() -> list[int]:
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        return [int(pynvml.nvmlDeviceGetMemoryInfo(handle).free)]
    except pynvml.NVMLError:
        return []
