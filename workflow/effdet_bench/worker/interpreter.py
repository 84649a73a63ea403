"""Processes of modes that name their own interpreter or environment variables."""

import contextlib
import os
import platform
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from effdet_bench import layout, processes
from effdet_bench.errors import BenchError, Outcome, cause_of_death, hung
from effdet_bench.facts.code import digest
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


def code_digest() -> str:
    """A digest of the package's code: processes that are compared must run the same code."""
    return digest(sorted(layout.PACKAGE.rglob("*.py")))


def refuse_other_code(code: str) -> None:
    """Compares the code of this interpreter's effdet-bench with the sender's, `code`.

    Raises:
        BenchError: their code differs.
    """
    if code != code_digest():
        raise BenchError(
            f"the effdet-bench of {sys.executable} is other code than the one that runs: "
            "install this one there, `pip install -e .`."
        )


def without_effect(env: dict[str, str]) -> str | None:
    """Why variables that a mode sets have no effect in this process; `None` if they may."""
    if "GLIBC_TUNABLES" in env and platform.libc_ver()[0] != "glibc":
        return "GLIBC_TUNABLES is read by glibc alone, which is not this system's C library."
    for library in env.get("LD_PRELOAD", "").replace(":", " ").split():
        if not MAPS.exists() or Path(library).name not in MAPS.read_text():
            return f"LD_PRELOAD names {library}, which the loader did not find: install it."
    return None
