"""A worker of a round: loads one mode, and serves its requests against the clock when told to.

It runs in a process of its own, and sleeps between its turns; `effdet_bench.rounds` tells it.
"""

import csv
import gc
import hashlib
import multiprocessing
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

import torch

from effdet_bench import records
from effdet_bench.capture import Capture, check_reference
from effdet_bench.checkpoints.verify import check_file
from effdet_bench.devices import open_device, peak_memory, synchronize
from effdet_bench.engine import load_engine
from effdet_bench.ensemble import Model, load_model
from effdet_bench.errors import BenchError, UnavailableError, outcome_of
from effdet_bench.reference import Reference, read_reference
from effdet_bench.request import serve

STAGE_REQUESTS = 1  # of the separate pass; rounds go on where the one before stopped


class Measurement:
    """One mode in one round, loaded and ready to serve; what it finds is appended to `folder`.

    `spec` holds device, engine, options, exports (a record per model, for engines that have them),
    round, models (a record of `verify` each, whose `file` is the path, and `reference`), photos
    (paths), requests, warmup and threads.

    Raises:
        UnavailableError: this machine lacks the device or what the engine needs.
        BenchError: a checkpoint is not the verified one, the reference is of another, or threads
            could not be set.
    """

    def __init__(self, spec: dict, folder: Path) -> None:
        begin = time.monotonic()
        torch.set_num_threads(spec["threads"])
        if torch.get_num_threads() != spec["threads"]:
            raise BenchError(
                f"torch uses {torch.get_num_threads()} threads instead of {spec['threads']}: "
                "set `threads` in config.yaml to what this machine allows."
            )
        self._spec, self._folder = spec, folder
        self._device = open_device(spec["device"])
        exports = [records.read_json(path, "export") for path in spec["exports"]]
        models = [
            load_model(entry, check_file(entry["file"], entry["sha256"]), entry["file"])
            for entry in spec["models"]
        ]
        if exports:
            models = list(map(_exported, models, spec["models"], spec["exports"], exports))
        self._engine = load_engine(spec["engine"], models, self._device, spec["options"])
        self._load_seconds = round(time.monotonic() - begin, 3)
        self._export_seconds = round(sum(one["seconds"] for one in exports), 3) if exports else None
        self._requests = _photos(spec["photos"], 0, spec["warmup"] + spec["requests"])
        timed = self._requests[spec["warmup"] :]
        self._capture = Capture(folder, _references(spec["models"], timed))
        gc.collect()

    def serve(self, first: int, count: int) -> float:
        """Serves `count` requests from number `first` on, each synchronised at both ends.

        What a timed request answered is captured after its clock has stopped.

        Returns:
            Seconds that the last of them took.
        """
        with (self._folder / ".requests.csv").open("a", newline="") as out:
            rows = csv.writer(out, lineterminator="\n")
            for request in range(first, first + count):
                name, encoded = self._requests[request]
                synchronize(self._device)
                begin = time.perf_counter_ns()
                answer = serve(self._engine, encoded)
                synchronize(self._device)
                latency = time.perf_counter_ns() - begin
                phase = "warmup" if request < self._spec["warmup"] else "timed"
                rows.writerow([request, phase, name, latency])
                out.flush()
                if phase == "timed":
                    self._capture(request, name, answer)
                del answer  # its memory is free for the next request, as it would be in use
        return latency / 1e9

    def finish(self) -> dict:
        """The separate pass, and what is known once all is done.

        Times in seconds, memory in bytes, and threads.
        """
        # taken first: what follows is not part of what the figures are about
        memory = _peak_rss()
        first = (self._spec["round"] - 1) * STAGE_REQUESTS
        self._time_stages(_photos(self._spec["photos"], first, STAGE_REQUESTS))
        return {
            "engine_version": self._engine.version,
            "precision": self._engine.precision,
            "threads_used": torch.get_num_threads(),
            "load_seconds": self._load_seconds,
            "export_seconds": self._export_seconds,
            "peak_rss_bytes": memory,
            "peak_device_bytes": peak_memory(self._device),
        }

    def _time_stages(self, photos: list[tuple[str, bytes]]) -> None:
        """One request per photo with a synchronisation after each stage."""
        with (self._folder / ".stages.csv").open("a", newline="") as out:
            rows = csv.writer(out, lineterminator="\n")
            for request, (name, encoded) in enumerate(photos):
                marks: list[tuple[str, str, int]] = []

                def mark(stage: str, model: str, marks: list = marks) -> None:
                    synchronize(self._device)
                    marks.append((stage, model, time.perf_counter_ns()))

                synchronize(self._device)
                before = time.perf_counter_ns()
                serve(self._engine, encoded, mark)
                for stage, model, at in marks:
                    rows.writerow([request, name, stage, model, at - before])
                    before = at


def work(turns: Connection, make: Callable, *arguments: object) -> None:
    """Calls methods of `make(*arguments)` as `turns` names them, until it says `None`.

    Sends (`completed`, what the method returned) after each, and once it is made; on an error
    (`unavailable` or `failed`, the reason), and ends.
    """
    try:
        made = make(*arguments)
        turns.send(("completed", None))
        with torch.inference_mode():
            while (asked := _next_turn(turns)) is not None:
                method, *arguments = asked
                turns.send(("completed", getattr(made, method)(*arguments)))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return
    except Exception as error:
        if not isinstance(error, BenchError):
            traceback.print_exc()
        turns.send(tuple(outcome_of(error).values()))


def _next_turn(turns: Connection) -> tuple | None:
    """What is asked for next; `None` at the end, or once the process that gives turns has died."""
    # not by the end of `turns`: forked processes hold both of its ends open
    ready = wait([turns, multiprocessing.parent_process().sentinel])
    return turns.recv() if turns in ready else None


def _exported(model: Model, entry: dict, path: str, record: dict) -> Model:
    """`model` with the export that `record`, read from `path`, is of."""
    if record["outcome"] == "unavailable":
        raise UnavailableError(record["reason"])
    if record["outcome"] == "failed":
        raise BenchError(record["reason"])
    if record["sha256"] != entry["sha256"]:
        raise BenchError(f"{path} is of another checkpoint: delete it and run snakemake again.")
    return replace(model, export=Path(path).with_suffix(""))


def _references(models: list[dict], requests: list[tuple[str, bytes]]) -> list[Reference]:
    """The reference of each model, once it is known to be of its checkpoint and of these photos."""
    photos = {name: hashlib.sha256(encoded).hexdigest() for name, encoded in dict(requests).items()}
    references = [read_reference(entry["reference"]) for entry in models]
    for entry, reference in zip(models, references, strict=True):
        check_reference(reference, entry["sha256"], photos)
    return references


def _photos(paths: list[str], first: int, count: int) -> list[tuple[str, bytes]]:
    """Names and bytes of `count` photos from number `first` on, each file read once."""
    chosen = [Path(paths[number % len(paths)]) for number in range(first, first + count)]
    encoded = {path: path.read_bytes() for path in dict.fromkeys(chosen)}
    return [(path.name, encoded[path]) for path in chosen]


def _peak_rss() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
