"""Interrupted runs: no half file is left, nothing measured is lost, and one command goes on."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from effdet_bench.records import RAW_COLUMNS
from helpers import Workspace

# one mode, so that rounds are short
SHORT = ("timing", "--config", "modes=[baseline]", "twin=false", "requests=5")


def interrupt(workspace: Workspace, how: signal.Signals, *args: str) -> None:
    """Sends `how` to the whole process group of a run once its second round has begun."""
    running = subprocess.Popen(
        workspace.command("--cores", "1", *args),
        cwd=workspace.path,
        env=workspace.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # a shell that runs the tests in the background has Ctrl-C ignored, and all below it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    second = workspace.results / "timing" / "cpu" / "baseline" / "round-2" / ".requests.csv"
    deadline = time.monotonic() + 240
    while not second.exists():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(running.pid, how)
    running.wait(60)


def test_a_killed_run_is_gone_on_with(finished):
    shutil.rmtree(finished.results / "timing")
    interrupt(finished, signal.SIGKILL, *SHORT)
    rounds = finished.results / "timing" / "cpu" / "baseline"
    measured = (rounds / "round-1" / "requests.csv").read_text()
    assert not (rounds / "round-2" / "requests.csv").exists()
    assert "LockException" in finished.snakemake(*SHORT).stdout
    assert finished.snakemake("--unlock").returncode == 0
    done = finished.snakemake("--rerun-incomplete", *SHORT)
    assert done.returncode == 0, done.stdout
    assert (rounds / "round-1" / "requests.csv").read_text() == measured
    assert (rounds / "round-2" / "requests.csv").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_second_measurement_leaves_the_first(finished, how):
    folder = finished.results / "timing" / "cpu" / "baseline" / "round-2"
    measured = (folder / "requests.csv").read_text()
    interrupt(finished, how, *SHORT)
    assert (folder / "requests.csv").read_text() == measured
    finished.snakemake("--unlock")
    done = finished.snakemake("--rerun-incomplete", *SHORT)
    assert done.returncode == 0, done.stdout
    assert len((folder / "requests.csv").read_text().splitlines()) == 1 + 1 + 5
    assert {path.name for path in folder.iterdir()} == {"job.json", *RAW_COLUMNS}
