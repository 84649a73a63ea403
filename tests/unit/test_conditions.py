"""What is told of the machine around timed requests."""

import subprocess
import sys
import time
import types

import pytest
import torch

from effdet_bench.timing import conditions

CPU = torch.device("cpu")


def test_the_probe_takes_longer_when_it_does_more(monkeypatch):
    monkeypatch.setattr(conditions, "PROBE_RUNS", 10)
    once = conditions.drift_probe(CPU)
    monkeypatch.setattr(conditions, "PROBE_COPY", 8 * conditions.PROBE_COPY)
    assert conditions.drift_probe(CPU) > 1.5 * once > 0


def busy(seconds: float) -> str:
    return f"import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"


def test_another_process_is_seen_and_our_own_work_is_not():
    load = conditions.Load()
    exec(busy(1.2))
    own = conditions.shares([load.taken()])
    load = conditions.Load()
    other = subprocess.Popen([sys.executable, "-c", busy(3)])
    time.sleep(1.2)
    both = conditions.shares([load.taken()])
    other.kill()
    assert both["other"] > own["other"] + 0.5 / conditions.psutil.cpu_count()


def test_work_of_our_children_is_ours():
    child = subprocess.Popen([sys.executable, "-c", busy(3)])
    seen, ours = conditions.Load(), conditions.Load([child.pid])
    time.sleep(1.2)
    assert (
        conditions.shares([seen.taken()])["other"]
        > conditions.shares([ours.taken()])["other"] + 0.5 / conditions.psutil.cpu_count()
    )
    child.kill()


def test_a_short_span_tells_nothing():
    assert conditions.shares([conditions.Load().taken()]) == {"other": None, "steal": None}


def test_power_is_what_the_system_tells(tmp_path, monkeypatch):
    monkeypatch.setattr(conditions, "GOVERNOR", tmp_path / "governor")
    assert conditions.power()["governor"] is None
    (tmp_path / "governor").write_text("powersave\n")
    assert conditions.power()["governor"] == "powersave"


def test_gpu_state_is_of_nvidia_alone():
    assert conditions.gpu_state(CPU) is None


@pytest.mark.parametrize(("reasons", "throttled"), [(0, []), (0x20, ["thermal"]), (0x4, ["power"])])
def test_gpu_state_reads_nvml(monkeypatch, reasons, throttled):
    """A stand-in for NVML, which no machine of the tests has: names and masks are the real ones."""
    import pynvml

    stand_in = types.SimpleNamespace(**vars(pynvml))
    stand_in.nvmlInit = lambda: None
    stand_in.nvmlDeviceGetHandleByIndex = lambda index: index
    stand_in.nvmlDeviceGetCurrentClocksEventReasons = lambda handle: reasons
    stand_in.nvmlDeviceGetClockInfo = lambda handle, kind: 1700
    stand_in.nvmlDeviceGetMaxClockInfo = lambda handle, kind: 1980
    stand_in.nvmlDeviceGetTemperature = lambda handle, kind: 61
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)
    assert conditions.gpu_state(torch.device("cuda")) == {
        "sm_clock_mhz": 1700,
        "sm_clock_max_mhz": 1980,
        "temperature_c": 61,
        "throttled": throttled,
    }


def test_gpu_state_without_a_driver_is_unknown(monkeypatch):
    import pynvml

    def fail():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert conditions.gpu_state(torch.device("cuda")) is None
