"""LoadGen on a service over HTTP: python tests/http_load.py URL RATE SECONDS BOUND_MS

Sends the shipped photos to URL/detect by Poisson arrivals (MLPerf's scenario Server) at RATE
requests a second, for SECONDS. Prints LoadGen's verdict for 90 % of requests within BOUND_MS, and
the latencies by the status of the answer. Run it beside the load test of the same mode to see what
HTTP costs; it wants an otherwise idle machine, so it is no part of `make test`.
"""

import sys
import tempfile
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import requests

from effdet_bench.load import loadgen
from helpers import SHIPPED

CLIENTS = 200


class Request(NamedTuple):
    key: int


class Done(NamedTuple):
    request: Request


class HttpService:
    """What LoadGen needs of a service: each request is one POST of a client."""

    def __init__(self, url: str, photos: list[bytes]) -> None:
        self._url, self._photos = f"{url}/detect", photos
        self._clients = ThreadPoolExecutor(CLIENTS)
        self._local = threading.local()
        self.taken: dict[int | str, list[float]] = defaultdict(list)

    def serve(self, answered: Any) -> None:
        self._answered = answered

    def submit(self, asked: list[tuple[int, int]]) -> None:
        for key, place in asked:
            self._clients.submit(self._send, key, place, time.monotonic())

    def _send(self, key: int, place: int, begin: float) -> None:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        try:
            sent = self._local.session.post(self._url, data=self._photos[place], timeout=60)
            status: int | str = sent.status_code
        except requests.RequestException as error:
            status = type(error).__name__
        self.taken[status].append(1e3 * (time.monotonic() - begin))
        self._answered([Done(Request(key))])


def main(url: str, rate: float, seconds: float, bound_ms: float) -> None:
    photos = [path.read_bytes() for path in sorted(SHIPPED.glob("*.jpg"))]
    service: Any = HttpService(url, photos)
    with tempfile.TemporaryDirectory() as folder:
        asked = loadgen.Scenario("Server", seconds, 1, rate, bound_ms)
        loadgen.run(service, asked, len(photos), Path(folder))
        verdict = loadgen.read_verdict(Path(folder))
    print(f"LoadGen: valid {verdict.valid}, {verdict.scheduled_rps} requests/s were scheduled")
    for status, taken in sorted(service.taken.items(), key=str):
        p50, p90, p99 = np.percentile(taken, (50, 90, 99))
        print(f"{status}: {len(taken)}, p50 {p50:.0f} ms, p90 {p90:.0f}, p99 {p99:.0f}")


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
