"""Energy that the machine itself counts: processors by Linux's powercap (RAPL), a GPU by NVML.

Without a counter there is no figure: nothing is estimated from the highest power of a processor.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from effdet_bench.errors import UnavailableError

POWERCAP = Path("/sys/class/powercap")


class Counter(NamedTuple):
    """Reads microjoules since some moment; the counter starts again at 0 after `highest`."""

    name: str
    read: Callable[[], int]
    highest: int | None = None

    def since(self, before: int) -> float:
        """Joules since the counter read `before`."""
        spent = self.read() - before
        if spent < 0 and self.highest is not None:
            spent += self.highest
        return spent / 1e6


class Meter:
    """All counters of this machine that count energy of `device`.

    Raises:
        UnavailableError: there is no such counter; the text says why.
    """

    def __init__(self, device: str) -> None:
        self._counters: list[Counter] = []
        missing = []
        for find in (_packages, _gpu) if device == "cuda" else (_packages,):
            try:
                self._counters += find()
            except UnavailableError as error:
                missing.append(str(error))
        if not self._counters:
            raise UnavailableError(" ".join(missing))
        self.begin()

    def begin(self) -> None:
        self._before = [counter.read() for counter in self._counters]

    def joules(self) -> dict[str, float]:
        """Joules by counter since `begin`."""
        pairs = zip(self._counters, self._before, strict=True)
        return {counter.name: counter.since(before) for counter, before in pairs}


def _packages() -> list[Counter]:
    """Counters of the processor's packages; those of cores and memory are parts of them."""
    counters = []
    for name in sorted(POWERCAP.glob("*/name")):
        kind = name.read_text().strip()
        if kind.startswith("package"):
            file, highest = name.parent / "energy_uj", name.parent / "max_energy_range_uj"
            try:
                _read(file)
            except PermissionError:
                raise UnavailableError(
                    f"{file} may only be read by root: `sudo chmod a+r {file}` until the next boot."
                ) from None
            counters.append(Counter(kind, partial(_read, file), _read(highest)))
    if not counters:
        raise UnavailableError(f"there is no counter of the processor's energy in {POWERCAP}.")
    return counters


def _read(file: Path) -> int:
    return int(file.read_text())


def _gpu() -> list[Counter]:
    from effdet_bench.detector.devices import open_device
    from effdet_bench.worker.gpu import Gpu, uuid_of

    gpu = Gpu(uuid_of(open_device("cuda")))
    if gpu.energy_mj() is None:
        raise UnavailableError("the driver tells no energy of this GPU.")
    return [Counter("gpu", lambda: 1000 * (gpu.energy_mj() or 0))]
