"""The child of a timing job: loads an engine, serves requests against the clock, writes them down.

Run as `python -m effdet_bench.measure SPEC FOLDER` by `effdet_bench.timing` alone.
"""

import csv
import gc
import hashlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from effdet_bench.errors import BenchError, UnavailableError

PROGRESS_SECONDS = 5.0
STAGE_REQUESTS = 2  # of the separate pass; rounds go on where the one before stopped


def measure(spec: dict, folder: Path) -> dict:
    """Serves the warm-up, timed and stage requests of `spec`, and appends them to `folder`.

    `spec` holds device, engine, round, models (model, file, sha256, reference), photos (paths),
    requests, warmup, threads and label.

    Returns:
        What is known once all is done: times in seconds, peak memory in bytes, threads, and what
        the machine was like around the timed requests.

    Raises:
        UnavailableError: this machine lacks the device or what the engine needs.
        BenchError: a checkpoint is not the verified one, the reference is of another, or threads
            could not be set.
    """
    clock = time.monotonic()
    import torch

    from effdet_bench.capture import Capture
    from effdet_bench.checkpoints.verify import check_file
    from effdet_bench.conditions import Load, drift_probe, gpu_state, power
    from effdet_bench.devices import open_device, peak_memory
    from effdet_bench.engine import load_engine
    from effdet_bench.ensemble import load_model

    imported = time.monotonic()
    torch.set_num_threads(spec["threads"])
    if torch.get_num_threads() != spec["threads"]:
        raise BenchError(
            f"torch uses {torch.get_num_threads()} threads instead of {spec['threads']}: "
            "set `threads` in config.yaml to what this machine allows."
        )
    device = open_device(spec["device"])
    models = [
        load_model(entry["model"], check_file(entry["file"], entry["sha256"]), entry["file"])
        for entry in spec["models"]
    ]
    engine = load_engine(spec["engine"], models, device)
    loaded = time.monotonic()
    total = spec["warmup"] + spec["requests"]
    requests = _photos(spec["photos"], 0, total)
    staged = _photos(spec["photos"], (spec["round"] - 1) * STAGE_REQUESTS, STAGE_REQUESTS)
    capture = Capture(folder, _references(spec["models"], requests[spec["warmup"] :]))
    before = {"probe_ms": drift_probe(device), "gpu": gpu_state(device)}
    load = Load()
    with torch.inference_mode():
        _time_requests(engine, requests, capture, spec, folder / ".requests.csv")
        shares = load.shares()
        # taken here: what follows is not part of what the figures are about
        memory = _peak_rss()
        after = {"probe_ms": drift_probe(device), "gpu": gpu_state(device)}
        _time_stages(engine, staged, folder / ".stages.csv")
    return {
        "engine_version": engine.version,
        "precision": engine.precision,
        "threads_used": torch.get_num_threads(),
        "import_seconds": round(imported - clock, 3),
        "load_seconds": round(loaded - imported, 3),
        "peak_rss_bytes": memory,
        "peak_device_bytes": peak_memory(device),
        "conditions": {"before": before, "after": after, "load": shares, "power": power()},
    }


def _references(models: list[dict], requests: list[tuple[str, bytes]]) -> list:
    """The reference of each model, once it is known to be of its checkpoint and of these photos."""
    from effdet_bench.capture import check_reference
    from effdet_bench.reference import read_reference

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


def _time_requests(
    engine, photos: list[tuple[str, bytes]], capture, spec: dict, path: Path
) -> None:
    """One request per photo in turn, warm-up first, each synchronised at both ends.

    What a timed request answered is captured after its clock has stopped.
    """
    from effdet_bench.devices import synchronize
    from effdet_bench.request import serve

    device = engine.device
    progress = _progress(spec["label"], len(photos))
    with path.open("a", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        gc.collect()
        for request, (name, encoded) in enumerate(photos):
            synchronize(device)
            begin = time.perf_counter_ns()
            answer = serve(engine, encoded)
            synchronize(device)
            latency = time.perf_counter_ns() - begin
            phase = "warmup" if request < spec["warmup"] else "timed"
            rows.writerow([request, phase, name, latency])
            out.flush()
            if phase == "timed":
                capture(request, name, answer)
            del answer  # its memory is free for the next request, as it would be in use
            next(progress)


def _time_stages(engine, photos: list[tuple[str, bytes]], path: Path) -> None:
    """One request per photo with a synchronisation after each stage, apart from the timed ones."""
    from effdet_bench.devices import synchronize
    from effdet_bench.request import serve

    with path.open("a", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        for request, (name, encoded) in enumerate(photos):
            marks: list[tuple[str, str, int]] = []

            def mark(stage: str, model: str, marks: list = marks) -> None:
                synchronize(engine.device)
                marks.append((stage, model, time.perf_counter_ns()))

            synchronize(engine.device)
            before = time.perf_counter_ns()
            serve(engine, encoded, mark)
            for stage, model, at in marks:
                rows.writerow([request, name, stage, model, at - before])
                before = at


def _progress(label: str, total: int) -> Iterator[None]:
    """Tells the terminal, a few seconds apart and between requests, how far the job is."""
    begin = told = time.monotonic()
    for done in range(1, total + 1):
        now = time.monotonic()
        if now - told >= PROGRESS_SECONDS or done == total:
            told = now
            left = (now - begin) / done * (total - done)
            text = f"{label}: {done}/{total} requests, about {left:.0f} s left"
            print(text, file=sys.stderr, flush=True)
        yield


def _peak_rss() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    spec, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
    try:
        result = {"outcome": "completed", "reason": None, **measure(spec, folder)}
    except BenchError as error:
        outcome = "unavailable" if isinstance(error, UnavailableError) else "failed"
        result = {"outcome": outcome, "reason": str(error)}
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        traceback.print_exc()
        text = " ".join(str(error).split())[:300]
        result = {"outcome": "failed", "reason": f"{type(error).__name__}: {text}"}
    (folder / ".result.json").write_text(json.dumps(result))
    sys.stderr.flush()
    # all is written, and tearing torch down takes up to 2 s
    os._exit(0)


if __name__ == "__main__":
    main()
