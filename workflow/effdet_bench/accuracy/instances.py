"""Processes that answer photos side by side, as fast as this machine can."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any

import numpy as np
import psutil

from effdet_bench.load.messages import Served
from effdet_bench.load.service import Process
from effdet_bench.records import DETECTION
from effdet_bench.timing.memory import MARGIN, RESERVE, available

WEIGHED = 5  # seconds from one look at the processes' memory to the next


class Instances:
    """Loaded processes of `specs`: the first, and then as many others as fit into memory.

    The first process tells how much memory one takes. `module` is what they run, see
    `load.instance`. `peak` is the most bytes that all of them held at a time. Memory that they
    share counts once.

    Raises:
        BenchError, UnavailableError: a process could not be loaded.
    """

    def __init__(self, module: str, specs: Sequence[Any]) -> None:
        self.peak = 0
        self._processes: list[Process] = []
        try:
            (before,) = available(None)
            self._load(module, specs[:1])
            (left,) = available(None)
            fitting = (left - RESERVE) // max(int(MARGIN * (before - left)), 1)
            self._load(module, specs[1 : 1 + max(0, fitting)])
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._processes)

    def answers(
        self, photos: Iterator[tuple[str, bytes]], batch: int, models: int
    ) -> Iterator[tuple[str, list[np.ndarray]]]:
        """The name of each of `photos` (name, content) and its tables, one for each of `models`.

        Photos are given to whichever process is idle, up to `batch` at a time, so answers come in
        another order. Tables are float32 [n, 6].

        Raises:
            BenchError, UnavailableError: a process failed.
        """
        work: dict[Any, tuple[Process, list[str]]] = {}
        for process in self._processes:
            work |= self._give(process, photos, batch)
        due = 0.0
        while work:
            if time.monotonic() > due:
                self._weigh()
                due = time.monotonic() + WEIGHED
            for pipe in wait(list(work)):
                process, names = work.pop(pipe)
                outcome, served = process.receive()
                if not outcome.completed:
                    raise outcome.error()
                work |= self._give(process, photos, batch)
                yield from zip(names, _tables(served, models), strict=True)

    def close(self) -> None:
        """Ends all processes, and waits until they have."""
        for process in self._processes:
            process.tell_to_end()
        for process in self._processes:
            process.end()
            process.pipe.close()

    def _load(self, module: str, specs: Sequence[Any]) -> None:
        new = [Process(spec, module) for spec in specs]
        self._processes += new
        outcomes = [process.receive()[0] for process in new]
        for outcome in outcomes:
            if not outcome.completed:
                raise outcome.error()

    def _give(
        self, process: Process, photos: Iterator[tuple[str, bytes]], batch: int
    ) -> dict[Any, tuple[Process, list[str]]]:
        """Sends the next photos to `process`; returns what it works at, by its pipe."""
        given = [one for _, one in zip(range(batch), photos, strict=False)]
        if not given:
            return {}
        names, encoded = (list(part) for part in zip(*given, strict=True))
        with contextlib.suppress(ConnectionError):  # `receive` says what became of it
            process.pipe.send((encoded, False))
        return {process.pipe: (process, names)}

    def _weigh(self) -> None:
        """Notes the memory of all processes, by their proportional shares where Linux counts."""
        used = 0
        for process in self._processes:
            with contextlib.suppress(psutil.Error):
                memory = psutil.Process(process.process.pid).memory_full_info()
                used += getattr(memory, "pss", memory.rss)
        self.peak = max(self.peak, used)


def _tables(served: Served, models: int) -> Iterator[list[np.ndarray]]:
    for content in served.tables:
        table = np.frombuffer(content, np.float32).reshape(models, -1, len(DETECTION))
        yield list(table)
