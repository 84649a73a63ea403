"""Timed requests: a worker of a round loads one mode, and serves against the clock when told to.

It runs in a process of its own, and sleeps between its turns; `timing.rounds` tells it.
"""

import csv
import gc
import hashlib
import resource
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from effdet_bench import layout, records
from effdet_bench.config.modes import engine_versions
from effdet_bench.config.photos import list_photos
from effdet_bench.detector.devices import open_device, peak_memory, synchronize
from effdet_bench.detector.request import Answer, ModelInput, serve, serve_in_stages
from effdet_bench.engines.base import load_engine
from effdet_bench.errors import BenchError
from effdet_bench.reference.outputs import Reference, check_reference, read_reference
from effdet_bench.timing.capture import Capture
from effdet_bench.timing.checks import Checks
from effdet_bench.timing.effort import Meter
from effdet_bench.timing.gpu import Gpu, uuid_of
from effdet_bench.timing.networks import Networks, load_networks
from effdet_bench.timing.spec import JobSpec, ModelFiles


class WarmUp(NamedTuple):
    """The last warm-up request: `seconds`, and bytes that a request takes beyond what is kept."""

    seconds: float
    peak: int


class Measurement:
    """One mode in one round, loaded and ready to serve; raw data are appended to its folder.

    Raises:
        UnavailableError: this machine lacks the device or what the engine needs.
        BenchError: a checkpoint is not the verified one, the reference is of another, or threads
            could not be set.
    """

    def __init__(self, spec: JobSpec, networks: Networks | None = None) -> None:
        begin = time.monotonic()
        torch.set_num_threads(spec.threads)
        if torch.get_num_threads() != spec.threads:
            raise BenchError(
                f"torch uses {torch.get_num_threads()} threads instead of {spec.threads}: "
                "set `threads` in config.yaml to what this machine allows."
            )
        self._spec = spec
        self._device = open_device(spec.device)
        networks = networks or load_networks([spec])
        models = [networks.model(files) for files in spec.models]
        self._engine = load_engine(spec.engine, models, self._device, spec.options)
        read = sum(networks.seconds[f.file] for f in spec.models if not f.export)
        self._load_seconds = round(time.monotonic() - begin + read, 3)
        self._photos = _read([Path(path) for path in spec.photos])
        self._unseen = _read(list_photos(spec.unseen)) if spec.unseen else []
        photos, unseen = _digests(self._photos), _digests(self._unseen)
        checks = {
            model.name: Checks(
                model, _references(spec, files, photos, unseen), partial(self._input_of, index)
            )
            for index, (files, model) in enumerate(zip(spec.models, models, strict=True))
        }
        self._capture = Capture(spec.folder, checks)
        self._gpu = Gpu(uuid_of(self._device))
        self._slowed: dict[str, int] = {}
        self._served = 0
        self._timed = 0
        gc.collect()

    def _input_of(self, index: int, encoded: bytes) -> ModelInput:
        """What network `index` gets of the photo `encoded`."""
        return self._engine.preprocess(index, self._engine.decode(encoded))

    @torch.inference_mode()
    def warm_up(self) -> WarmUp:
        """Serves the warm-up requests."""
        seconds = 0.0
        for number in range(self._spec.warmup):
            seconds = self._serve("warmup", 0, *self._photos[number % len(self._photos)])
        return WarmUp(seconds, max(0, _peak_rss() - psutil.Process().memory_info().rss))

    @torch.inference_mode()
    def serve(self, turn: int, photo: int, seconds: float, unseen: bool = False) -> float:
        """Serves as many timed requests as fit into `seconds`, at least one, from `photo` on.

        With `unseen`, the first carries the photo that no mode has been sent before. What a request
        answered is captured after its clock has stopped.

        Returns:
            Seconds that they took.
        """
        spent, count = 0.0, 0
        slowed = self._gpu.slowed_ns()
        first = self._unseen if unseen else []
        while count == 0 or spent + spent / count <= seconds:
            if count < len(first):
                carried = first[count]
            else:
                carried = self._photos[(photo + count - len(first)) % len(self._photos)]
            spent += self._serve("timed", turn, *carried)
            count += 1
        self._count_slowed(slowed)
        return spent

    def _count_slowed(self, before: dict[str, int] | None) -> None:
        """Adds what the GPU's counters went on by since `before`."""
        now = self._gpu.slowed_ns()
        if now is not None and before is not None:
            self._slowed = {k: self._slowed.get(k, 0) + now[k] - before[k] for k in now}

    def _serve(self, phase: str, turn: int, name: str, encoded: bytes) -> float:
        """Serves one request, synchronised at both ends; returns the seconds that it took."""
        meter = Meter()
        latency, answer = self._time_request(encoded)
        effort = meter.read()
        with layout.hidden(self._spec.folder / layout.REQUESTS).open("a", newline="") as out:
            row = (self._served, phase, turn, name, latency, *effort)
            csv.writer(out, lineterminator="\n").writerow(row)
        if phase == "timed":
            self._timed += 1
            self._capture(self._served, name, encoded, answer)
        self._served += 1
        return latency / 1e9

    def _time_request(self, encoded: bytes) -> tuple[int, Answer]:
        """Nanoseconds that one request took, and what it answered."""
        try:
            synchronize(self._device)
            begin = time.perf_counter_ns()
            answer = serve(self._engine, encoded)
            synchronize(self._device)
            return time.perf_counter_ns() - begin, answer
        except Exception as error:
            error.add_note(f"while engines/{self._spec.engine}.py served a request")
            raise

    @torch.inference_mode()
    def finish(self) -> records.Record:
        """The separate pass, and what is known once all is done.

        Times in seconds, memory in bytes, and threads.
        """
        # taken first: what follows is not part of what the figures are about
        memory, on_device = _peak_rss(), self._gpu.own_bytes() or peak_memory(self._device)
        self._time_stages()
        return {
            "requests": self._timed,
            "engine_version": self._engine.version,
            "precision": self._engine.precision,
            "threads_used": torch.get_num_threads(),
            "load_seconds": self._load_seconds,
            "export_seconds": _export_seconds(self._spec.models),
            "versions": engine_versions(self._spec.engine),
            "peak_rss_bytes": memory,
            "peak_device_bytes": on_device,
            "slowed_ns": self._slowed or None,
        }

    def _time_stages(self) -> None:
        """Requests with a synchronisation after each stage."""
        with layout.hidden(self._spec.folder / layout.STAGES).open("a", newline="") as out:
            rows = csv.writer(out, lineterminator="\n")
            for request in range(self._spec.stages):
                name, encoded = self._photos[request % len(self._photos)]
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


def _export_seconds(models: tuple[ModelFiles, ...]) -> float | None:
    """What all exports took, done once by a step of its own; `None` where there are none."""
    taken = [records.read_json(m.export, "export")["seconds"] for m in models if m.export]
    return round(sum(taken), 3) if taken else None


def _read(paths: list[Path]) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in paths]


def _digests(photos: list[tuple[str, bytes]]) -> dict[str, str]:
    return {name: hashlib.sha256(encoded).hexdigest() for name, encoded in photos}


def _references(
    spec: JobSpec, files: ModelFiles, photos: dict[str, str], unseen: dict[str, str]
) -> list[Reference]:
    """What answers of a model are compared with, once known to be of its checkpoint and photos."""
    sources = [(Path(files.reference), photos)]
    if spec.unseen:
        sources.append((layout.unseen_reference(spec.unseen, files.record["model"]), unseen))
    references = []
    for record, known in sources:
        references.append(read_reference(record))
        check_reference(references[-1], files.record["sha256"], known)
    return references


def _peak_rss() -> int:
    """Bytes of the largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
