"""The real download code, against servers on loopback that behave and misbehave."""

import hashlib
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from effdet_bench.checkpoints import sources
from effdet_bench.checkpoints.catalogue import ReleaseFile
from effdet_bench.checkpoints.download import download
from effdet_bench.errors import BenchError

CONTENT = bytes(range(256)) * 4000
RELEASE = ReleaseFile("model.pth", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), 1)


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `behaviours` are taken one per request, then it behaves."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours: list[str] = []
        self.content = CONTENT
        self.ranges: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        behaviour = self.server.behaviours.pop(0) if self.server.behaviours else "range"
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if behaviour == "portal":
            page = b"<html>Please log in</html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
            return
        if behaviour.startswith("to "):
            self.send_response(302)
            self.send_header("Location", behaviour.removeprefix("to "))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if behaviour.isdigit():
            self.send_response(int(behaviour))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked and behaviour != "no range" else 0
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 3] if behaviour in ("cut", "hang") else body)
        self.close_connection = behaviour == "cut"
        if behaviour == "hang":
            time.sleep(1)
            self.close_connection = True

    def do_CONNECT(self):
        self.server.ranges.append(self.path)
        self.send_error(403)

    def do_HEAD(self):
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "checkpoints" / "model.pth"


def fetch(server, target):
    download(server.url + "model.pth", RELEASE, target, wait=0.01)


def test_a_file_arrives_whole_and_leaves_nothing_else(server, target):
    fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_a_cut_connection_is_resumed_and_not_begun_again(server, target):
    server.behaviours = ["cut", "cut"]
    fetch(server, target)
    assert target.read_bytes() == CONTENT
    starts = [int(re.match(r"bytes=(\d+)-", asked)[1]) for asked in server.ranges[1:]]
    assert server.ranges[0] is None
    assert 0 < starts[0] < starts[1]


def test_a_part_of_an_earlier_run_is_gone_on_with(server, target):
    target.parent.mkdir()
    target.with_name("model.pth.part").write_bytes(CONTENT[:1000])
    fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_two_downloads_of_one_file_do_not_get_into_each_others_way(server, target, capsys):
    server.behaviours = ["hang"]
    both = [threading.Thread(target=fetch, args=(server, target)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    assert server.ranges[0] is None
    assert len(server.ranges) == 2, "the one that waited asks for nothing"
    assert "waiting for another download to" in capsys.readouterr().err


def test_a_server_without_ranges_sends_it_all_again(server, target):
    server.behaviours = ["cut", "no range"]
    fetch(server, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("status", ["500", "503", "429"])
def test_a_passing_refusal_is_tried_again(server, target, status):
    server.behaviours = [status, status]
    fetch(server, target)
    assert target.read_bytes() == CONTENT


def test_attempts_end_and_what_arrived_is_kept(server, target):
    server.behaviours = ["cut"] * 5
    with pytest.raises(BenchError, match="could not be downloaded in 5 attempts"):
        fetch(server, target)
    assert not target.exists()
    assert 0 < target.with_name("model.pth.part").stat().st_size < len(CONTENT)


def test_a_missing_file_is_an_error_at_once(server, target):
    server.behaviours = ["404"]
    with pytest.raises(BenchError, match="answered 404 Not Found: check `mirror`"):
        fetch(server, target)
    assert len(server.ranges) == 1


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT + b"x"])
def test_a_wrong_file_is_refused_and_removed(server, target, content):
    server.content = content
    with pytest.raises(BenchError, match="instead of"):
        fetch(server, target)
    assert list(target.parent.iterdir()) == []


def test_a_page_that_asks_to_log_in_is_no_checkpoint(server, target):
    server.behaviours = ["portal"]
    with pytest.raises(BenchError, match="answered by a web page"):
        fetch(server, target)
    assert list(target.parent.iterdir()) == []
    fetch(server, target)
    assert target.read_bytes() == CONTENT


def test_a_part_that_another_server_sent_is_not_gone_on_with_for_ever(server, target):
    target.parent.mkdir()
    target.with_name("model.pth.part").write_bytes(b"of another file")
    fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == ["bytes=15-", None]


def test_a_redirection_that_has_no_end_is_one_sentence(server, target):
    server.behaviours = [f"to {server.url}model.pth"] * 40
    with pytest.raises(BenchError, match="cannot be downloaded \\(Exceeded 30 redirects"):
        fetch(server, target)


def test_what_is_on_its_way_in_the_clear_is_refused(monkeypatch, server, target):
    monkeypatch.setattr("effdet_bench.checkpoints.download.SAFE", re.compile("https://"))
    with pytest.raises(BenchError, match=r"redirected to http://127.* which is not https"):
        fetch(server, target)
    assert not list(target.parent.iterdir())


def test_a_server_that_falls_silent_is_asked_again(monkeypatch, server, target):
    monkeypatch.setattr(sys.modules[download.__module__], "TIMEOUT_SECONDS", (1, 0.2))
    server.behaviours = ["hang"]
    fetch(server, target)
    assert target.read_bytes() == CONTENT
    begun, gone_on_with = server.ranges
    assert begun is None
    assert int(re.match(r"bytes=(\d+)-", gone_on_with)[1]) > 0


def test_what_a_server_sends_too_much_is_not_written(server, target):
    server.content = CONTENT + bytes(50_000_000)
    with pytest.raises(BenchError, match=f"bytes instead of {len(CONTENT)}"):
        fetch(server, target)
    assert list(target.parent.iterdir()) == []


def test_the_proxy_of_the_environment_is_asked(monkeypatch, server, target):
    monkeypatch.setenv("https_proxy", server.url)
    with pytest.raises(BenchError, match="could not be downloaded in 5 attempts"):
        download("https://no-such-host.invalid/model.pth", RELEASE, target, wait=0.01)
    assert server.ranges == ["no-such-host.invalid:443"] * 5


def test_a_server_that_nobody_runs_is_one_sentence(target):
    with Server() as gone:
        url = gone.url
    with pytest.raises(BenchError, match=r"could not be downloaded in 5 attempts.*put the file"):
        download(url + "model.pth", RELEASE, target, wait=0.01)


def test_any_answer_means_reachable_and_none_means_not(server):
    assert sources.reachable(server.url)
    with Server() as gone:
        url = gone.url
    assert not sources.reachable(url)
    assert not sources.reachable("http://no-such-host.invalid/")
