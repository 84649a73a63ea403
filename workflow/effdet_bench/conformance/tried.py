"""Processes in which an engine is tried, and how they end."""

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from typing import Any

from effdet_bench.config.modes import Mode, Options, read_modes
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


class FailedError(Exception):
    """The engine failed; the text says why."""


class Tried:
    """A `Trial` of `spec` in a process of its own, which is started as `context` says.

    Raises:
        RefusedError, FailedError: the engine did not load.
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
            FailedError: the process ended, or the method failed.
        """
        result = self._worker.call(method, *arguments)
        if not self.alive:
            raise FailedError(self._worker.outcome.reason)
        return result

    def end(self) -> None:
        self._worker.end()


class Trials:
    """The trials of `engine` on `bench`, each with `options`, besides those that it tries."""

    def __init__(self, bench: Bench, engine: str, options: Options | None = None) -> None:
        self.bench, self.engine, self._options = bench, engine, options or {}
        self._shared: dict[str, Tried] = {}

    def of(self, photos: str) -> Tried:
        """The trial with no more options that serves `photos`, which several checks share.

        Some engines take many seconds to load. If the process of an earlier check has ended, this
        is another one.
        """
        found = self._shared.get(photos)
        if found is None or not found.alive:
            spec = self.bench.spec(self.mode({}), photos)
            found = self._shared[photos] = Tried(self.bench, spec)
        return found

    def mode(self, options: Options) -> Mode:
        """The mode of the engine with `options`."""
        given = {"name": "tried", "engine": self.engine}
        return read_modes([given | self._options | options])[0]

    @contextmanager
    def own(
        self,
        options: Options,
        context: BaseContext | None = None,
        threads: int | None = None,
        models: int | None = None,
    ) -> Iterator[Tried]:
        """A trial with `options` that ends with the block; `Bench.spec` explains the others."""
        spec = self.bench.spec(self.mode(options), threads=threads, models=models)
        trial = Tried(self.bench, spec, context)
        try:
            yield trial
        finally:
            trial.end()

    def close(self) -> None:
        """Ends the processes of all shared trials."""
        for trial in self._shared.values():
            trial.end()
