"""A mode as a service on this machine: instances of it, and one queue in front of them."""

import collections
import contextlib
import hashlib
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from typing import NamedTuple, Protocol

import psutil

from effdet_bench.errors import Outcome
from effdet_bench.load.messages import InstanceSpec
from effdet_bench.processes import ENDING
from effdet_bench.worker.interpreter import Interpreter, code_digest
from effdet_bench.worker.spec import Environment

HANGING = 300  # seconds that a batch may take
LIMIT = 100_000  # requests in the queue; more show a fault of the generator


class Request(NamedTuple):
    """A request of a generator: `key` is the generator's own, `photo` the index of a photo."""

    key: int
    photo: int
    arrived_ns: int


class Done(NamedTuple):
    """What became of a request, in nanoseconds of the monotonic clock.

    The request `arrived` in the queue. The service took it off the queue (`taken`) and sent it to
    an `instance`, which `began` and `ended` it in a batch of `batch`. Its answer was back at
    `answered`. `answer` is a digest of the detections, empty if the instance died.
    """

    request: Request
    instance: int
    batch: int
    taken_ns: int
    began_ns: int
    ended_ns: int
    answered_ns: int
    answer: str


class InEnvironment(Protocol):
    """What a process loads: the environment of the process, and the engines that it runs."""

    @property
    def environment(self) -> Environment: ...

    @property
    def engines(self) -> tuple[str, ...]: ...


class Process(Interpreter):
    """A process that loads what `spec` says by `module`, and then serves: see `load.instance`."""

    def __init__(self, spec: InEnvironment, module: str = "load.instance") -> None:
        super().__init__(module, spec.environment)
        with contextlib.suppress(ConnectionError):  # `receive` says what became of it
            self.pipe.send((spec, code_digest(spec.engines)))

    def memory(self) -> int:
        """Bytes of resident memory; 0 once it has died."""
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self.process.pid).memory_info().rss)
        return 0

    def end(self) -> None:
        """Waits until the process has ended; kills it after `ENDING` seconds."""
        try:
            self.process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Service:
    """Instances of `specs`, loaded side by side, that take requests off one queue.

    An idle instance takes waiting requests at once: the largest power of two of them, at most
    `batch`. No request waits for a batch to fill. `outcome` says whether every instance still
    lives.

    Raises:
        BenchError, UnavailableError: an instance could not be loaded.
    """

    def __init__(self, specs: Sequence[InstanceSpec]) -> None:
        self.batch = specs[0].batch
        self.outcome = Outcome("completed", None)
        self.judged = False
        self._closing = False
        self._waiting: collections.deque[Request] = collections.deque()
        self._work: dict[int, tuple[list[Request], int]] = {}
        self._told: Callable[[list[Done]], None] = lambda done: None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._processes = [Process(spec) for spec in specs]
        loaded = [process.receive()[0] for process in self._processes]
        if failed := [one for one in loaded if not one.completed]:
            self._alive: list[int] = []
            self.close()
            raise failed[0].error()
        self._alive = list(range(len(specs)))
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def serve(self, told: Callable[[list[Done]], None], judged: bool = False) -> None:
        """From now on, calls `told` with what is done; if `judged`, instances capture answers."""
        with self._lock:
            self._told, self.judged = told, judged

    def submit(self, requests: Sequence[tuple[int, int]]) -> None:
        """Puts (key, photo) of `requests` into the queue; they arrive now."""
        now = time.monotonic_ns()
        new = [Request(key, photo, now) for key, photo in requests]
        with self._lock:
            room = LIMIT - len(self._waiting)
            self._waiting.extend(new[:room])
            lost = new[room:]
            if lost:
                self.outcome = Outcome("failed", f"{LIMIT} requests waited in the queue.")
            lost += self._dispatch()
        self._tell_lost(lost)

    def memory(self) -> int:
        """Bytes of resident memory of all instances together."""
        return sum(process.memory() for process in self._processes)

    def close(self) -> None:
        """Ends all instances, and waits until they have."""
        self._closing = True
        for process in self._processes:
            process.tell_to_end()
        for process in self._processes:
            process.end()
        if self._thread:
            self._thread.join()  # ends at the ends of the pipes: these stay open until then
        for process in self._processes:
            process.pipe.close()

    def _dispatch(self) -> list[Request]:
        """Gives idle instances work; returns waiting requests if no instance is left.

        The caller holds the lock.
        """
        for number in [one for one in self._alive if one not in self._work]:
            if self._waiting:
                self._send_batch(number)
        if self._alive:
            return []
        lost = list(self._waiting)
        self._waiting.clear()
        return lost

    def _send_batch(self, number: int) -> None:
        """Sends waiting requests to an instance: of 5 requests, 4, if `batch` is 4 or more."""
        count = 1 << (min(len(self._waiting), self.batch).bit_length() - 1)
        batch = [self._waiting.popleft() for _ in range(count)]
        self._work[number] = batch, time.monotonic_ns()
        with contextlib.suppress(ConnectionError):  # `_take` sees that it died
            self._processes[number].pipe.send(([one.photo for one in batch], self.judged))

    def _receive(self) -> None:
        """The thread that takes answers, until no instance lives."""
        while self._alive:
            pipes = {self._processes[number].pipe: number for number in self._alive}
            for pipe in wait(list(pipes), HANGING):
                self._take(pipes[pipe])  # type: ignore[index]
            self._kill_hanging()

    def _kill_hanging(self) -> None:
        """Kills instances that have been at a batch for too long; `_take` sees that they died."""
        now = time.monotonic_ns()
        with self._lock:
            begun = [(number, taken) for number, (_, taken) in self._work.items()]
        for number, taken in begun:
            if now - taken > HANGING * 1e9:
                self._processes[number].process.kill()

    def _take(self, number: int) -> None:
        """Takes what an instance sent, or that it has died, and gives it the next work."""
        outcome, served = self._processes[number].receive()
        now = time.monotonic_ns()
        with self._lock:
            batch, taken = self._work.pop(number, ([], now))
            if not outcome.completed:
                self._alive.remove(number)
                if not self._closing:
                    reason = f"instance {number + 1}: {outcome.reason}"
                    self.outcome = Outcome(outcome.outcome, reason)
            told = self._told
            lost = self._dispatch()
        if batch:
            began, ended = (served.began_ns, served.ended_ns) if served else (now, now)
            answers = map(_digest, served.tables) if served else [""] * len(batch)
            times = (taken, began, ended, now)
            told(
                [
                    Done(request, number, len(batch), *times, answer)
                    for request, answer in zip(batch, answers, strict=True)
                ]
            )
        self._tell_lost(lost)

    def _tell_lost(self, lost: list[Request]) -> None:
        """Reports requests that no instance will serve, as done without an answer."""
        now = time.monotonic_ns()
        if lost:
            self._told([Done(request, -1, 0, now, now, now, now, "") for request in lost])


def _digest(tables: bytes) -> str:
    return hashlib.blake2b(tables, digest_size=8).hexdigest()
