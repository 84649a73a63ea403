"""How many cores this process may use: limited by the machine, affinity and container quota."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

OWN_GROUPS = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Number of physical cores that this process may run on, at most the CPUs of its quota.

    With more threads than the quota, the kernel would stop all threads in the middle of a request.
    """
    logical = os.process_cpu_count() if hasattr(os, "process_cpu_count") else None
    if logical is None:
        has_affinity = hasattr(os, "sched_getaffinity")
        logical = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    cores = min(logical, psutil.cpu_count(logical=False) or logical)
    return max(1, math.floor(min([cores, *_quotas()])))


def _quotas() -> Iterator[float]:
    """The most CPUs that each control group (version 1 or 2) of the process allows it."""
    if not OWN_GROUPS.exists():
        return
    for line in OWN_GROUPS.read_text().splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = GROUPS / "cpu" if controllers else GROUPS
        # a container may see the host's name, which does not exist here: its quota is at the top
        group = top / name.lstrip("/")
        for folder in (group, *group.parents):
            yield _quota(folder)
            if folder == top:
                break


def _quota(group: Path) -> float:
    try:
        if (group / "cpu.max").exists():  # version 2
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = (
                (group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period")
            )
        return math.inf if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError):
        return math.inf
