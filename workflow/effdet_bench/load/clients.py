"""A closed loop: clients that each send the next request once the last one is answered."""

import threading
import time

from effdet_bench.load.service import Done, Service


class Clients:
    """`count` clients of `service`, which send `photos` photos in turn.

    Each time round, the turn begins one photo later. Otherwise, instances that take requests in
    turn would always get the same photos.
    """

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

    def run(self, seconds: float, judged: int = 0) -> list[Done]:
        """Sends requests for `seconds`, and on until each of `judged` instances has answered every
        photo; returns what became of every request. If `judged`, instances capture their answers.
        """
        self._pairs = judged * self._photos
        self._until = time.monotonic_ns() + int(seconds * 1e9)
        self._service.serve(self._answered, judged > 0)
        self._send(self._count)
        self._over.wait()
        return self.done

    def _send(self, count: int) -> None:
        with self._lock:
            numbers = range(self._sent, self._sent + count)
            requests = [(n, (n + n // self._photos) % self._photos) for n in numbers]
            self._sent += count
            self._open += count
        self._service.submit(requests)

    def _answered(self, done: list[Done]) -> None:
        with self._lock:
            self.done += done
            self._open -= len(done)
            alive = all(one.answer for one in done)
            # an instance that died will never answer every photo
            lacking = self._service.outcome.completed and self._answered_pairs() < self._pairs
            early = done[-1].answered_ns < self._until or lacking
        if alive and early:
            self._send(len(done))
        elif self._open == 0:
            self._over.set()

    def _answered_pairs(self) -> int:
        """How many pairs of an instance and a photo were answered."""
        return len({(one.instance, one.request.photo) for one in self.done})
