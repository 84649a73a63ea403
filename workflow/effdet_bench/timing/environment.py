"""Records what a result depends on besides the code: the machine, and versions that matter."""

import argparse
import platform
from pathlib import Path

import psutil

from effdet_bench import records
from effdet_bench.facts import machine
from effdet_bench.facts.cores import usable_cores
from effdet_bench.facts.versions import versions
from effdet_bench.imports import importing
from effdet_bench.records import Record


def describe(name: str) -> Record:
    """The record of this machine under the name `name`: processor, memory in bytes, system."""
    with importing():
        import torch

    accelerators, cudnn = machine.gpu_names(), None
    if torch.cuda.is_available():
        # first torch's name, which tells a slice of a GPU from a whole one; then all others
        accelerators = list(dict.fromkeys([torch.cuda.get_device_name(), *accelerators]))
        cudnn = str(torch.backends.cudnn.version())
    if torch.backends.mps.is_available():
        accelerators.append(f"{machine.cpu_name()} GPU")
    return {
        "machine": name,
        "fingerprint": machine.fingerprint(),
        "cpu": machine.cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": usable_cores(),
        "logical_cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "accelerators": accelerators,
        "cuda": torch.version.cuda,
        "cudnn": cudnn,
        "driver": machine.gpu_driver(),
        "system": platform.system(),
        "platform": f"{_system_name()} ({platform.machine()})",
        "kernel": platform.release(),
        "versions": versions(),
    }


def _system_name() -> str:
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    if platform.system() == "Linux" and Path("/etc/os-release").exists():
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return f"{platform.system()} {platform.release()}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--machine", required=True, help="the machine's name")
    parser.add_argument("--output", required=True, help="the record to write")


def run(args: argparse.Namespace) -> None:
    records.write_json(args.output, describe(args.machine), "environment")
