"""Timed requests: a worker loads one mode of a round, and serves timed requests in its turns.

The worker runs in a process of its own. `timing.rounds` gives it turns; in between it sleeps.
"""

import csv
import gc
import resource
import sys
import time
from typing import NamedTuple

import psutil
import torch

from effdet_bench import layout, records
from effdet_bench.config.modes import engine_versions
from effdet_bench.detector.devices import peak_memory, synchronize
from effdet_bench.detector.request import Answer, serve, serve_in_stages
from effdet_bench.engines.loading import add_place
from effdet_bench.timing.counters import Meter
from effdet_bench.timing.outside import Outside
from effdet_bench.timing.turns import Plan, photo_at
from effdet_bench.validity.capture import Capture
from effdet_bench.worker.gpu import Gpu, uuid_of
from effdet_bench.worker.loaded import LoadedMode
from effdet_bench.worker.networks import Networks
from effdet_bench.worker.spec import JobSpec, ModelFiles


class WarmUp(NamedTuple):
    """The last warm-up request: `seconds`, and `peak`, bytes beyond those that the mode keeps."""

    seconds: float
    peak: int


class Measurement:
    """One mode in one round, loaded and ready to serve; raw data are appended to its folder.

    Raises:
        BenchError: as `LoadedMode` says.
    """

    def __init__(self, spec: JobSpec, networks: Networks | None = None) -> None:
        self._spec = spec
        self._mode = LoadedMode(spec, networks)
        self._device, self._engine = self._mode.device, self._mode.engine
        self._capture = Capture(spec.folder, self._mode.checks)
        self._gpu = Gpu(uuid_of(self._device))
        self._outside = Outside()
        self._slowed: dict[str, int] = {}
        self._served = 0
        self._timed = 0
        self._known = 0
        gc.collect()

    @torch.inference_mode()
    def warm_up(self) -> WarmUp:
        """Serves the warm-up requests, with the photos that come before those of this round."""
        seconds = 0.0
        for before in range(-self._spec.warmup, 0):
            seconds = self._serve("warmup", 0, *self._photo(before))
            self._mode.was_checked()
        return WarmUp(seconds, max(0, _peak_rss() - psutil.Process().memory_info().rss))

    @torch.inference_mode()
    def serve(self, turn: int, plan: Plan, unseen: bool) -> float:
        """Serves the timed requests of one turn: `plan` says how many.

        With `unseen`, the first request sends the photo that no mode was sent before; all others go
        on with the known photos. An answer is captured after the clock of its request has stopped.

        Returns:
            Seconds that these requests took.
        """
        self._outside.begin_turn()
        spent, count = 0.0, 0
        slowed = self._gpu.slowed_ns()
        first = self._mode.unseen if unseen else []
        while plan.goes_on(count, spent):
            if count < len(first):
                carried = first[count]
            else:
                carried = self._photo(self._known)
                self._known += 1
            spent += self._serve("timed", turn, *carried)
            count += 1
        self._count_slowed(slowed)
        self._outside.end_turn()
        return spent

    def _photo(self, count: int) -> tuple[str, bytes]:
        """Name and content of the photo that comes after `count` known ones of this round."""
        spec, photos = self._spec, self._mode.photos
        return photos[photo_at(count, spec.round, spec.requests, len(photos))]

    def _count_slowed(self, before: dict[str, int] | None) -> None:
        """Adds by how much the GPU's counters have risen since `before`."""
        now = self._gpu.slowed_ns()
        if now is not None and before is not None:
            self._slowed = {k: self._slowed.get(k, 0) + now[k] - before[k] for k in now}

    def _serve(self, phase: str, turn: int, name: str, encoded: bytes) -> float:
        """Serves one request, synchronised at both ends; returns the seconds that it took."""
        meter = Meter()
        try:
            latency, answer = self._time_request(encoded)
        except Exception as error:
            add_place(error, self._spec.engine, f"served {phase} request {self._served} ({name})")
            raise
        effort = meter.read()
        with layout.hidden(self._spec.folder / layout.REQUESTS).open("a", newline="") as out:
            row = (self._served, phase, turn, name, latency, *effort)
            csv.writer(out, lineterminator="\n").writerow(row)
        if phase == "timed":
            self._timed += 1
            # of this thread alone: threads of the engine may work meanwhile
            begin = time.thread_time()
            self._capture(self._served, name, answer)
            self._outside.skip(time.thread_time() - begin)
        self._served += 1
        return latency / 1e9

    def _time_request(self, encoded: bytes) -> tuple[int, Answer]:
        """Nanoseconds that one request took, and what it answered."""
        synchronize(self._device)
        begin = time.perf_counter_ns()
        answer = serve(self._mode.serving, encoded)
        synchronize(self._device)
        return time.perf_counter_ns() - begin, answer

    @torch.inference_mode()
    def finish(self) -> records.Record:
        """Serves the separate pass that times stages, and returns the figures of the job.

        Times are in seconds, memory in bytes.
        """
        # read first, because these figures must not include the separate pass
        self._outside.begin_turn()
        outside = self._outside.record()
        memory, on_device = _peak_rss(), self._gpu.own_bytes() or peak_memory(self._device)
        self._time_stages()
        return {
            "requests": self._timed,
            "engine_version": self._engine.version,
            "precision": self._engine.precision,
            "threads_used": torch.get_num_threads(),
            "load_seconds": self._mode.load_seconds,
            "export_seconds": export_seconds(self._spec.models),
            "versions": engine_versions(self._spec.engine),
            "peak_rss_bytes": memory,
            "peak_device_bytes": on_device,
            "slowed_ns": self._slowed or None,
            "outside": outside,
        }

    def _time_stages(self) -> None:
        """Serves requests with a synchronisation after each stage, and writes times of stages."""
        with layout.hidden(self._spec.folder / layout.STAGES).open("a", newline="") as out:
            rows = csv.writer(out, lineterminator="\n")
            for request in range(self._spec.stages):
                name, encoded = self._mode.photos[request % len(self._mode.photos)]
                marks: list[tuple[str, str, int]] = []

                def mark(stage: str, model: str, marks: list[tuple[str, str, int]] = marks) -> None:
                    synchronize(self._device)
                    marks.append((stage, model, time.perf_counter_ns()))

                synchronize(self._device)
                before = time.perf_counter_ns()
                serve_in_stages(self._engine, encoded, mark)
                for stage, model, at in marks:
                    rows.writerow([request, name, stage, model, at - before])
                    before = at


def export_seconds(models: tuple[ModelFiles, ...]) -> float | None:
    """Seconds that exporting all models took; `None` for modes without exports."""
    made = models[0].export  # every record of the ensemble has these seconds
    return float(records.read_json(made, "export")["seconds"]) if made else None


def _peak_rss() -> int:
    """Bytes of the largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
