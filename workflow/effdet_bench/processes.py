"""Work in a child process whose outcome and reason the parent always knows.

If an exception, a signal or a missing package ends the child, the parent goes on and records why.
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
from typing import Any

from effdet_bench.errors import BenchError, Outcome, cause_of_death, hung, outcome_of

# Seconds that a call may take. The longest known call, an export for a GPU, takes minutes. A call
# that hangs would otherwise keep all other modes from being measured.
PATIENCE = 1800
ENDING = 60  # seconds that a process has to end by itself before it is killed
PR_SET_PDEATHSIG = 1  # of Linux's <sys/prctl.h>


def process_context() -> BaseContext:
    """How children are started: forked on Linux, because a forked child has all imports done."""
    # the system libraries of macOS do not allow forking
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


def end_with_parent() -> None:
    """Has Linux kill this process when the thread that started it ends.

    A child that hangs with Python's global lock held could not notice a closed pipe. Linux kills
    it all the same. Does nothing on other systems.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Worker:
    """A process that makes an object and then calls its methods, one at a time, on request.

    `outcome` is `completed` as long as nothing failed. When making the object or a method raises,
    the worker ends, and every later call returns `None`.
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
        """The result of the object's `method`; `None` if the worker has failed or fails now."""
        self.ask(method, *arguments)
        return self.answer()

    def ask(self, method: str, *arguments: object) -> None:
        """Begins a call of the object's `method`; `answer` waits for its end."""
        if self.alive:
            with contextlib.suppress(ConnectionError):
                self._pipe.send((method, arguments))

    def answer(self) -> Any:
        """The result of the method that was asked for; `None` as from `call`."""
        return self._receive() if self.alive else None

    def end(self) -> None:
        """Asks the process to end, waits for its end, and kills it after `ENDING` seconds."""
        # closing the pipe is not enough: children that were forked later hold this end open too
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
    """Runs in the child: sends (outcome, result) after making the object and after each call."""
    end_with_parent()
    try:
        made = make(*arguments)
        pipe.send((Outcome("completed", None), None))
        while (call := _next_call(pipe)) is not None:
            method, given = call
            result = getattr(made, method)(*given)
            pipe.send((Outcome("completed", None), result))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return
    except Exception as error:
        # for errors of the operating system, such as a full disk, the reason needs no traceback
        if not isinstance(error, BenchError | OSError):
            traceback.print_exc()
        pipe.send((outcome_of(error), None))


def _next_call(pipe: Connection) -> tuple[str, tuple[object, ...]] | None:
    """The next call: a method and its arguments.

    `None` if the parent asked for the end, or has died.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "this runs in a child"
    # the end of the pipe does not show a dead parent: forked processes hold both its ends open
    ready = wait([pipe, parent.sentinel])
    return pipe.recv() if pipe in ready else None
