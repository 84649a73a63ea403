"""Processor time that a mode uses while other modes have their turn: work outside the clock.

Such work disturbs the other modes, and could prepare answers that no clock has timed.
"""

import contextlib
import resource
import time

import psutil

from effdet_bench.records import Record


class Outside:
    """Counts processor time of this process and its children, in its turns and between them.

    What a process does before its first turn is part of loading, and does not count.
    """

    def __init__(self) -> None:
        self._counted = 0.0  # processor time up to the last begin or end of a turn
        self._record: Record = {"seconds": 0.0, "own_seconds": 0.0, "turns": 0}

    def begin_turn(self) -> None:
        if self._record["own_seconds"]:
            self._record["seconds"] += self._passed()
            self._record["turns"] += 1
        else:
            self._passed()

    def end_turn(self) -> None:
        self._record["own_seconds"] += self._passed()

    def skip(self, seconds: float) -> None:
        """Leaves out processor time in a turn that is the harness's own."""
        self._counted += seconds

    def record(self) -> Record:
        """`seconds` between turns, `own_seconds` in turns; `turns`, how often it waited between."""
        return {key: round(value, 6) for key, value in self._record.items()}

    def _passed(self) -> float:
        """Processor time since the last call."""
        own = time.process_time()
        children = children_seconds()
        passed = own + children - self._counted
        # read again, because looking for children takes 2 ms
        self._counted = time.process_time() + children
        return max(0.0, passed)


def children_seconds() -> float:
    """Processor time of all children of this process, those that have ended too."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = ended.ru_utime + ended.ru_stime
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            used = child.cpu_times()
            seconds += used.user + used.system
    return seconds
