"""What NVML tells, by a stand-in: names, masks and numbers of fields are the real ones."""

import os
import sys
import types

import pytest
import torch

from effdet_bench.worker.gpu import Gpu, uuid_of

UUID = "45ba4d09"
FIELD = "NVML_FI_DEV_CLOCKS_EVENT_REASON_"


@pytest.fixture
def nvml(monkeypatch) -> types.SimpleNamespace:
    """A driver of two GPUs, of which the second is the one that torch computes on."""
    import pynvml

    stand_in = types.SimpleNamespace(**vars(pynvml), counters={}, reasons=0, own=123)
    known = {"GPU-other": 0, f"GPU-{UUID}": 1}

    def by_uuid(uuid: str) -> int:
        if uuid not in known:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return known[uuid]

    def fields(handle: int, ids: list[int]) -> list[types.SimpleNamespace]:
        values = [stand_in.counters.get(number, 0) for number in ids]
        return [
            types.SimpleNamespace(nvmlReturn=0, value=types.SimpleNamespace(ullVal=value))
            for value in values
        ]

    def no_temperature(handle: int, sensor: int) -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    process = types.SimpleNamespace(pid=os.getpid(), usedGpuMemory=123)
    stand_in.nvmlInit = lambda: None
    stand_in.nvmlDeviceGetHandleByUUID = by_uuid
    stand_in.nvmlDeviceGetCurrentClocksEventReasons = lambda handle: stand_in.reasons
    stand_in.nvmlDeviceGetClockInfo = lambda handle, kind: [0, 1700][handle]
    stand_in.nvmlDeviceGetMaxClockInfo = lambda handle, kind: 1980
    stand_in.nvmlDeviceGetTemperature = no_temperature
    stand_in.nvmlDeviceGetFieldValues = fields
    stand_in.nvmlDeviceGetMemoryInfo = lambda handle: types.SimpleNamespace(
        free=[1, 7][handle], used=[2, 9][handle]
    )
    stand_in.nvmlDeviceGetComputeRunningProcesses = lambda handle: [process]
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)
    return stand_in


@pytest.mark.parametrize(("reasons", "throttled"), [(0, []), (0x20, ["thermal"]), (0x4, ["power"])])
def test_the_state_is_of_the_gpu_that_torch_computes_on(nvml, reasons, throttled):
    """And a value that the driver does not tell costs none of the others."""
    nvml.reasons = reasons
    assert Gpu(UUID).state() == {
        "sm_clock_mhz": 1700,
        "sm_clock_max_mhz": 1980,
        "temperature_c": None,
        "throttled": throttled,
        "held_bytes": 9,
    }
    assert Gpu(UUID).free_bytes() == 7
    assert Gpu(UUID).own_bytes() == 123


def test_counters_of_one_reason_are_added_up(nvml):
    nvml.counters = {
        getattr(nvml, f"{FIELD}SW_POWER_CAP"): 5,
        getattr(nvml, f"{FIELD}HW_POWER_BRAKE_SLOWDOWN"): 2,
        getattr(nvml, f"{FIELD}SW_THERM_SLOWDOWN"): 11,
    }
    assert Gpu(UUID).slowed_ns() == {"thermal": 11, "power": 7}


@pytest.mark.parametrize("uuid", [None, "unknown"])
def test_nothing_is_told_of_another_device(nvml, uuid):
    gpu = Gpu(uuid)
    assert [gpu.state(), gpu.slowed_ns(), gpu.free_bytes(), gpu.own_bytes()] == [None] * 4


def test_a_machine_without_a_driver_tells_nothing(monkeypatch):
    import pynvml

    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert Gpu(UUID).state() is None
    assert uuid_of(torch.device("cpu")) is None
