"""One round on one device: every mode loaded in a process of its own, and served in turns.

Requests of different modes alternate, so that a machine that changes its speed from second to
second, as shared ones do, changes it for all modes alike. Only the process whose turn it is works:
the others, and the one that gives the turns, sleep.
"""

import random
import sys
import time
from collections.abc import Sequence
from typing import Any

from effdet_bench.processes import Worker, process_context
from effdet_bench.records import Record
from effdet_bench.timing.conditions import Load, Surroundings, power
from effdet_bench.timing.spec import JobSpec
from effdet_bench.timing.worker import Measurement

TURN_SECONDS = 0.2  # a turn is as many requests as the slowest mode serves in it, at least one
SETTLE_SECONDS = 0.02  # after a turn, until threads that wait for more work have stopped spinning
PROGRESS_SECONDS = 5.0
UNKNOWN = {"probe_ms": None, "gpu": None}


def run_round(specs: Sequence[JobSpec], seed: str, label: str) -> dict[str, Record]:
    """Measures the modes of `specs`, which share a device and a round, side by side.

    Modes are loaded one after the other, then take turns, in an order that `seed` shuffles anew
    each time. A mode that fails leaves its outcome, and the requests that it served, and the turns
    go on without it.

    Returns:
        By mode, what its worker recorded, with `outcome` and `reason`.
    """
    context = process_context()
    order = random.Random(seed)
    shared = specs[0]
    workers: dict[str, Worker] = {}
    for spec in order.sample(list(specs), len(specs)):
        workers[spec.mode] = Worker(context, Measurement, spec)
        time.sleep(SETTLE_SECONDS)
    surroundings = Worker(context, Surroundings, shared.device, shared.threads)
    conditions = {"before": _turn(surroundings, "now") or UNKNOWN, "power": power()}
    load = Load([worker.pid for worker in workers.values() if worker.alive])
    _take_turns(workers, shared.warmup, shared.requests, order, label)
    conditions |= {"load": load.shares(), "after": _turn(surroundings, "now") or UNKNOWN}
    surroundings.end()
    results: dict[str, Record] = {}
    for mode, worker in workers.items():
        measured = _turn(worker, "finish")
        results[mode] = {"outcome": worker.outcome.outcome, "reason": worker.outcome.reason}
        if measured:
            results[mode] |= {**measured, "conditions": conditions}
        worker.end()
    return {spec.mode: results[spec.mode] for spec in specs}


def _turn(worker: Worker, method: str, *arguments: object) -> Any:
    """What `method` of the worker returns; `None` where it failed or fails."""
    if not worker.alive:
        return None
    result = worker.call(method, *arguments)
    time.sleep(SETTLE_SECONDS)
    return result


def _take_turns(
    workers: dict[str, Worker], warmup: int, requests: int, order: random.Random, label: str
) -> None:
    """Has every worker serve its warm-up, and then the timed requests in turns."""
    latencies = {mode: _turn(worker, "serve", 0, warmup) for mode, worker in workers.items()}
    alive = [mode for mode, worker in workers.items() if worker.alive]
    in_turn = max(1, int(TURN_SECONDS / max((latencies[mode] for mode in alive), default=1)))
    begin = told = time.monotonic()
    for first in range(0, requests, in_turn):
        count = min(in_turn, requests - first)
        for mode in order.sample(alive, len(alive)):
            _turn(workers[mode], "serve", warmup + first, count)
        alive = [mode for mode in alive if workers[mode].alive]
        now, done = time.monotonic(), first + count
        if now - told >= PROGRESS_SECONDS or done == requests:
            told = now
            left = (now - begin) * (requests / done - 1)
            text = f"{label}: {done}/{requests} requests of each mode, about {left:.0f} s left"
            print(text, file=sys.stderr, flush=True)
