"""A bundle behind HTTP, under use and abuse: every request gets a status, and the service lives."""

import asyncio
import contextlib
import inspect
import io
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests
from PIL import Image
from pydantic import TypeAdapter

from effdet_runtime import Detector
from effdet_runtime.service import server
from effdet_runtime.service.limits import Limiter, Limits
from helpers import SHIPPED

PHOTOS = [path.read_bytes() for path in sorted(SHIPPED.glob("*.jpg"))[:3]]


class Service:
    """A running service of `bundle`, with its address and its log."""

    def __init__(self, bundle: Path, log: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url, self.log = f"http://127.0.0.1:{self.port}", log
        command = [sys.executable, "-m", "effdet_runtime", "serve", "--bundle", str(bundle)]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *options],
            env={**os.environ, "PYTHONPATH": str(bundle)},
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
        )
        self.family = []
        self.wait()

    def wait(self) -> None:
        """Until all instances are loaded."""
        for _ in range(600):
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{self.url}/ready", timeout=5).status_code == 200:
                    self.family = psutil.Process(self.process.pid).children(recursive=True)
                    return
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def instances(self) -> list[psutil.Process]:
        return [one for one in self.family if "spawn_main" in " ".join(one.cmdline())]

    def post(self, photo: bytes, **options) -> requests.Response:
        return requests.post(f"{self.url}/detect", data=photo, timeout=60, **options)

    def raw(self, *parts: bytes, pause: float = 0, length: int | None = None) -> bytes:
        """What comes back for a request whose body is sent in `parts`."""
        size = sum(map(len, parts)) if length is None else length
        head = f"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            with contextlib.suppress(OSError):  # the service answers, and reads no more
                for part in (head, *parts):
                    connection.sendall(part)
                    time.sleep(pause)
            return connection.recv(4096)

    def metric(self, name: str) -> float:
        lines = requests.get(f"{self.url}/metrics", timeout=5).text.splitlines()
        values = [float(line.split()[-1]) for line in lines if line.startswith(name)]
        assert values, name
        return sum(values)


@pytest.fixture(scope="module")
def service(bundle, tmp_path_factory):
    options = ["--body-seconds", "1", "--max-bytes", "1000000", "--max-pixels", "3000000"]
    running = Service(bundle, tmp_path_factory.mktemp("service") / "log.txt", *options)
    yield running
    running.process.terminate()
    running.process.wait(60)


def test_it_answers_as_the_detector_does(service, bundle):
    with Detector(bundle) as detect:
        for photo in PHOTOS:
            answer = service.post(photo, headers={"Content-Type": "image/jpeg"}).json()
            expected = detect(photo)
            assert answer["size"] == list(expected.size)
            (found,) = answer["models"].values()
            (own,) = expected.models.values()
            assert [row["class_name"] for row in found] == list(own.class_names)
            boxes = [row["box"] for row in found]
            assert abs(own.boxes - boxes).max() < 0.02


def test_litserve_formats_a_photo_as_its_size_and_hands_on_its_bytes():
    given = inspect.signature(server.Api.decode_request).parameters["request"].annotation
    photo = TypeAdapter(given).validate_python(PHOTOS[0])
    assert f"{photo}" == f"{len(PHOTOS[0])} bytes"
    handed_on = pickle.loads(pickle.dumps(photo))
    assert type(handed_on) is bytes
    assert handed_on == PHOTOS[0]


def test_it_says_that_it_lives_is_ready_and_what_it_did(service):
    before = service.metric('effdet_requests_total{status="200"}')
    service.post(PHOTOS[0])
    assert requests.get(f"{service.url}/health", timeout=5).json() == {"status": "ok"}
    assert service.metric('effdet_requests_total{status="200"}') == before + 1
    assert service.metric("effdet_request_seconds_count") >= before + 1
    assert service.metric("effdet_accepted") == 0
    last = service.log.read_text().splitlines()[-1]
    assert f" 127.0.0.1 200 {len(PHOTOS[0])} bytes " in last


def plain(side: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("photo", "status", "words"),
    [
        (b"", 400, "body is empty"),
        (b"no photo", 400, "no photo in a known format"),
        (plain(20, "PPM"), 400, "no photo in a known format"),
        (PHOTOS[0][: len(PHOTOS[0]) // 2], 400, "truncated"),
        (plain(2000), 413, "2000 x 2000 pixels, but at most 3000000"),
        (plain(20_000), 413, "too large"),
        (bytes(1_000_001), 413, "larger than 1000000 bytes"),
    ],
)
def test_what_cannot_be_served_is_refused_in_a_sentence(service, photo, status, words):
    answer = service.post(photo)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert service.post(PHOTOS[0]).status_code == 200


def test_bodies_that_do_not_come_cost_nothing(service):
    assert b" 408 " in service.raw(PHOTOS[0][:100], pause=0.3, length=5000)
    assert b" 408 " in service.raw(*[b"x"] * 6, pause=0.3, length=5000)
    # chunks without an end, and a length that lies
    head = b"POST /detect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(head + b"80000\r\n" + bytes(0x80000) + b"\r\n")
            connection.sendall(b"80000\r\n" + bytes(0x80000) + b"\r\n")
        assert b" 413 " in connection.recv(4096)
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\nhalf")
    assert service.post(PHOTOS[0]).status_code == 200
    assert service.metric("effdet_receiving_bytes") == service.metric("effdet_accepted") == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/detect", 405), ("POST", "/elsewhere", 404), ("GET", "/docs", 404)],
)
def test_other_requests_have_the_usual_status(service, method, path, status):
    assert requests.request(method, service.url + path, timeout=5).status_code == status


def test_it_serves_beside_hundreds_of_idle_and_slow_connections(service):
    idle = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(300)]
    for number, connection in enumerate(idle):
        if number % 2:
            connection.sendall(b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\nx")
    assert service.post(PHOTOS[0]).status_code == 200
    for connection in idle:
        connection.close()
    assert service.post(PHOTOS[0]).status_code == 200


def test_the_queue_is_bounded_for_requests_that_arrive_together():
    async def app(scope, receive, send):
        await receive()
        await asyncio.sleep(0.1)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    limiter = Limiter(app, Limits(max_bytes=10, body_seconds=9, deadline=9, accepted=3))
    statuses = []

    async def receive():
        return {"type": "http.request", "body": b"photo", "more_body": False}

    async def send(message):
        statuses.append(message.get("status"))

    async def fifty():
        scope = {"type": "http", "path": "/detect", "method": "POST", "headers": []}
        for _ in range(2):
            await asyncio.gather(*(limiter(scope, receive, send) for _ in range(50)))

    asyncio.run(fifty())
    assert (statuses.count(200), statuses.count(503)) == (6, 94)


def test_a_core_of_an_instance_has_all_its_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "TOPOLOGY", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3, 4})
    pinned = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cpus: pinned.append(cpus))
    for cpu, siblings in enumerate(["0-1", "0-1", "2,4", "3", "2,4"]):
        path = tmp_path / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        path.parent.mkdir(parents=True)
        path.write_text(siblings)
    for instance in range(3):
        server.pin(instance, 1)
    server.pin(0, 2)
    assert pinned == [[0, 1], [2, 4], [3], [0, 1, 2, 4]]


def test_a_full_queue_refuses_at_once_and_the_rest_is_served(bundle, tmp_path):
    full = Service(bundle, tmp_path / "log.txt", "--queue", "1")
    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(full.post, PHOTOS * 8))
    found = {answer.status_code for answer in answers}
    assert found == {200, 503}
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["Retry-After"] == "5"
    assert full.metric('effdet_rejected_total{reason="queue"}') > 0
    # on SIGTERM the service answers the requests that it accepted, and leaves no process
    with ThreadPoolExecutor(1) as client:
        last = client.submit(full.post, PHOTOS[0])
        while full.metric("effdet_accepted") == 0:
            assert not last.done()
        full.process.terminate()
        assert last.result().status_code == 200
    full.process.wait(60)
    assert psutil.wait_procs(full.family, 10)[1] == []
    assert "Traceback" not in full.log.read_text()


def test_an_instance_that_is_killed_is_started_again(bundle, tmp_path):
    """Its request may get an error, but gets one in time."""
    broken = Service(bundle, tmp_path / "log.txt", "--deadline", "3")
    before = broken.instances()
    (instance,) = before
    with ThreadPoolExecutor(4) as clients:
        answers = [clients.submit(broken.post, PHOTOS[0]) for _ in range(4)]
        instance.send_signal(signal.SIGKILL)
        assert {answer.result().status_code for answer in answers} <= {200, 500, 503, 504}
    broken.wait()
    assert broken.post(PHOTOS[0]).status_code == 200
    assert broken.instances() != before
    broken.process.terminate()
    broken.process.wait(60)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--instances", "999"], "instances of 1 threads need 999 cores"),
        (["--deadline", "0.001"], "too short for one request"),
        (["--port", "80"], "80 is no whole number from 1024 to 65535"),
        (["--threads", "0"], "0 is no whole number of at least 1"),
    ],
)
def test_what_cannot_be_is_told(bundle, options, words):
    done = subprocess.run(
        [sys.executable, "-m", "effdet_runtime", "serve", "--bundle", str(bundle), *options],
        env={**os.environ, "PYTHONPATH": str(bundle)},
        text=True,
        capture_output=True,
    )
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_one_merged_table_and_any_content_type(bundle, tmp_path):
    merging = Service(bundle, tmp_path / "log.txt", "--merge")
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        answer = merging.post(PHOTOS[0], headers={"Content-Type": kind})
        assert [*answer.json()["models"]] == ["merged"]
    merging.process.terminate()
    merging.process.wait(60)
