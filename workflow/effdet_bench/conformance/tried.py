"""Processes in which an engine is tried, and how they end."""

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from typing import Any

from effdet_bench.conformance.bench import Bench
from effdet_bench.conformance.trial import Trial
from effdet_bench.errors import Outcome
from effdet_bench.processes import Worker, process_context
from effdet_bench.worker.spec import JobSpec


class RefusedError(Exception):
    """The engine refused to load, with a BenchError; `outcome` has the text."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class CrashedError(Exception):
    """The process of a trial ended; the text says why."""


class Tried:
    """A `Trial` of `spec` in a process of its own, which is started as `context` says.

    Raises:
        RefusedError, CrashedError: the engine did not load.
    """

    def __init__(self, bench: Bench, spec: JobSpec, context: BaseContext | None = None) -> None:
        context = context or process_context()
        forked = context.get_start_method() == "fork"
        self._worker = Worker(context, Trial, spec, bench.networks if forked else None)
        if refused := self.call("load"):
            self.end()
            raise RefusedError(Outcome(*refused))

    @property
    def alive(self) -> bool:
        return self._worker.alive

    def call(self, method: str, *arguments: object) -> Any:
        """What `method` of the trial returns.

        Raises:
            CrashedError: the process ended, or the method failed.
        """
        result = self._worker.call(method, *arguments)
        if not self.alive:
            raise CrashedError(self._worker.outcome.reason)
        return result

    def end(self) -> None:
        self._worker.end()


class Trials:
    """The trials of the engine on `bench`."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._shared: dict[str, Tried] = {}

    def of(self, photos: str) -> Tried:
        """The trial without options that serves `photos`, which several checks share.

        Some engines take many seconds to load. If the process of an earlier check has ended, this
        is another one.
        """
        found = self._shared.get(photos)
        if found is None or not found.alive:
            found = self._shared[photos] = Tried(self.bench, self.bench.spec({}, photos))
        return found

    @contextmanager
    def own(self, spec: JobSpec, context: BaseContext | None = None) -> Iterator[Tried]:
        """A trial that ends with the block."""
        trial = Tried(self.bench, spec, context)
        try:
            yield trial
        finally:
            trial.end()

    def close(self) -> None:
        """Ends the processes of all shared trials."""
        for trial in self._shared.values():
            trial.end()
