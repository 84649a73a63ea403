"""State of the GPU that torch computes on, from NVIDIA's management library (NVML)."""

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from effdet_bench.records import Record

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
# NVML's reasons for lower clocks that no program asked for
REASONS = {
    "thermal": ("SwThermalSlowdown", "HwThermalSlowdown"),
    "power": ("SwPowerCap", "HwPowerBrakeSlowdown"),
}
# NVML's counters of nanoseconds in which clocks were lowered, for the same reasons
COUNTERS = {
    "thermal": ("SW_THERM_SLOWDOWN", "HW_THERM_SLOWDOWN"),
    "power": ("SW_POWER_CAP", "HW_POWER_BRAKE_SLOWDOWN"),
}


def uuid_of(device: "torch.device") -> str | None:
    """The UUID of the GPU `device`, which is the same whichever GPUs this process sees.

    `None` for other devices. Initialises CUDA, after which a process must not be forked.
    """
    if device.type != "cuda":
        return None
    import torch  # here, because a process that only serves others need not import it

    return str(torch.cuda.get_device_properties(device).uuid)


class Gpu:
    """The GPU, or the slice of a GPU, that `uuid_of` names; what NVML does not tell is `None`."""

    def __init__(self, uuid: str | None) -> None:
        self._handle: Any = None
        if uuid is None:
            return
        import pynvml

        self._nvml: Any = pynvml
        for kind in ("GPU", "MIG"):
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlInit()
                self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"{kind}-{uuid}")
                break

    def _told(self, ask: Callable[[], T]) -> T | None:
        if self._handle is None:
            return None
        try:
            return ask()
        except self._nvml.NVMLError:
            return None

    def state(self) -> Record | None:
        """Clocks in MHz, temperature in °C, reasons for lower clocks, bytes of all processes."""
        if self._handle is None:
            return None
        nvml, handle = self._nvml, self._handle
        now = self._told(lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)) or 0
        slowed = [
            reason
            for reason, names in REASONS.items()
            if any(now & getattr(nvml, f"nvmlClocksEventReason{name}") for name in names)
        ]
        clock = nvml.NVML_CLOCK_SM
        heat = nvml.NVML_TEMPERATURE_GPU
        return {
            "sm_clock_mhz": self._told(lambda: nvml.nvmlDeviceGetClockInfo(handle, clock)),
            "sm_clock_max_mhz": self._told(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, clock)),
            "temperature_c": self._told(lambda: nvml.nvmlDeviceGetTemperature(handle, heat)),
            "throttled": slowed,
            "held_bytes": self._told(lambda: int(nvml.nvmlDeviceGetMemoryInfo(handle).used)),
        }

    def slowed_ns(self) -> dict[str, int] | None:
        """Nanoseconds, since the driver started, in which heat and power lowered the clocks."""
        return self._told(lambda: {reason: self._counted(reason) for reason in COUNTERS})

    def _counted(self, reason: str) -> int:
        names = [f"NVML_FI_DEV_CLOCKS_EVENT_REASON_{name}" for name in COUNTERS[reason]]
        fields = [getattr(self._nvml, name) for name in names]
        values = self._nvml.nvmlDeviceGetFieldValues(self._handle, fields)
        for value in values:
            if value.nvmlReturn != self._nvml.NVML_SUCCESS:
                raise self._nvml.NVMLError(value.nvmlReturn)
        return sum(int(value.value.ullVal) for value in values)

    def free_bytes(self) -> int | None:
        """Memory that no process has taken."""
        return self._told(lambda: int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).free))

    def energy_mj(self) -> int | None:
        """Millijoules since the driver was loaded."""
        return self._told(lambda: int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)))

    def own_bytes(self) -> int | None:
        """Memory that this process has taken: contexts, libraries and all allocators."""
        found = self._told(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle))
        for process in found or []:
            if process.pid == os.getpid() and process.usedGpuMemory:
                return int(process.usedGpuMemory)
        return None
