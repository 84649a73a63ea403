"""What this machine is, told without importing torch: read while Snakemake parses."""

import os
import platform
import re
import subprocess
from pathlib import Path

import psutil


def cpu_name() -> str:
    """The processor's marketing name, or its architecture where the system does not tell."""
    if platform.system() == "Linux":
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    elif platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


def gpu_names() -> list[str]:
    """Names of the NVIDIA GPUs that the driver shows, in its order; empty without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return [pynvml.nvmlDeviceGetName(handle) for handle in handles]
    finally:
        pynvml.nvmlShutdown()


def devices() -> list[str]:
    """Devices of this machine, `cpu` first; what torch makes of them is found by the timing job."""
    found = ["cpu"]
    if gpu_names():
        found.append("cuda")
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        found.append("mps")
    return found


def usable_cores() -> int:
    """Physical cores that this process may run on: what torch itself would use."""
    logical = os.process_cpu_count() if hasattr(os, "process_cpu_count") else None
    if logical is None:
        has_affinity = hasattr(os, "sched_getaffinity")
        logical = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return min(logical, psutil.cpu_count(logical=False) or logical)


def default_name() -> str:
    """A name for `results/<machine>/`, such as `amd-epyc-9654-96-core` or `…-nvidia-h200`."""
    words = [cpu_name(), f"{usable_cores()}-core", *dict.fromkeys(gpu_names())]
    text = re.sub(r"\((r|tm)\)", "", " ".join(words).lower())
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")
