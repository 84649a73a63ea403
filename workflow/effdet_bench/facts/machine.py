"""Facts of this machine, found without torch, because Snakemake reads them while it parses."""

import functools
import json
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import psutil

from effdet_bench.errors import BenchError
from effdet_bench.facts.cores import usable_cores
from effdet_bench.layout import Archive

CPUINFO = Path("/proc/cpuinfo")
# key of each fact in /proc/cpuinfo: on x86, and on Arm
CPUINFO_KEYS = {
    "vendor": ("vendor_id", "CPU implementer"),
    "family": ("cpu family", "CPU architecture"),
    "model": ("model", "CPU part"),
    "stepping": ("stepping", "CPU revision"),
    "instruction_sets": ("flags", "Features"),
}
# how names of those instruction sets begin that kernels of networks use
VECTOR_SETS = re.compile(r"(sse|avx|amx|fma|f16c|asimd|sve|sme\d?$|i8mm|bf16|FEAT_)")
# AMD's families and models, as the Linux kernel distinguishes them (arch/x86/kernel/cpu/amd.c)
ZEN = {
    23: (("zen", (range(0x00, 0x30), range(0x50, 0x60))), ("zen2", (range(0x30, 0x100),))),
    25: (
        ("zen3", (range(0x00, 0x10), range(0x20, 0x60))),
        ("zen4", (range(0x10, 0x20), range(0x60, 0xB0))),
    ),
    26: (("zen5", (range(0x00, 0x30), range(0x40, 0x50), range(0x60, 0x80))),),
}
# microarchitectures with AVX-512, which a virtual machine may hide: AMD's, and Intel's for servers
WITH_AVX512 = {
    "zen4",
    "zen5",
    *(f"family6-model{number}" for number in (85, 106, 108, 143, 173, 174, 207)),
}
MEMORY_SLACK_GIB = 1  # because each kernel version reserves another amount for itself


class Fingerprint(TypedDict):
    """Facts that distinguish machines, without serial numbers; `None` if the system hides one."""

    vendor: str | None
    family: str | None
    model: str | None
    stepping: str | None
    instruction_sets: list[str]
    cores: int
    memory_gib: int
    gpus: list[str]


def cpu_name() -> str:
    """The processor's marketing name; its architecture if the system does not give that name."""
    if platform.system() == "Linux":
        match = re.search(r"^model name\s*: (.+)$", CPUINFO.read_text(), re.MULTILINE)
        if match:
            return match[1].strip()
    elif platform.system() == "Darwin":
        return _sysctl("machdep.cpu.brand_string")
    return platform.processor() or platform.machine()


@functools.cache
def _gpu_names() -> tuple[str, ...]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return tuple(pynvml.nvmlDeviceGetName(handle) for handle in handles)
    finally:
        pynvml.nvmlShutdown()


def gpu_names() -> list[str]:
    """Names of the NVIDIA GPUs that the driver shows, in its order; empty without a driver."""
    return list(_gpu_names())


def gpu_driver() -> str | None:
    """The version of NVIDIA's driver; `None` without one."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None


def devices() -> list[str]:
    """Devices of this machine, `cpu` first; the timing job finds out whether torch can use them."""
    names = ["cpu"]
    if gpu_names():
        names.append("cuda")
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        names.append("mps")
    return names


def adds_bytes_exactly() -> bool:
    """Whether this processor adds up products of bytes in 32 bits; on x86 only VNNI does.

    Without VNNI, kernels add pairs of products in 16 bits, which saturates if weights use 8 bits.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    return bool({"avx512_vnni", "avx_vnni"} & {*fingerprint()["instruction_sets"]})


def computes_bf16() -> bool:
    """Whether oneDNN has kernels of bfloat16 for this processor: on x86 it needs AVX-512.

    Otherwise PyTorch rounds element by element, which takes ten times as long as fp32.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    sets = fingerprint()["instruction_sets"]
    return not sets or "avx512bw" in sets


def fingerprint() -> Fingerprint:
    """The fingerprint of this machine."""
    facts = _of_linux() if platform.system() == "Linux" else _of_others()
    sets = {name for name in facts.pop("instruction_sets", "").split() if VECTOR_SETS.match(name)}
    return {
        "vendor": facts.get("vendor"),
        "family": facts.get("family"),
        "model": facts.get("model"),
        "stepping": facts.get("stepping"),
        "instruction_sets": sorted(sets),
        "cores": usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "gpus": gpu_names(),
    }


def default_name() -> str:
    """A name for `results/<machine>/`, such as `amd-epyc-zen5-2-core` or `…-nvidia-h200`.

    A machine without AVX-512 on a processor that has it is another machine, so the name says so.
    """
    noise = r"\((r|tm)\)|\bprocessor\b|\bcpu\b|@.*|\d+-core"
    name, facts = re.sub(noise, " ", cpu_name().lower()), fingerprint()
    kind = _microarchitecture(facts)
    hidden = kind in WITH_AVX512 and "avx512bw" not in facts["instruction_sets"]
    words = [name, kind, "without-avx512" if hidden else "", f"{facts['cores']}-core"]
    words += dict.fromkeys(gpu_names())
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")


def archive_name(setting: str, results: Path) -> str:
    """The name of the folder below `results` in which a run of this machine writes.

    For `auto` it is `default_name`, with a number if an archive of another machine has that name.

    Raises:
        BenchError: `setting` names the archive of another machine.
    """
    if setting != "auto":
        if not is_of_this_machine(Archive(results / setting)):
            raise BenchError(
                f"config: machine is {setting!r}, but {results / setting} holds the results of "
                "another machine: choose another name, or set machine: auto, to keep those results."
            )
        return setting
    name, number = default_name(), 1
    while not is_of_this_machine(Archive(results / _numbered(name, number))):
        number += 1
    return _numbered(name, number)


def is_of_this_machine(archive: Archive) -> bool:
    """Whether a run may write to `archive`: it does not exist, or it is of this machine."""
    try:
        record = json.loads(archive.environment.read_text())
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    theirs = record.get("fingerprint")
    return theirs is not None and is_same(theirs, fingerprint())


def is_same(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Whether two results of `fingerprint` are of one machine; `ours` may know more facts."""
    apart = abs(theirs.get("memory_gib", 0) - ours["memory_gib"])
    facts = theirs.keys() - {"memory_gib"}
    return apart <= MEMORY_SLACK_GIB and all(ours.get(key) == theirs[key] for key in facts)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _of_linux() -> dict[str, str]:
    text = CPUINFO.read_text()
    facts = {}
    for fact, keys in CPUINFO_KEYS.items():
        for key in keys:
            if match := re.search(rf"^{key}\s*: (.+)$", text, re.MULTILINE):
                facts[fact] = match[1].strip()
                break
    return facts


def _of_others() -> dict[str, str]:
    if platform.system() != "Darwin":
        return {"model": platform.processor()}
    able = subprocess.run(["sysctl", "hw.optional"], capture_output=True, text=True).stdout
    return {
        "vendor": "Apple",
        "family": _sysctl("hw.cpufamily"),
        "model": _sysctl("machdep.cpu.brand_string"),
        "instruction_sets": " ".join(re.findall(r"\.(\w+): 1$", able, re.MULTILINE)),
    }


def _sysctl(name: str) -> str:
    done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _microarchitecture(machine: Fingerprint) -> str:
    """A name such as `zen4`, or family and model; one marketing name covers many processors."""
    family, model = machine["family"] or "", machine["model"] or ""
    if not (family.isdigit() and model.isdigit()):
        return ""
    for name, models in ZEN.get(int(family), ()) if machine["vendor"] == "AuthenticAMD" else ():
        if any(int(model) in some for some in models):
            return name
    return f"family{family}-model{model}"
