"""The server: instances of a detector behind one queue, each on cores of its own."""

import argparse
import logging
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Annotated

import litserve
import numpy as np
from fastapi import Body, HTTPException, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import AfterValidator
from pydantic_core import to_json

from effdet_runtime.bundle import read_bundle
from effdet_runtime.detector import Detector
from effdet_runtime.errors import DeploymentError, PhotoError, PhotoTooLargeError
from effdet_runtime.results import Detections, Result
from effdet_runtime.service.limits import DETECT, Limiter, Limits, log

TOPOLOGY = Path("/sys/devices/system/cpu")


class Encoded(bytes):
    """An encoded photo that prints as its size.

    LitServe formats every request for a log that nobody reads. The text of a photo of 200 kB would
    take 2 ms.
    """

    def __str__(self) -> str:
        return f"{len(self)} bytes"

    def __reduce__(self) -> tuple[type[bytes], tuple[bytes]]:
        return bytes, (bytes(self),)  # LitServe's other processes need not import this module


class Api(litserve.LitAPI):  # type: ignore[misc]
    """Serves the bundle in the folder `bundle`, in every instance on `threads` threads.

    With `merge`, an answer is one table of all models.
    """

    def __init__(self, bundle: Path, threads: int, max_pixels: int, merge: bool) -> None:
        super().__init__(api_path=DETECT)
        self._given = bundle, threads, max_pixels
        self._merge = merge

    def setup(self, device: str) -> None:
        """Loads the detector of one instance, in a process of its own."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends its instances
        bundle, threads, max_pixels = self._given
        # before the engine starts its threads, which then run on the same cores; LitServe numbers
        # its instances by this variable
        pin(int(os.environ["LITSERVE_WORKER_ID"]), threads)
        self._detect = Detector(bundle, threads, max_pixels)
        # the first request takes up to twice as long, and `/ready` promises usual latencies
        self._detect(np.zeros((480, 640, 3), np.uint8))

    def decode_request(
        self, request: Annotated[bytes, Body(media_type="image/jpeg"), AfterValidator(Encoded)]
    ) -> bytes:
        return request

    def predict(self, encoded: bytes) -> Result:
        try:
            return self._detect(encoded)
        except PhotoTooLargeError as error:
            raise HTTPException(413, str(error)) from None
        except PhotoError as error:
            raise HTTPException(400, str(error)) from None

    def encode_response(self, result: Result) -> Response:
        tables = [result.merged()] if self._merge else result.models.values()
        answer = {"size": result.size, "models": {one.model: _rows(one) for one in tables}}
        return Response(to_json(answer), media_type="application/json")


def _rows(found: Detections) -> list[dict[str, object]]:
    return [
        {"box": box, "score": score, "class_id": class_id, "class_name": name}
        for box, score, class_id, name in zip(
            found.boxes.astype(float).round(2).tolist(),
            found.scores.astype(float).round(5).tolist(),
            found.class_ids.tolist(),
            found.class_names,
            strict=True,
        )
    ]


def pin(instance: int, threads: int) -> None:
    """Keeps this process on its share of the cores, where the system allows that."""
    if hasattr(os, "sched_setaffinity"):
        cores = physical_cores()
        own = cores[instance * threads : (instance + 1) * threads]
        os.sched_setaffinity(0, [cpu for core in own or cores for cpu in core])


def physical_cores() -> list[list[int]]:
    """The logical CPUs of each core on which this process may run (Linux).

    As in `effdet_bench.facts.cores`, by which the load test splits the cores. A bundle lacks that
    module, and planning a run must not import this package with NumPy.
    """
    cores: dict[str, list[int]] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = TOPOLOGY / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        cores.setdefault(siblings.read_text() if siblings.exists() else str(cpu), []).append(cpu)
    return list(cores.values())


def serve(args: argparse.Namespace) -> None:
    """The command `serve`.

    Raises:
        BundleError: the bundle cannot be used.
        DeploymentError: there are fewer cores than instances × threads.
    """
    bundle = read_bundle(args.bundle)
    measured = bundle.record["service"]
    instances = args.instances or measured["instances"]
    threads = args.threads or measured["threads"]
    cores = len(physical_cores()) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if cores and instances * threads > cores:
        raise DeploymentError(
            f"{instances} instances of {threads} threads need {instances * threads} cores, but "
            f"there are {cores}: set --instances and --threads."
        )
    # A request that begins later would hardly end before the deadline. With fewer threads than in
    # the measurement, it takes longer.
    slower = max(1, bundle.record["threads"] / threads)
    begin_within = args.deadline - slower * bundle.record["measured"]["p90_ms"] / 1e3
    if begin_within <= 0:
        raise DeploymentError(f"--deadline {args.deadline:g} is too short for one request.")
    # A trial first, because LitServe would show an error of the bundle as a traceback. It has a
    # process of its own, whose memory ends with it.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as trial:
        try:
            trial.submit(_try, args.bundle, threads).result()
        except BrokenProcessPool:
            raise DeploymentError(
                "a process that loaded the bundle was killed: give this machine more memory."
            ) from None
    limits = Limits(args.max_bytes, args.body_seconds, args.deadline, instances + args.queue)
    _stop_as_on_ctrl_c()
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    log.info(
        "%s: starts %d instance%s (threads of each: %d) for http://%s:%d%s; Ctrl-C stops it",
        bundle.root.resolve().name, instances, "s" * (instances > 1), threads,
        args.host, args.port, DETECT,
    )  # fmt: skip
    server = litserve.LitServer(
        Api(args.bundle.resolve(), threads, args.max_pixels, args.merge),
        accelerator="cpu",
        workers_per_device=instances,
        timeout=begin_within,
        healthcheck_path="/ready",
        middlewares=[(Limiter, {"limits": limits})],
        disable_openapi_url=True,
        restart_workers=True,
    )
    server.app.get("/health")(health)
    server.app.get("/metrics")(metrics)
    server.run(
        host=args.host,
        port=args.port,
        num_api_servers=1,  # one queue, so that its bound and the metrics are those of all requests
        generate_client_file=False,
        access_log=False,
        log_level="warning",
    )


def _try(bundle: Path, threads: int) -> None:
    Detector(bundle, threads).close()


def _stop_as_on_ctrl_c() -> None:
    """Has SIGTERM do what Ctrl-C does: LitServe answers what it accepted, and ends its instances.

    Its web server is a fork of this process, which ends by itself.
    """
    main = os.getpid()

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt if os.getpid() == main else SystemExit(0)

    signal.signal(signal.SIGTERM, stop)


def health() -> dict[str, str]:
    """Whether the server lives; `/ready` says whether all instances are loaded."""
    return {"status": "ok"}


def metrics() -> Response:
    """The metrics in the format of Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
