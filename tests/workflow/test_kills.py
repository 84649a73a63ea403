"""Interrupted runs: no half file is left, nothing measured is lost, and one command goes on."""

import os
import shutil
import signal
import subprocess
import time

from effdet_bench.records import RAW_COLUMNS
from helpers import Workspace

# SIGTERM as Snakemake notes that a job has ended, and holds a lock
UNLUCKY = """
import signal
from snakemake.persistence.file import FilePersistence


def unlucky(*given, write=FilePersistence._write_record):
    os.kill(os.getpid(), signal.SIGTERM)
    return write(*given)


FilePersistence._write_record = unlucky
"""
# one mode, so that rounds are short
SHORT = ("timing", "--config", "modes=[baseline]", "twin=false", "requests=5")


def begun(workspace: Workspace, number: int, *args: str) -> subprocess.Popen:
    """A run that has begun the round `number`, in a process group of its own."""
    folder = workspace.results / "timing" / "cpu" / "baseline" / f"round-{number}"
    running = workspace.start(*args)
    deadline = time.monotonic() + 240
    while not (folder / ".requests.csv").exists():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return running


def interrupt(workspace: Workspace, how: signal.Signals, number: int, *args: str) -> None:
    """Sends `how` to the whole process group of a run once it has begun the round `number`."""
    running = begun(workspace, number, *args)
    os.killpg(running.pid, how)
    running.wait(60)


def go_on(workspace: Workspace, *args: str) -> None:
    """Nothing but the same command: no lock is in the way, and nothing has to be cleaned up."""
    done = workspace.snakemake(*args)
    assert done.returncode == 0, done.stdout


def measured(workspace: Workspace) -> dict[str, str]:
    """The requests of each round that is finished, by its folder."""
    rounds = (workspace.results / "timing" / "cpu" / "baseline").glob("round-*/job.json")
    return {path.parent.name: (path.parent / "requests.csv").read_text() for path in rounds}


def test_killed_runs_are_gone_on_with(finished):
    """Nothing of a finished round is lost or timed again, however its run ends."""
    shutil.rmtree(finished.results / "timing")
    interrupt(finished, signal.SIGKILL, 2, *SHORT)
    first = measured(finished)
    assert list(first) == ["round-1"]
    go_on(finished, *SHORT)
    both = measured(finished)
    assert both.keys() == {"round-1", "round-2"}
    assert both | first == both

    interrupt(finished, signal.SIGTERM, 4, *SHORT, "warmup=2")
    third = measured(finished)
    assert third.keys() == {"round-1", "round-2", "round-3"}
    assert third | both == third

    # Ctrl-C for Snakemake alone: it waits for its job, and does not note how that ended
    running = begun(finished, 4, *SHORT, "warmup=2")
    running.send_signal(signal.SIGINT)
    running.wait(60)
    fourth = measured(finished)
    assert fourth | third == fourth
    go_on(finished, *SHORT, "warmup=2")
    assert measured(finished) | fourth == measured(finished)
    last = finished.results / "timing" / "cpu" / "baseline" / "round-4"
    assert len((last / "requests.csv").read_text().splitlines()) >= 1 + 2 + 5
    assert {path.name for path in last.iterdir()} == {"job.json", *RAW_COLUMNS}


def test_locks_of_the_living_hold_and_no_orphan_goes_on_to_time(finished):
    """Snakemake alone is killed, as a system does that runs out of memory."""
    running = begun(finished, 4, *SHORT, "warmup=3")
    os.killpg(running.pid, signal.SIGSTOP)
    assert "another run is alive in" in finished.snakemake(*SHORT, "warmup=3").stdout
    assert finished.snakemake("--dry-run", *SHORT, "warmup=3").returncode == 0
    os.killpg(running.pid, signal.SIGCONT)
    assert finished.steps()
    running.kill()
    running.wait(60)
    deadline = time.monotonic() + 30
    while finished.steps():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_run_that_is_told_to_end_does_whatever_it_is_doing(workspace):
    file = workspace.path / "workflow" / "rules" / "common.smk"
    code = file.read_text()
    workspace.append("workflow/rules/common.smk", UNLUCKY)
    running = workspace.start("results/smoke/photos.json", "results/smoke/settings.json")
    assert running.wait(60) != 0
    file.write_text(code)
    go_on(workspace, "results/smoke/photos.json", "results/smoke/settings.json")
