"""Work in a process of its own, of which the outcome and the reason are always known.

Whatever becomes of the child, an exception, a signal or a missing package, its parent goes on and
has something to record.
"""

import contextlib
import ctypes
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any, NamedTuple

from effdet_bench.errors import BenchError, Outcome, cause_of_death, hung, outcome_of

# Seconds that a call may take, far more than any should: an export for a GPU, minutes. What takes
# longer hangs, and would keep all others from being measured.
PATIENCE = 1800
ENDING = 60  # seconds that a process may take to end
PR_SET_PDEATHSIG = 1  # of Linux's <sys/prctl.h>


def process_context() -> BaseContext:
    """How children are started: forked, where the system allows it, with all imports done."""
    # on macOS the system's own libraries forbid it
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


def end_with_parent() -> None:
    """Has Linux kill this process once the thread that started it has ended.

    However it hangs: one that holds Python's lock would see the end of no pipe.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class _Call(NamedTuple):
    method: str
    arguments: tuple[object, ...]


class Worker:
    """A process that makes an object and then calls its methods, one at a time, when asked to.

    `outcome` says what became of it so far. A worker whose object could not be made, or whose
    method raised, has ended; every later call returns `None`.
    """

    def __init__(
        self, context: BaseContext, make: Callable[..., object], *arguments: object
    ) -> None:
        self._pipe, child_end = context.Pipe()
        given = (child_end, make, *arguments)
        self._process = context.Process(target=_work, args=given, daemon=True)  # type: ignore[attr-defined]
        self.outcome = Outcome("completed", None)
        self._process.start()
        child_end.close()
        self._receive()

    @property
    def alive(self) -> bool:
        return self.outcome.completed

    @property
    def pid(self) -> int:
        pid: int = self._process.pid
        return pid

    def call(self, method: str, *arguments: object) -> Any:
        """What the object's `method` returns; `None` where the worker has failed, or fails now."""
        if not self.alive:
            return None
        with contextlib.suppress(ConnectionError):
            self._pipe.send(_Call(method, arguments))
        return self._receive()

    def end(self) -> None:
        """Has the process end, and waits until it has."""
        # told, as closing is not enough: children that were forked later hold this end open too
        with contextlib.suppress(ConnectionError):
            self._pipe.send(None)
        self._process.join(ENDING)
        self._process.kill()
        self._process.join()

    def _receive(self) -> Any:
        try:
            if not self._pipe.poll(PATIENCE):
                self._process.kill()
                self.outcome = hung(PATIENCE)
                return None
            outcome, result = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            outcome, result = Outcome("failed", cause_of_death(self._process.exitcode)), None
        self.outcome = outcome
        return result


def _work(pipe: Connection, make: Callable[..., object], *arguments: object) -> None:
    """The child: sends (outcome, result) once the object is made, and after each call of it."""
    end_with_parent()
    try:
        made = make(*arguments)
        pipe.send((Outcome("completed", None), None))
        while (call := _next_call(pipe)) is not None:
            result = getattr(made, call.method)(*call.arguments)
            pipe.send((Outcome("completed", None), result))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return
    except Exception as error:
        # of the system's errors, such as a full disk, the reason says all
        if not isinstance(error, BenchError | OSError):
            traceback.print_exc()
        pipe.send((outcome_of(error), None))


def _next_call(pipe: Connection) -> _Call | None:
    """What is asked for next; `None` at the end, or once the parent has died."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "this runs in a child"
    # not by the end of the pipe: forked processes hold both of its ends open
    ready = wait([pipe, parent.sentinel])
    call: _Call | None = pipe.recv() if pipe in ready else None
    return call
