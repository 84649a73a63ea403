"""Processes that answer photos side by side, as fast as this machine can."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import psutil

from effdet_bench.accuracy.kept import KeptAnswers, Remaining, contents
from effdet_bench.errors import BenchError, Outcome, hung, outcome_of
from effdet_bench.load.service import HANGING, Process
from effdet_bench.records import Record
from effdet_bench.timing.memory import MARGIN, RESERVE, available

WEIGHED = 5  # seconds from one look at the processes' memory to the next


class Instances:
    """Loaded processes of `specs`: the first, and then as many others as fit into memory.

    The first process tells how much memory one takes. `module` is what they run, see
    `load.instance`. Every `WEIGHED` seconds the class adds up the memory of all processes, and
    `peak` is the largest sum in bytes. On Linux, memory that processes share counts once.

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
        self, photos: Iterator[tuple[str, bytes]], batch: int
    ) -> Iterator[tuple[str, bytes]]:
        """The name of each of `photos` (name, content), and its tables as `Served` has them.

        Photos are given to whichever process is idle, up to `batch` at a time, so answers come in
        another order.

        Raises:
            BenchError, UnavailableError: a process failed.
        """
        work: dict[Any, tuple[Process, list[str]]] = {}
        batches = _batches(photos, batch)
        for process in self._processes:
            work |= self._give(process, batches)
        due = 0.0
        while work:
            if time.monotonic() > due:
                self._weigh()
                due = time.monotonic() + WEIGHED
            if not (ready := wait(list(work), HANGING)):
                names = [name for _, names in work.values() for name in names]
                raise _at(names, hung(HANGING))
            for pipe in ready:
                process, names = work.pop(pipe)
                outcome, served = process.receive()
                if not outcome.completed:
                    raise _at(names, outcome)
                work |= self._give(process, batches)
                yield from zip(names, served.tables, strict=True)

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
        self, process: Process, batches: Iterator[list[tuple[str, bytes]]]
    ) -> dict[Any, tuple[Process, list[str]]]:
        """Sends the next of `batches` to `process`; returns what it works at, by its pipe."""
        given = next(batches, None)
        if given is None:
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


def _at(photos: list[str], outcome: Outcome) -> BenchError:
    """The error of a process that failed while it answered `photos`."""
    return outcome._replace(reason=f"{', '.join(photos)}: {outcome.reason}").error()


def _batches(photos: Iterator[tuple[str, bytes]], batch: int) -> Iterator[list[tuple[str, bytes]]]:
    """Splits `photos` into batches of `batch` photos, and the rest into smaller powers of two.

    Instances accept no other sizes.
    """
    while given := list(itertools.islice(photos, batch)):
        while given:
            count = 1 << (len(given).bit_length() - 1)
            yield given[:count]
            given = given[count:]


def answer_all(
    load: Callable[[], tuple[Instances, int]],
    photos: Sequence[Record],
    folder: Path,
    kept: KeptAnswers,
    label: str,
) -> Record:
    """Answers those of `photos` (file, sha256) in `folder` that `kept` lacks, and finishes `kept`.

    `load` returns the instances and the size of their batches.

    Returns:
        `outcome`, `reason`, `photos` (their number), `instances`, `batch`, `answered` (photos since
        the step last began, in `seconds`) and `peak_bytes` (memory of all instances together).
    """
    if kept.result:
        return kept.result
    first, begin = len(kept.answered), time.monotonic()
    waiting = [photo for photo in photos if photo["file"] not in kept.answered]
    result: Record = {"photos": len(photos), "instances": 0, "batch": 0, "peak_bytes": 0}
    outcome = Outcome("completed", None)
    try:
        if waiting:
            instances, batch = load()
            remaining, begin = Remaining(label, first, len(photos)), time.monotonic()
            try:
                for photo, tables in instances.answers(contents(waiting, folder), batch):
                    kept.add(photo, tables)
                    remaining.tell(len(kept.answered))
            finally:
                kept.save()
                instances.close()
            result |= {"instances": len(instances), "batch": batch, "peak_bytes": instances.peak}
    except BenchError as error:
        outcome = outcome_of(error)
    result |= {"answered": len(kept.answered) - first, "seconds": time.monotonic() - begin}
    result |= outcome._asdict()
    if outcome.completed:
        kept.finish(result)
    return result
