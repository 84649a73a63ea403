"""Processes of modes that name their own interpreter or environment variables."""

import contextlib
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from effdet_bench import layout, processes
from effdet_bench.errors import BenchError, Outcome, cause_of_death, hung, outcome_of
from effdet_bench.facts.code import digest
from effdet_bench.facts.engines import located
from effdet_bench.worker.spec import Environment

MAPS = Path("/proc/self/maps")


class Interpreter:
    """A process that runs `module` of this package in `environment`, and one end of a pipe to it.

    The process gets the number of the other end as its argument.

    Raises:
        BenchError: the process cannot be started.
    """

    def __init__(self, module: str, environment: Environment) -> None:
        ours, theirs = socket.socketpair()
        theirs.set_inheritable(True)
        command = [environment.python or sys.executable, "-m", f"effdet_bench.{module}"]
        try:
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                close_fds=False,  # so that the process holds the lock of timing jobs too
                env={**os.environ, **dict(environment.env)},
            )
        except OSError as error:
            raise BenchError(
                f"{command[0]} cannot be started ({error.strerror}): `python` of a mode must be "
                "the interpreter of an environment in which effdet-bench is installed."
            ) from None
        theirs.close()
        self.pipe = Connection(ours.detach())

    def receive(self) -> tuple[Outcome, Any]:
        """The process's next message; if it has died, or hangs and is killed, why."""
        try:
            if not self.pipe.poll(processes.PATIENCE + processes.ENDING):
                self.process.kill()
                self.process.wait()
                return hung(processes.PATIENCE + processes.ENDING), None
            received: tuple[Outcome, Any] = self.pipe.recv()
            return received
        except (EOFError, ConnectionError):
            return Outcome("failed", cause_of_death(self.process.wait())), None

    def tell_to_end(self) -> None:
        # a message, because closing is not enough: processes forked later hold this end open too
        with contextlib.suppress(ConnectionError):
            self.pipe.send(None)


def answer_parent(answer: Callable[..., Any]) -> None:
    """Answers the messages of an `Interpreter`, in its process, until the parent ends.

    Each message is a tuple of arguments of `answer`. The parent gets an outcome and the result.
    """
    processes.end_with_parent()
    pipe = Connection(int(sys.argv[1]))
    with contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt):
        while (arguments := pipe.recv()) is not None:
            try:
                pipe.send((Outcome("completed", None), answer(*arguments)))
            except Exception as error:
                pipe.send((outcome_of(error), None))


def code_digest(engines: Iterable[str]) -> str:
    """A digest of the code of this package and of `engines` that other packages bring.

    Processes that are compared must run the same code.
    """
    own = sorted(layout.PACKAGE.rglob("*.py"))
    brought = [located(name) for name in sorted(engines)]
    return digest([*own, *(path for one in brought if one.package for path in one.files)])


def refuse_other_code(code: str, engines: Iterable[str]) -> None:
    """Compares the `code_digest` of this interpreter's packages with the sender's, `code`.

    Raises:
        BenchError: their code differs, or an engine is not installed here.
    """
    if code != code_digest(engines):
        raise BenchError(
            f"the packages of {sys.executable} are other code than those that run here: install "
            "this effdet-bench there, `pip install -e .`, and the same packages of engines."
        )


def without_effect(env: dict[str, str]) -> str | None:
    """Why variables that a mode sets have no effect in this process; `None` if they may."""
    if "GLIBC_TUNABLES" in env and platform.libc_ver()[0] != "glibc":
        return "GLIBC_TUNABLES is read by glibc alone, which is not this system's C library."
    for library in env.get("LD_PRELOAD", "").replace(":", " ").split():
        if not MAPS.exists() or Path(library).name not in MAPS.read_text():
            return f"LD_PRELOAD names {library}, which the loader did not find: install it."
    return None
