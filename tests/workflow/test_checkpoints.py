"""From synthetic weights to released ones, through the workflow and a server on loopback."""

import functools
import hashlib
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from helpers import Workspace

MODEL = "tf_efficientdet_lite0"
NOWHERE = "https://no-such-host.invalid/"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def released(smoke: Workspace, tmp_path):
    """The smoke run's checkpoint as if it were released as lite0.pth, and its server's address."""
    made = smoke.path / "checkpoints" / "synthetic" / f"{MODEL}-seed0.pth"
    content = made.read_bytes()
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "lite0.pth").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    entry = f'("lite0.pth", {len(content)}, "{digest}", 3_243_470)'
    handler = functools.partial(QuietHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield (
            f'\nRELEASE["{MODEL}"] = ReleaseFile{entry}\n',
            f"http://127.0.0.1:{server.server_port}/",
        )
        server.shutdown()


def auto(mirror: str) -> tuple[str, ...]:
    settings = ("modes=[baseline]", "twin=false", "requests=1", "rounds=1")
    return ("--config", "weights=auto", f"mirror={mirror}", *settings)


def test_the_next_run_with_network_replaces_synthetic_weights(finished, released):
    entry, mirror = released
    finished.append("workflow/effdet_bench/checkpoints/catalogue.py", entry)
    verified = finished.path / "checkpoints" / "verified"
    offline = finished.snakemake("checkpoints", *auto(NOWHERE))
    assert offline.returncode == 0, offline.stdout
    assert f"WARNING: SYNTHETIC WEIGHTS for {MODEL}: the release file was not on" in offline.stdout
    model = json.loads((verified / f"{MODEL}.synthetic.json").read_text())
    assert f"{NOWHERE} could not be reached" in model["why"]
    assert finished.planned("checkpoints", *auto(NOWHERE)) == []

    online = finished.snakemake("timing", *auto(mirror))
    assert online.returncode == 0, online.stdout
    assert "SYNTHETIC" not in online.stdout
    record = finished.results / "timing/cpu/baseline/round-3/job.json"
    (model,) = json.loads(record.read_text())["ensemble"]
    assert (model["weights"], model["file"]) == ("release", "lite0.pth")
    assert finished.planned("timing", *auto(NOWHERE)) == []


def test_a_server_with_a_wrong_file_is_an_error(workspace, released):
    entry, mirror = released
    wrong = entry.replace('"lite0.pth", 1', '"lite0.pth", 2')
    assert wrong != entry
    workspace.append("workflow/effdet_bench/checkpoints/catalogue.py", wrong)
    workspace.replace("checkpoints/download.py", "WAIT_SECONDS = 1.0", "WAIT_SECONDS = 0.0")
    done = workspace.snakemake(*auto(mirror))
    assert done.returncode != 0
    assert "lite0.pth" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (workspace.path / "checkpoints" / "lite0.pth").exists()
    assert not (workspace.path / "checkpoints" / "synthetic").exists()
