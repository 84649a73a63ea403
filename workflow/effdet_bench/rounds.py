"""One round on one device: every mode loaded in a process of its own, and served in turns.

Requests of different modes alternate, so that a machine that changes its speed from second to
second, as shared ones do, changes it for all modes alike. Only the process whose turn it is works:
the others, and the one that gives the turns, sleep.
"""

import contextlib
import multiprocessing
import random
import sys
import time
from collections.abc import Callable
from multiprocessing.context import BaseContext
from pathlib import Path

from effdet_bench.conditions import Load, Surroundings, power
from effdet_bench.errors import cause_of_death
from effdet_bench.measure import Measurement, work

TURN_SECONDS = 0.2  # a turn is as many requests as the slowest mode serves in it, at least one
SETTLE_SECONDS = 0.02  # after a turn, until threads that wait for more work have stopped spinning
PROGRESS_SECONDS = 5.0
UNKNOWN = {"probe_ms": None, "gpu": None}


class Worker:
    """A process that does what it is asked to, with what `make` returns, and what became of it."""

    def __init__(self, context: BaseContext, make: Callable, *arguments: object) -> None:
        self._turns, theirs = context.Pipe()
        given = (theirs, make, *arguments)
        self._process = context.Process(target=work, args=given, daemon=True)
        self.found: dict = {"outcome": "completed", "reason": None}
        self._process.start()
        theirs.close()
        self._wait()

    @property
    def alive(self) -> bool:
        return self.found["outcome"] == "completed"

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, method: str, *arguments: int):
        """Has the worker do `method` and returns its answer, `None` where it failed or fails."""
        return self._wait((method, *arguments)) if self.alive else None

    def end(self) -> None:
        # told, as closing is not enough: workers that were forked later hold this end open too
        with contextlib.suppress(ConnectionError):
            self._turns.send(None)
        self._process.join()

    def _wait(self, request: tuple | None = None):
        try:
            if request is not None:
                self._turns.send(request)
            outcome, answer = self._turns.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            outcome, answer = "failed", cause_of_death(self._process.exitcode)
        time.sleep(SETTLE_SECONDS)
        if outcome == "completed":
            return answer
        self.found = {"outcome": outcome, "reason": answer}
        return None


def run_round(specs: dict[str, dict], folders: dict[str, Path], seed: str, label: str) -> dict:
    """Measures the modes of `specs` (see `measure.Measurement`) side by side.

    Modes are loaded one after the other, then take turns, in an order that `seed` shuffles anew
    each time. A mode that fails leaves its outcome, and the requests that it served, and the turns
    go on without it.

    Returns:
        By mode, what its worker found, with `outcome` (`completed`, `unavailable` or `failed`) and
        `reason`.
    """
    # a forked process has all imports done. Not so on macOS, whose own libraries forbid it
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    order = random.Random(seed)
    names = order.sample(list(specs), len(specs))
    workers = {name: Worker(context, Measurement, specs[name], folders[name]) for name in names}
    spec = next(iter(specs.values()))
    around = Worker(context, Surroundings, spec["device"], spec["threads"])
    conditions = {"before": around.ask("now") or UNKNOWN, "power": power()}
    load = Load([worker.pid for worker in workers.values() if worker.alive])
    _take_turns(workers, spec["warmup"], spec["requests"], order, label)
    conditions |= {"load": load.shares(), "after": around.ask("now") or UNKNOWN}
    around.end()
    for worker in workers.values():
        if worker.alive and (found := worker.ask("finish")):
            worker.found |= found | {"conditions": conditions}
        worker.end()
    return {name: workers[name].found for name in specs}


def _take_turns(
    workers: dict[str, Worker], warmup: int, requests: int, order: random.Random, label: str
) -> None:
    """Has every worker serve its warm-up, and then the timed requests in turns."""
    latencies = {name: w.ask("serve", 0, warmup) for name, w in workers.items() if w.alive}
    alive = [name for name in latencies if workers[name].alive]
    turn = max(1, int(TURN_SECONDS / max((latencies[name] for name in alive), default=1)))
    begin = told = time.monotonic()
    for first in range(0, requests, turn):
        count = min(turn, requests - first)
        for name in order.sample(alive, len(alive)):
            workers[name].ask("serve", warmup + first, count)
        alive = [name for name in alive if workers[name].alive]
        now, done = time.monotonic(), first + count
        if now - told >= PROGRESS_SECONDS or done == requests:
            told = now
            left = (now - begin) * (requests / done - 1)
            text = f"{label}: {done}/{requests} requests of each mode, about {left:.0f} s left"
            print(text, file=sys.stderr, flush=True)
