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


def begun(workspace: Workspace, *args: str) -> subprocess.Popen:
    """A run that has begun its second round, in a process group of its own."""
    second = workspace.results / "timing" / "cpu" / "baseline" / "round-2" / ".requests.csv"
    second.unlink(missing_ok=True)
    running = workspace.start(*args)
    deadline = time.monotonic() + 240
    while not second.exists():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return running


def interrupt(workspace: Workspace, how: signal.Signals, *args: str) -> None:
    """Sends `how` to the whole process group of a run once its second round has begun."""
    running = begun(workspace, *args)
    os.killpg(running.pid, how)
    running.wait(60)


def go_on(workspace: Workspace, *args: str) -> None:
    """Nothing but the same command: no lock is in the way, and nothing has to be cleaned up."""
    done = workspace.snakemake(*args)
    assert done.returncode == 0, done.stdout


def test_killed_runs_are_gone_on_with(finished):
    """A first measurement, then a second one that leaves the first until it has ended."""
    shutil.rmtree(finished.results / "timing")
    interrupt(finished, signal.SIGKILL, *SHORT)
    rounds = finished.results / "timing" / "cpu" / "baseline"
    first, second = rounds / "round-1" / "requests.csv", rounds / "round-2" / "requests.csv"
    measured = first.read_text()
    assert not second.exists()
    go_on(finished, *SHORT)
    assert first.read_text() == measured

    measured = second.read_text()
    interrupt(finished, signal.SIGTERM, *SHORT, "warmup=2")
    assert second.read_text() == measured

    # Ctrl-C for Snakemake alone: it waits for its job, and does not note how that ended
    running = begun(finished, *SHORT, "warmup=2")
    running.send_signal(signal.SIGINT)
    running.wait(60)
    assert second.read_text() != measured
    measured = second.read_text()
    for force, kept in (((), "1"), (("--forcerun", "time_cpu"), "0")):
        plan = finished.snakemake("--dry-run", "--printshellcmds", *SHORT, "warmup=2", *force)
        assert f"--unnoted {kept} >" in plan.stdout, plan.stdout
    go_on(finished, *SHORT, "warmup=2")
    assert second.read_text() == measured
    assert len(second.read_text().splitlines()) >= 1 + 2 + 5
    assert {path.name for path in second.parent.iterdir()} == {"job.json", *RAW_COLUMNS}


def test_locks_of_the_living_hold_and_no_orphan_goes_on_to_time(finished):
    """Snakemake alone is killed, as a system does that runs out of memory."""
    running = begun(finished, *SHORT, "warmup=3")
    os.killpg(running.pid, signal.SIGSTOP)
    assert "LockException" in finished.snakemake(*SHORT, "warmup=3").stdout
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
