"""The machine around timed requests: speed of a fixed workload, other processes, power and clocks.

Everything here is read before or after the timed requests, never between them, because polling
during a timing causes the spikes that it looks for.
"""

import contextlib
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from effdet_bench.detector.devices import open_device, synchronize
from effdet_bench.processes import Worker, process_context
from effdet_bench.records import Record
from effdet_bench.timing.counters import busy_and_steal
from effdet_bench.worker.gpu import Gpu, uuid_of

PROBE_SIDE, PROBE_COPY = 512, 8 * 2**20  # side of the matrices; float32 values that are copied
PROBE_RUNS, PROBE_WARMUP = 50, 40
PROBE_WARMUP_SECONDS = 0.5  # on a GPU at least; an idle GPU needs less to raise its clocks
LOAD_SECONDS = 1.0  # for shorter times, the system's counters are too coarse
UNKNOWN = {"probe_ms": None, "gpu": None}
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def drift_probe(device: torch.device) -> float:
    """Median milliseconds of a fixed small workload on `device`: a matrix product and a copy."""
    matrix = torch.ones(PROBE_SIDE, PROBE_SIDE, device=device)
    source = torch.ones(PROBE_COPY, device=device)
    target = torch.empty_like(source)
    spans: list[int] = []
    warm = time.perf_counter_ns() + (PROBE_WARMUP_SECONDS * 1e9 if device.type != "cpu" else 0)
    while len(spans) < PROBE_WARMUP + PROBE_RUNS or time.perf_counter_ns() < warm:
        synchronize(device)
        begin = time.perf_counter_ns()
        torch.mm(matrix, matrix)
        target.copy_(source)
        synchronize(device)
        spans.append(time.perf_counter_ns() - begin)
    return statistics.median(spans[-PROBE_RUNS:]) / 1e6


class Surroundings:
    """The speed of `device` and the state of the GPU around timed requests.

    Raises:
        UnavailableError: torch cannot use the device.
    """

    def __init__(self, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._device = open_device(device)
        self._gpu = Gpu(self.uuid())

    def uuid(self) -> str | None:
        """See `gpu.uuid_of`; called here, because processes that fork must not use CUDA."""
        return uuid_of(self._device)

    def now(self) -> Record:
        """`probe_ms` of `drift_probe`, then at once `gpu` of `Gpu.state`: idle clocks are lower."""
        return {"probe_ms": drift_probe(self._device), "gpu": self._gpu.state()}


class Taken(NamedTuple):
    """Seconds of `wall` time; on all cores, those of `other` processes, and `steal` by the host."""

    wall: float
    other: float
    steal: float | None


class Load:
    """Processor time that other processes take, counted from when this object is made.

    Other processes are all but this process and its children; `pids` are the running children.
    """

    def __init__(self, pids: Iterable[int] = ()) -> None:
        self._pids = list(pids)
        self._wall = time.monotonic()
        self._own = self._own_seconds()
        self._busy, self._steal = busy_and_steal()

    def taken(self) -> Taken:
        """The time taken until now."""
        busy, steal = busy_and_steal()
        own = self._own_seconds() - self._own
        return Taken(
            time.monotonic() - self._wall,
            max(0.0, busy - self._busy - own),
            None if steal is None or self._steal is None else steal - self._steal,
        )

    def _own_seconds(self) -> float:
        seconds = sum(os.times()[:4])  # includes children that have ended
        for pid in self._pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = psutil.Process(pid).cpu_times()
                seconds += times.user + times.system
        return seconds


class Watch:
    """The machine around the turns of a round, from when this object is made to `end`.

    `gpu` is what `gpu.uuid_of` says of `device`.
    """

    def __init__(self, device: str, threads: int) -> None:
        self._surroundings = Worker(process_context(), Surroundings, device, threads)
        self._before = self._surroundings.call("now") or UNKNOWN
        self.gpu: str | None = self._surroundings.call("uuid")
        self._asleep = slept()
        self._spans: list[Taken] = []

    @contextlib.contextmanager
    def turns(self, pids: Iterable[int]) -> Iterator[None]:
        """Counts what others take while the processes `pids` have their turns."""
        load = Load(pids)
        yield
        self._spans.append(load.taken())

    def end(self) -> Record:
        """The conditions of the round, as in the schema of a job."""
        conditions: Record = {"before": self._before, "power": power()}
        conditions["load"] = shares(self._spans)
        if self._asleep is not None and (now := slept()) is not None:
            conditions["slept_seconds"] = max(0.0, round(now - self._asleep, 1))
        conditions["after"] = self._surroundings.call("now") or UNKNOWN
        self._surroundings.end()
        return conditions


def shares(spans: Sequence[Taken]) -> dict[str, float | None]:
    """Shares of all logical cores that other processes and the host took in all `spans` together.

    `None` where the spans were too short or the system does not tell.
    """
    wall = sum(span.wall for span in spans)
    if wall < LOAD_SECONDS:
        return {"other": None, "steal": None}
    capacity = wall * (psutil.cpu_count() or 1)
    stolen = [span.steal for span in spans if span.steal is not None]
    return {
        "other": round(sum(span.other for span in spans) / capacity, 4),
        "steal": round(sum(stolen) / capacity, 4) if len(stolen) == len(spans) else None,
    }


def slept() -> float | None:
    """Seconds that this machine has slept since it started; `None` where the system does not tell.

    Latencies do not show it, because their clock stands still while the machine sleeps.
    """
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


def power() -> dict[str, str | bool | None]:
    """The processor's `governor`, if `on_battery`, and if in `low_power` mode; `None`: unknown."""
    governor = battery = None
    with contextlib.suppress(OSError):
        governor = GOVERNOR.read_text().strip()
    with contextlib.suppress(OSError, AttributeError, NotImplementedError):
        battery = psutil.sensors_battery()
    return {
        "governor": governor,
        "on_battery": None if battery is None else not battery.power_plugged,
        "low_power": _low_power(),
    }


def _low_power() -> bool | None:
    """macOS's low-power mode; `None` elsewhere."""
    if platform.system() != "Darwin":
        return None
    done = subprocess.run(["pmset", "-g"], capture_output=True, text=True)
    words = [line.split() for line in done.stdout.splitlines()]
    return next((line[1] == "1" for line in words if line[:1] == ["lowpowermode"]), None)
