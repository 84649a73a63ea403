"""An engine that serves in a process of its own, and what a check asks of it."""

import hashlib
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median, quantiles

import psutil
import torch

from effdet_bench import layout, records
from effdet_bench.detector.devices import synchronize
from effdet_bench.detector.request import Answer, serve, serve_together
from effdet_bench.engines.loading import add_place, arose_in
from effdet_bench.errors import BenchError, UnavailableError
from effdet_bench.timing.outside import Outside, children_seconds
from effdet_bench.timing.variant import vary
from effdet_bench.validity.answers import outside_share
from effdet_bench.validity.capture import Capture
from effdet_bench.worker.loaded import LoadedMode
from effdet_bench.worker.networks import Networks
from effdet_bench.worker.spec import JobSpec

COLUMNS = {name: records.RAW_COLUMNS[name] for name in layout.ANSWER_FILES}
SAMPLES = 9  # requests of which a quantile is taken
PAUSES, PAUSE_SECONDS = 5, 0.3  # after requests, as while other modes have their turn


class Trial:
    """The mode of `spec` in this process; `load` comes first."""

    def __init__(self, spec: JobSpec, networks: Networks | None) -> None:
        self._spec = spec
        self._networks = networks

    def load(self) -> tuple[str, str] | None:
        """Loads the engine and has it serve every photo once.

        Returns:
            How the engine refused, `unavailable` or `failed`, and its words; `None` if it loaded.

        Raises:
            BenchError: the engine breaks the contract; the text says how.
        """
        try:
            self._mode = LoadedMode(self._spec, self._networks)
        except UnavailableError as error:
            return "unavailable", str(error)
        except BenchError as error:
            if not arose_in(self._spec.engine, error):
                raise
            return "failed", str(error)
        self._photos = [encoded for _, encoded in self._mode.photos]
        try:
            with torch.inference_mode():
                for encoded in self._photos:
                    self._serve(encoded)
        except UnavailableError as error:
            return "unavailable", str(error)
        self._mode.was_checked()
        return None

    def precision(self) -> str:
        """The precision in which the engine says that it computes."""
        return self._mode.engine.precision

    @torch.inference_mode()
    def answer(self) -> str:
        """Captures an answer to each photo; returns a digest of all outputs and detections."""
        found = hashlib.sha256()
        with self._captured() as capture:
            for number, (name, encoded) in enumerate(self._mode.photos):
                answer = self._serve(encoded)
                capture(number, name, answer)
                for content in _contents(answer):
                    found.update(content)
        return found.hexdigest()

    @torch.inference_mode()
    def answer_together(self) -> str | None:
        """Captures the answers to all photos as one batch; why the engine takes none, if so."""
        names = [name for name, _ in self._mode.photos]
        try:
            self._mode.engine.accept(len(names))
        except UnavailableError as error:
            return str(error)
        with ThreadPoolExecutor(self._spec.threads) as pool, self._captured() as capture:
            answers = serve_together(self._mode.engine, self._photos, pool)
            for number, (name, answer) in enumerate(zip(names, answers, strict=True)):
                capture(number, name, answer)
        return None

    @torch.inference_mode()
    def times_of_new_photos(self) -> float:
        """Work for photos that were never sent before, as a multiple of that for a known photo."""
        name, encoded = self._mode.photos[0]
        order = random.Random(0)
        new = [vary(name, encoded, order)[1] for _ in range(SAMPLES)]
        pairs = [(self._work(photo), self._work(encoded)) for photo in new]
        unknown, known = zip(*pairs, strict=True)
        return float(median(unknown) / median(known))

    @torch.inference_mode()
    def threads(self) -> float:
        """Processor time of a request by its time: how many threads worked at a time.

        The upper quartile of requests counts, because other work on the machine lowers this share,
        and nothing raises it.
        """
        shares = []
        for number in range(SAMPLES):
            begin, used = time.perf_counter(), _processor_seconds()
            self._serve(self._photos[number % len(self._photos)])
            shares.append((_processor_seconds() - used) / (time.perf_counter() - begin))
        return quantiles(shares)[-1]

    @torch.inference_mode()
    def outside(self) -> float:
        """Processor time after answers, as a share of that of the requests."""
        outside = Outside()
        for number in range(PAUSES):
            outside.begin_turn()
            self._serve(self._photos[number % len(self._photos)])
            outside.end_turn()
            time.sleep(PAUSE_SECONDS)
        outside.begin_turn()
        return outside_share(outside.record())

    @torch.inference_mode()
    def memory(self, requests: int) -> list[int]:
        """Bytes of memory of this process and its children, after each of `requests` requests."""
        own = psutil.Process()
        taken = []
        for number in range(requests):
            self._serve(self._photos[number % len(self._photos)])
            taken.append(own.memory_info().rss + sum(map(_resident, own.children(recursive=True))))
        return taken

    def _serve(self, encoded: bytes) -> Answer:
        try:
            answer = serve(self._mode.serving, encoded)
            synchronize(self._mode.device)
        except Exception as error:
            add_place(error, self._spec.engine, "served a request")
            raise
        return answer

    def _work(self, encoded: bytes) -> float:
        """Seconds of processor time of a request; on a GPU, of its time."""
        clock = _processor_seconds if self._mode.device.type == "cpu" else time.perf_counter
        begin = clock()
        self._serve(encoded)
        return clock() - begin

    @contextmanager
    def _captured(self) -> Iterator[Capture]:
        """Compares answers with the references, and writes them to the folder of the trial."""
        records.begin_tables(self._spec.folder, COLUMNS)
        yield Capture(self._spec.folder, self._mode.checks)
        records.end_tables(self._spec.folder, COLUMNS)


def _resident(process: psutil.Process) -> int:
    """Bytes of memory of `process`; 0 if it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _processor_seconds() -> float:
    """Processor time of this process and its children."""
    return time.process_time() + children_seconds()


def _contents(answer: Answer) -> Iterator[bytes]:
    """All detections and outputs in `answer`."""
    for table, outputs in zip(answer.tables, answer.outputs, strict=True):
        yield table.tobytes()
        for level in (*outputs[0], *outputs[1]):
            yield level.float().cpu().numpy().tobytes()
