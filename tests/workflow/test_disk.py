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
    assert f"{finished.results.parent} cannot be written to: give yourself the right" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("free", [0, 40_000], ids=["from the start", "while timing"])
def test_a_full_disk_is_said_and_the_next_run_goes_on(finished: Workspace, free):
    with disk(finished.results, "size=32m"):
        shutil.rmtree(finished.results / "timing")
        ballast = fill(finished.results, free)
        done = finished.snakemake(*SHORT)
        ballast.unlink()
    assert done.returncode != 0
    assert "No space left on device" in done.stdout
    assert "Traceback" not in done.stdout
    done = finished.snakemake(*SHORT)
    assert done.returncode == 0, done.stdout
    assert (finished.results / "timing/cpu/baseline/round-1/job.json").exists()
