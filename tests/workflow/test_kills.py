"""Interrupted runs: no half file is left, nothing measured is lost, and one command goes on."""

import os
import shutil
import signal
import subprocess
import time

from effdet_bench.records import RAW_COLUMNS
from helpers import Workspace

# one mode, so that rounds are short
SHORT = ("timing", "--config", "modes=[baseline]", "twin=false", "requests=5")


def interrupt(workspace: Workspace, how: signal.Signals, *args: str) -> None:
    """Sends `how` to the whole process group of a run once its second round has begun."""
    second = workspace.results / "timing" / "cpu" / "baseline" / "round-2" / ".requests.csv"
    second.unlink(missing_ok=True)
    running = subprocess.Popen(
        workspace.command("--cores", "1", "--rerun-incomplete", *args),
        cwd=workspace.path,
        env=workspace.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # a shell that runs the tests in the background has Ctrl-C ignored, and all below it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 240
    while not second.exists():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(running.pid, how)
    running.wait(60)


def go_on(workspace: Workspace, *args: str) -> None:
    assert workspace.snakemake("--unlock").returncode == 0
    done = workspace.snakemake("--rerun-incomplete", *args)
    assert done.returncode == 0, done.stdout


def test_killed_runs_are_gone_on_with(finished):
    """A first measurement, then a second one that leaves the first until it has ended."""
    shutil.rmtree(finished.results / "timing")
    interrupt(finished, signal.SIGKILL, *SHORT)
    rounds = finished.results / "timing" / "cpu" / "baseline"
    first, second = rounds / "round-1" / "requests.csv", rounds / "round-2" / "requests.csv"
    measured = first.read_text()
    assert not second.exists()
    assert "LockException" in finished.snakemake(*SHORT).stdout
    go_on(finished, *SHORT)
    assert first.read_text() == measured

    measured = second.read_text()
    for how in (signal.SIGINT, signal.SIGKILL):
        interrupt(finished, how, *SHORT, "warmup=2")
        assert second.read_text() == measured
        finished.snakemake("--unlock")
    go_on(finished, *SHORT, "warmup=2")
    assert len(second.read_text().splitlines()) >= 1 + 2 + 5
    assert {path.name for path in second.parent.iterdir()} == {"job.json", *RAW_COLUMNS}
