"""Hosts, the parents of workers: see `timing.rounds.Parent` for which modes share a host.

A host imports once, reads networks once, and forks the workers of its modes. For modes of PyTorch
that name neither interpreter nor variables, the host is the process that gives the turns. Every
other host is a process of its own: `python -m effdet_bench.timing.host FD`, where FD is its end of
a pipe.
"""

import contextlib
import gc
import time
from collections.abc import Sequence
from typing import Any

from effdet_bench.errors import BenchError, Outcome, UnavailableError
from effdet_bench.processes import Worker, process_context
from effdet_bench.worker.interpreter import (
    Interpreter,
    answer_parent,
    code_digest,
    refuse_other_code,
    without_effect,
)
from effdet_bench.worker.spec import Environment, JobSpec


class Host:
    """The parent of the workers of `specs`, in this process.

    `import_seconds` is the processor time of importing torch and effdet. Wall time would count
    waits for other hosts, which import side by side. `networks` are those of its modes; `None` if
    workers read their own.
    """

    def __init__(self, specs: Sequence[JobSpec]) -> None:
        # with searches for garbage, as in the process of a user
        begin = time.process_time()
        from effdet_bench.timing.requests import Measurement
        from effdet_bench.worker.networks import load_networks

        self.import_seconds = time.process_time() - begin
        self._make = Measurement
        self._context = process_context()
        self._specs = {spec.mode: spec for spec in specs}
        # children that are not forked would get networks through a pipe, so they read their own
        forked = self._context.get_start_method() == "fork"
        self.networks = (
            load_networks(files for spec in specs for files in spec.models) if forked else None
        )
        # each worker collects garbage before its first request: then only in what it made itself
        gc.collect()
        gc.freeze()
        self._workers: dict[str, Worker] = {}

    def load(self, mode: str) -> tuple[Outcome, int]:
        """Starts the worker of `mode`; returns its outcome and the number of its process."""
        self._workers[mode] = Worker(self._context, self._make, self._specs[mode], self.networks)
        return self._workers[mode].outcome, self._workers[mode].pid

    def call(self, mode: str, method: str, *arguments: object) -> tuple[Outcome, Any]:
        """Calls `method` of the worker of `mode`; returns the worker's outcome and the result."""
        result = self._workers[mode].call(method, *arguments)
        return self._workers[mode].outcome, result

    def end(self, mode: str) -> None:
        """Ends the worker of `mode`, which frees its memory."""
        self._workers.pop(mode).end()

    def close(self) -> None:
        for mode in list(self._workers):
            self.end(mode)


class RemoteHost:
    """A `Host` of `specs` in a process that is started with `environment`; call `ready` first.

    Raises:
        BenchError: the process cannot be started.
    """

    def __init__(self, environment: Environment, specs: Sequence[JobSpec]) -> None:
        self._interpreter = Interpreter("timing.host", environment)
        code = code_digest({spec.engine for spec in specs})
        self._send("start", code, dict(environment.env), specs)

    def ready(self) -> "RemoteHost | BenchError":
        """Waits until this host has imported and read all for its modes; the host, or its error."""
        try:
            self.import_seconds: float = self._receive()
        except BenchError as error:
            self.close()
            return error
        return self

    def load(self, mode: str) -> tuple[Outcome, int]:
        loaded: tuple[Outcome, int] = self._ask("load", mode)
        return loaded

    def call(self, mode: str, method: str, *arguments: object) -> tuple[Outcome, Any]:
        called: tuple[Outcome, Any] = self._ask("call", mode, method, *arguments)
        return called

    def end(self, mode: str) -> None:
        self._ask("end", mode)

    def close(self) -> None:
        self._interpreter.tell_to_end()
        self._interpreter.process.wait()

    def _ask(self, method: str, *arguments: object) -> Any:
        self._send(method, *arguments)
        return self._receive()

    def _send(self, method: str, *arguments: object) -> None:
        # if the process has died, `_receive` says why
        with contextlib.suppress(ConnectionError):
            self._interpreter.pipe.send((method, arguments))

    def _receive(self) -> Any:
        outcome, result = self._interpreter.receive()
        if self._interpreter.process.returncode is not None:
            raise BenchError(f"{outcome.reason} It was the parent of this mode.")
        if not outcome.completed:
            raise outcome.error()
        return result


class _Served:
    """The child's side of a `RemoteHost`."""

    def __init__(self) -> None:
        self._host: Host | None = None

    def start(self, code: str, env: dict[str, str], specs: Sequence[JobSpec]) -> float:
        if reason := without_effect(env):
            raise UnavailableError(reason)
        refuse_other_code(code, {spec.engine for spec in specs})
        self._host = Host(specs)
        return self._host.import_seconds

    def answer(self, method: str, arguments: tuple[Any, ...]) -> Any:
        target = self if method == "start" else self._host
        return getattr(target, method)(*arguments)

    def close(self) -> None:
        if self._host is not None:
            self._host.close()


def main() -> None:
    served = _Served()
    answer_parent(served.answer)
    served.close()


if __name__ == "__main__":
    main()
    gc.freeze()  # the last search for garbage, among all of torch's objects, would take a second
