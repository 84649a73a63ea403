"""One instance of a service, a process of its own: `python -m effdet_bench.load.instance FD`.

FD is its end of a pipe. The service sends requests through the pipe, and the instance answers
through it. The instance ends when the pipe does.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from effdet_bench.errors import UnavailableError
from effdet_bench.imports import importing
from effdet_bench.load.messages import InstanceSpec, Served
from effdet_bench.worker.interpreter import answer_parent, refuse_other_code, without_effect

if TYPE_CHECKING:
    from effdet_bench.detector.request import Answer


class Null:
    """The null mode, which answers at once, without a detector."""

    def serve(self, photos: list[int], _judged: bool) -> Served:
        now = time.monotonic_ns()
        return Served(now, now, [b""] * len(photos))


class Instance:
    """A loaded mode that serves batches of photos.

    A photo is given by its index among those of the mode, or by the content of its file.

    Raises:
        BenchError: as `LoadedMode` says.
        UnavailableError: the engine takes one photo at a time.
    """

    def __init__(self, spec: InstanceSpec) -> None:
        # here, because torch's libraries read which cores they may use when they are loaded
        with importing():
            from effdet_bench.validity.capture import Capture
            from effdet_bench.worker.loaded import LoadedMode

        assert spec.job is not None and spec.folder is not None
        self._mode: LoadedMode = LoadedMode(spec.job)
        for power in range(spec.batch.bit_length()):
            self._mode.engine.accept(2**power)
        self._pool = ThreadPoolExecutor(spec.job.threads)
        self._capture: Capture = Capture(spec.folder, self._mode.checks)
        self._judged = 0
        for number in range(spec.job.warmup):
            self.serve([number % len(self._mode.photos)] * spec.batch, False)
            self._mode.was_checked()

    def serve(self, photos: list[int] | list[bytes], judged: bool) -> Served:
        """Serves a batch; if `judged`, captures its answers once the clock has stopped."""
        import torch

        from effdet_bench.detector.devices import synchronize

        known = self._mode.photos
        carried = [("", one) if isinstance(one, bytes) else known[one] for one in photos]
        with torch.inference_mode():
            began = time.monotonic_ns()
            answers = self._answers([encoded for _, encoded in carried])
            synchronize(self._mode.device)
            served = Served(began, time.monotonic_ns(), [_content(one) for one in answers])
            for (name, _), answer in zip(carried, answers, strict=True):
                if judged:
                    self._capture(self._judged, name, answer)
                    self._judged += 1
        return served

    def _answers(self, batch: list[bytes]) -> "list[Answer]":
        from effdet_bench.detector.request import serve, serve_together

        if len(batch) == 1:
            return [serve(self._mode.serving, batch[0])]
        return serve_together(self._mode.serving, batch, self._pool)


def _content(answer: "Answer") -> bytes:
    return b"".join(table.tobytes() for table in answer.tables)


def _load(spec: InstanceSpec) -> Instance | Null:
    if spec.cpus:
        os.sched_setaffinity(0, spec.cpus)
    if spec.job is None:
        return Null()
    if reason := without_effect(dict(spec.job.environment.env)):
        raise UnavailableError(reason)
    return Instance(spec)


def answer_pipe(load: Callable[[Any], Any]) -> None:
    """Loads what comes through the pipe first, and has its method `serve` answer what follows."""
    serve: Callable[..., Any] | None = None

    def load_or_serve(*arguments: Any) -> Any:
        nonlocal serve
        if serve is not None:
            return serve(*arguments)
        spec, code = arguments
        refuse_other_code(code, spec.engines)
        serve = load(spec).serve
        return None

    answer_parent(load_or_serve)


if __name__ == "__main__":
    answer_pipe(_load)
