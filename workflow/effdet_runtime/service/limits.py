"""What is refused before it costs anything, and what is counted: a layer around the server.

As an ASGI application, it stands between the web server and LitServe.
"""

import asyncio
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from prometheus_client import Counter, Gauge, Histogram

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

DETECT = "/detect"
BUFFERED = 256 * 2**20  # bytes of photos that all clients together may be sending
LATENCIES = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)  # seconds

log = logging.getLogger("effdet_runtime")
requests = Counter("effdet_requests", "Requests by the status of their answer", ["status"])
seconds = Histogram(
    "effdet_request_seconds",
    "From the whole photo to the answer, of requests with status 200",
    buckets=LATENCIES,
)
accepted = Gauge("effdet_accepted", "Requests that wait for an instance or are being served")
sending = Gauge("effdet_receiving_bytes", "Bytes of photos that clients are still sending")
rejected = Counter("effdet_rejected", "Requests that were refused, by the reason", ["reason"])


class Limits(NamedTuple):
    """`max_bytes` of a photo, `body_seconds` in which it must arrive, `deadline` in seconds from
    the whole photo to the answer, and how many requests may be `accepted` at once.
    """

    max_bytes: int
    body_seconds: float
    deadline: float
    accepted: int


class RefusedError(Exception):
    """A request that is answered with `status` and one sentence."""

    def __init__(self, status: int, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.reason = status, reason


class Limiter:
    """Lets a request through to `app` once its whole body is there, if it keeps the `limits`."""

    def __init__(self, app: Application, limits: Limits) -> None:
        self.app, self.limits = app, limits
        self._accepted = self._sending = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != DETECT or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        answer = Answer(send)
        begin = time.perf_counter()
        size = 0
        try:
            body = await self._body(scope, receive)
            if body is None:
                requests.labels("gone").inc()
                return
            size, begin = len(body), time.perf_counter()
            await self._serve(scope, body, receive, answer)
        except RefusedError as refused:
            rejected.labels(refused.reason).inc()
            await answer.refuse(refused, math.ceil(self.limits.deadline))
        taken = time.perf_counter() - begin
        requests.labels(str(answer.status)).inc()
        if answer.status == 200:
            seconds.observe(taken)
        client = (scope.get("client") or ["-"])[0]
        log.info("%s %d %d bytes %.1f ms", client, answer.status, size, 1e3 * taken)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; `None` if the client went away."""
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                return await self._received(scope, receive)
        except TimeoutError:
            limit = self.limits.body_seconds
            raise RefusedError(408, "slow", f"the photo must arrive within {limit:g} s.") from None

    async def _received(self, scope: Scope, receive: Receive) -> bytes | None:
        headers = dict(scope["headers"])
        if int(headers.get(b"content-length", b"0")) > self.limits.max_bytes:
            raise self._too_large()
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                part = message.get("body", b"")
                size += len(part)
                self._count_bytes(len(part))
                parts.append(part)
                if size > self.limits.max_bytes:
                    raise self._too_large()
                if not message.get("more_body"):
                    break
        finally:
            self._count_bytes(-size)
        if not size:
            raise RefusedError(400, "empty", "the body is empty: send a photo.")
        return b"".join(parts)

    def _count_bytes(self, size: int) -> None:
        self._sending += size
        sending.set(self._sending)
        if size > 0 and self._sending > BUFFERED:
            raise RefusedError(503, "buffer", "too many photos are being sent: try again later.")

    async def _serve(self, scope: Scope, body: bytes, receive: Receive, answer: "Answer") -> None:
        if self._accepted >= self.limits.accepted:
            raise RefusedError(503, "queue", "the queue is full: try again later.")
        # whatever the client calls it: the web framework would parse JSON
        kept = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
        raw = {**scope, "headers": [*kept, (b"content-type", b"application/octet-stream")]}
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Message:
            return next(given, None) or await receive()

        # counted at once, because a task starts later, and other requests may be let through before
        self._change(1)
        serving = asyncio.create_task(self._served(raw, replay, answer))
        done, _ = await asyncio.wait({serving}, timeout=self.limits.deadline)
        if not done:
            raise RefusedError(504, "deadline", "the answer took too long.")
        await serving

    async def _served(self, scope: Scope, receive: Receive, answer: "Answer") -> None:
        """A request counts as accepted until the server is done with it, even after its deadline.

        But not for ever: LitServe never answers a request whose instance died.
        """
        try:
            async with asyncio.timeout(2 * self.limits.deadline):
                await self.app(scope, receive, answer.send)
        except TimeoutError:
            log.warning("an instance did not answer: it died, or hangs")
        finally:
            self._change(-1)

    def _change(self, number: int) -> None:
        self._accepted += number
        accepted.set(self._accepted)

    def _too_large(self) -> RefusedError:
        limit = self.limits.max_bytes
        return RefusedError(
            413, "bytes", f"the photo is larger than {limit} bytes: send a smaller one."
        )


class Answer:
    """The answer to a request, whose `status` is known once it begins."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = self._refused = False
        self.status = 500

    async def send(self, message: Message) -> None:
        """Sends a message of the server, unless the request was refused before."""
        if self._refused:
            return
        if message["type"] == "http.response.start":
            self._begun, self.status = True, message["status"]
        await self._send(message)

    async def refuse(self, refused: RefusedError, retry_seconds: int) -> None:
        """Answers a request that is refused, unless its answer has begun."""
        if self._begun:
            return
        self._refused, self.status = True, refused.status
        headers = [(b"content-type", b"application/json")]
        if refused.status == 503:
            headers.append((b"retry-after", str(retry_seconds).encode()))
        else:
            # what the client still sends is not read
            headers.append((b"connection", b"close"))
        body = json.dumps({"detail": str(refused)}).encode()
        start = {"type": "http.response.start", "status": refused.status, "headers": headers}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})
