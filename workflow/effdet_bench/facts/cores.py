"""How many cores this process may use: limited by the machine, affinity and container quota."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

OWN_GROUPS = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")
TOPOLOGY = Path("/sys/devices/system/cpu")


def physical_cores() -> list[tuple[int, ...]]:
    """Logical CPUs of each physical core that this process may run on, in ascending order.

    Where a process cannot choose CPUs, as on macOS, every core is an empty tuple.
    """
    if not hasattr(os, "sched_getaffinity"):
        return [()] * (psutil.cpu_count(logical=False) or os.cpu_count() or 1)
    allowed = os.sched_getaffinity(0)
    cores: dict[str, list[int]] = {}
    for cpu in sorted(allowed):
        siblings = TOPOLOGY / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        key = siblings.read_text() if siblings.exists() else str(cpu)
        cores.setdefault(key, []).append(cpu)
    return [tuple(core) for core in cores.values()]


def usable_cores() -> int:
    """Number of physical cores that this process may run on, at most the CPUs of its quota.

    With more threads than the quota, the kernel would stop all threads in the middle of a request.
    """
    cores = len(physical_cores())
    quotas = map(_quota, groups("cpu"))
    return max(1, math.floor(min([cores, psutil.cpu_count(logical=False) or cores, *quotas])))


def groups(controller: str) -> Iterator[Path]:
    """Folders of the control groups that limit the process by `controller`, such as `cpu` (Linux).

    They are of version 1 or 2, each before the group that contains it.
    """
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = GROUPS / controller if controllers else GROUPS
        # a container may see the host's name, which does not exist here: its limit is at the top
        group = top / name.lstrip("/")
        for folder in (group, *group.parents):
            yield folder
            if folder == top:
                break


def _quota(group: Path) -> float:
    """The most CPUs that `group` allows."""
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
