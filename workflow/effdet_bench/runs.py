"""Runs of the workflow in one folder: a killed run never blocks or disturbs the next run.

The operating system releases a file lock when the process that holds it ends. So, unlike
Snakemake's own locks, which profiles/default switches off, a file lock never outlives its run.
"""

import contextlib
import fcntl
import os
import select
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

from effdet_bench.errors import BenchError
from effdet_bench.layout import KEPT

NOTE = KEPT / "effdet-bench.latest"
LEAST_BYTES = 1 << 14  # free space that a disk must have, enough for a record
RUN = "EFFDET_BENCH_RUN"  # environment variable: the id of the Snakemake process of a step


def hold_folder() -> None:
    """Keeps other runs out of this folder until this process ends, however it ends.

    Raises:
        BenchError: another run is alive here.
    """
    KEPT.mkdir(exist_ok=True)
    # nobody closes the file: the system releases its lock at the end of the process
    held = os.open(KEPT / "effdet-bench.lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BenchError(
            f"another run is alive in {Path.cwd()}: wait for its end, or end it, and run again."
        ) from None
    except OSError:  # a file system without locks
        pass


def note_archive(archive: Path) -> None:
    """Notes `archive` as that of the latest run in this folder, for `latest_archive`."""
    NOTE.write_text(f"{archive}\n")


def latest_archive() -> Path:
    """The archive of the latest run in this folder.

    Raises:
        BenchError: nothing ran here, or the archive is gone.
    """
    path = Path(NOTE.read_text().strip()) if NOTE.exists() else None
    if path is None or not path.is_dir():
        raise BenchError("this folder has no results of a latest run: give results/<machine>.")
    return path


def refuse_unwritable(folders: Iterable[str | Path]) -> None:
    """Checks that a run can write to each existing folder of `folders`, and that its disk has room.

    Otherwise Snakemake would end with a traceback.

    Raises:
        BenchError: a folder cannot be written to, or its disk is full.
    """
    for folder in (Path(one).resolve() for one in folders if Path(one).exists()):
        if not os.access(folder, os.W_OK):
            raise BenchError(
                f"{folder} cannot be written to: give yourself permission, or run in another "
                "folder."
            )
        if shutil.disk_usage(folder).free < LEAST_BYTES:
            raise BenchError(
                f"{folder} is on a disk that is full: free some space and run again; finished "
                "measurements are kept."
            )


def end_with_run() -> None:
    """Ends this step as soon as its run has ended, so that no orphan goes on timing or writing."""
    if run := os.environ.get(RUN):
        threading.Thread(target=_end_after, args=(int(run),), daemon=True).start()


def _end_after(pid: int) -> None:
    try:
        select.select([os.pidfd_open(pid)], [], [])
    except (AttributeError, OSError):  # not Linux, or the run has ended already
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait()
    os._exit(1)
