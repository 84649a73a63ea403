"""A closed loop: clients that each send the next request once the last one is answered."""

import threading
import time

from effdet_bench.load.service import Done, Service


class Clients:
    """`count` clients of `service`, who carry `photos` photos in turn, for `seconds`."""

    def __init__(self, service: Service, count: int, photos: int) -> None:
        self._service = service
        self._count = count
        self._photos = photos
        self._sent = 0
        self._open = 0
        self._until = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.done: list[Done] = []

    def run(self, seconds: float, at_least: int = 0, judged: bool = False) -> list[Done]:
        """What became of every request: those of `seconds`, and `at_least` as many."""
        self._at_least = at_least
        self._until = time.monotonic_ns() + int(seconds * 1e9)
        self._service.serve(self._answered, judged)
        self._send(self._count)
        self._over.wait()
        return self.done

    def _send(self, count: int) -> None:
        with self._lock:
            requests = [(n, n % self._photos) for n in range(self._sent, self._sent + count)]
            self._sent += count
            self._open += count
        self._service.submit(requests)

    def _answered(self, done: list[Done]) -> None:
        with self._lock:
            self.done += done
            self._open -= len(done)
            alive = all(one.answer for one in done)
            early = done[-1].answered_ns < self._until or len(self.done) < self._at_least
        if alive and early:
            self._send(len(done))
        elif self._open == 0:
            self._over.set()
