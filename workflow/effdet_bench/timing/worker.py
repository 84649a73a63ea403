"""A worker of a round: loads one mode, and serves its requests against the clock when told to.

It runs in a process of its own, and sleeps between its turns; `timing.rounds` tells it.
"""

import csv
import gc
import hashlib
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from effdet_bench import layout, records
from effdet_bench.checkpoints.verify import check_file
from effdet_bench.detector.devices import open_device, peak_memory, synchronize
from effdet_bench.detector.ensemble import Model, load_model
from effdet_bench.detector.request import Answer, serve, serve_in_stages
from effdet_bench.engines.base import load_engine
from effdet_bench.errors import BenchError, UnavailableError
from effdet_bench.reference.outputs import Reference, check_reference, read_reference
from effdet_bench.timing.capture import Capture
from effdet_bench.timing.spec import JobSpec, ModelFiles

STAGE_REQUESTS = 1  # of the separate pass; rounds go on where the one before stopped


class Measurement:
    """One mode in one round, loaded and ready to serve; raw data are appended to its folder.

    Raises:
        UnavailableError: this machine lacks the device or what the engine needs.
        BenchError: a checkpoint is not the verified one, the reference is of another, or threads
            could not be set.
    """

    def __init__(self, spec: JobSpec) -> None:
        begin = time.monotonic()
        torch.set_num_threads(spec.threads)
        if torch.get_num_threads() != spec.threads:
            raise BenchError(
                f"torch uses {torch.get_num_threads()} threads instead of {spec.threads}: "
                "set `threads` in config.yaml to what this machine allows."
            )
        self._spec = spec
        self._device = open_device(spec.device)
        models = [_load(files) for files in spec.models]
        self._engine = load_engine(spec.engine, models, self._device, spec.options)
        self._load_seconds = round(time.monotonic() - begin, 3)
        self._requests = _photos(spec.photos, 0, spec.warmup + spec.requests)
        timed = self._requests[spec.warmup :]
        self._capture = Capture(spec.folder, _references(spec.models, timed))
        gc.collect()

    @torch.inference_mode()
    def serve(self, first: int, count: int) -> float:
        """Serves `count` requests from number `first` on, each synchronised at both ends.

        What a timed request answered is captured after its clock has stopped.

        Returns:
            Seconds that the last of them took.
        """
        latency = 0
        with layout.hidden(self._spec.folder / layout.REQUESTS).open("a", newline="") as out:
            rows = csv.writer(out, lineterminator="\n")
            for request in range(first, first + count):
                name, encoded = self._requests[request]
                latency, answer = self._time_request(encoded)
                phase = "warmup" if request < self._spec.warmup else "timed"
                rows.writerow([request, phase, name, latency])
                out.flush()
                if phase == "timed":
                    self._capture(request, name, answer)
                del answer  # its memory is free for the next request, as it would be in use
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
        memory = _peak_rss()
        first = (self._spec.round - 1) * STAGE_REQUESTS
        self._time_stages(_photos(self._spec.photos, first, STAGE_REQUESTS))
        return {
            "engine_version": self._engine.version,
            "precision": self._engine.precision,
            "threads_used": torch.get_num_threads(),
            "load_seconds": self._load_seconds,
            "export_seconds": _export_seconds(self._spec.models),
            "peak_rss_bytes": memory,
            "peak_device_bytes": peak_memory(self._device),
        }

    def _time_stages(self, photos: list[tuple[str, bytes]]) -> None:
        """One request per photo with a synchronisation after each stage."""
        with layout.hidden(self._spec.folder / layout.STAGES).open("a", newline="") as out:
            rows = csv.writer(out, lineterminator="\n")
            for request, (name, encoded) in enumerate(photos):
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


def _load(files: ModelFiles) -> Model:
    """The model of `files` with its verified weights, and its export where it has one."""
    data = check_file(files.file, files.record["sha256"])
    model = load_model(files.record, data, files.file)
    if files.export is None:
        return model
    for path, schema in (
        (files.export, "export"),
        (layout.export_check(files.export), "export_check"),
    ):
        record = records.read_json(path, schema)
        if record["outcome"] == "unavailable":
            raise UnavailableError(record["reason"])
        if record["outcome"] == "failed":
            raise BenchError(record["reason"])
        if record["sha256"] != files.record["sha256"]:
            raise BenchError(f"{path} is of another checkpoint: delete it and run snakemake again.")
    return replace(model, export=layout.export_folder(files.export))


def _export_seconds(models: tuple[ModelFiles, ...]) -> float | None:
    """What all exports took, done once by a step of its own; `None` where there are none."""
    taken = [records.read_json(m.export, "export")["seconds"] for m in models if m.export]
    return round(sum(taken), 3) if taken else None


def _references(
    models: tuple[ModelFiles, ...], requests: list[tuple[str, bytes]]
) -> list[Reference]:
    """The reference of each model, once it is known to be of its checkpoint and of these photos."""
    photos = {name: hashlib.sha256(encoded).hexdigest() for name, encoded in dict(requests).items()}
    references = [read_reference(files.reference) for files in models]
    for files, reference in zip(models, references, strict=True):
        check_reference(reference, files.record["sha256"], photos)
    return references


def _photos(paths: tuple[str, ...], first: int, count: int) -> list[tuple[str, bytes]]:
    """Names and bytes of `count` photos from number `first` on, each file read once."""
    chosen = [Path(paths[number % len(paths)]) for number in range(first, first + count)]
    encoded = {path: path.read_bytes() for path in dict.fromkeys(chosen)}
    return [(path.name, encoded[path]) for path in chosen]


def _peak_rss() -> int:
    """Bytes of the largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
