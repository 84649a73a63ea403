"""A disk that fills up: it is said, and nothing is lost."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers import Workspace

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
SHORT = ("timing", "--config", "modes=[baseline]", "twin=false", "requests=5", "rounds=1")


@contextmanager
def disk(folder: Path, options: str):
    """A file system of its own in `folder`, with what was there."""
    kept = folder.with_name("kept")
    folder.rename(kept)
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)])
    if mounted.returncode:
        pytest.skip("this system lets no disk be mounted, as most containers")
    shutil.copytree(kept, folder, dirs_exist_ok=True, symlinks=True)
    shutil.rmtree(kept)
    try:
        yield
    finally:
        shutil.copytree(folder, kept, symlinks=True)
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
        kept.rename(folder)


def fill(folder: Path, free: int) -> Path:
    """Leaves `free` bytes."""
    ballast = folder / "ballast"
    size = shutil.disk_usage(folder).free - free
    with ballast.open("wb") as out:
        out.write(bytes(max(size, 0)))
    return ballast


def test_a_folder_that_cannot_be_written_to_is_named(finished: Workspace):
    with disk(finished.results.parent, "size=32m"):
        subprocess.run(["mount", "-o", "remount,ro", finished.results.parent], check=True)
        done = finished.snakemake(*SHORT)
    assert done.returncode != 0
    assert (
        f"{finished.results.parent} cannot be written to: give yourself permission" in done.stdout
    )
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("folder", [".snakemake", "results"])
def test_a_disk_that_is_full_before_a_run_is_said_at_once(finished: Workspace, folder):
    """Snakemake puts tracebacks before it where its own log is on that disk."""
    with disk(finished.path / folder, "size=32m"):
        fill(finished.path / folder, 0)
        done = finished.snakemake(*SHORT)
    assert done.returncode != 0
    assert f"{finished.path / folder} is on a disk that is full: free some" in done.stdout
    assert folder == ".snakemake" or "Traceback" not in done.stdout


def test_a_disk_that_fills_up_is_said_and_the_next_run_goes_on(finished: Workspace):
    with disk(finished.results, "size=32m"):
        shutil.rmtree(finished.results / "timing")
        ballast = fill(finished.results, 40_000)
        done = finished.snakemake(*SHORT)
        ballast.unlink()
    assert done.returncode != 0
    assert "No space left on device" in done.stdout
    assert "Traceback" not in done.stdout
    done = finished.snakemake(*SHORT)
    assert done.returncode == 0, done.stdout
    assert (finished.results / "timing/cpu/baseline/round-1/job.json").exists()
