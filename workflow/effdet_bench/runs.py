"""Runs of the workflow in one folder: a killed run never blocks or disturbs the next run.

When Snakemake is killed, its own locks and its jobs remain. The operating system releases a file
lock when the process that holds it ends. So a file lock shows which runs are still alive.
"""

import argparse
import contextlib
import fcntl
import os
import select
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO

from effdet_bench.errors import BenchError, did_you_mean
from effdet_bench.layout import KEPT

LEAST_BYTES = 1 << 14  # free space that a disk must have, enough for a record
RUN = "EFFDET_BENCH_RUN"  # environment variable: the id of the Snakemake process of a step


def begin(forgets: bool) -> IO[str]:
    """Registers this process as a run in this folder.

    If it `forgets`, it deletes Snakemake's locks of runs that have died. Some file systems of
    clusters have no locks, or do not see the locks of other machines.

    Returns:
        The file whose lock this run holds: it must stay open.
    """
    KEPT.mkdir(exist_ok=True)
    held = (KEPT / "effdet-bench.lock").open("a")
    with contextlib.suppress(OSError):
        if forgets:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # this process has the lock alone, so no other run is alive that could hold these
            shutil.rmtree(KEPT / "locks", ignore_errors=True)
    with contextlib.suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_SH)
    os.environ[RUN] = str(os.getpid())
    return held


def asked(arguments: Sequence[str]) -> argparse.Namespace:
    """The options and targets of Snakemake's command line `arguments`."""
    from snakemake.cli import get_argument_parser

    found: argparse.Namespace = get_argument_parser().parse_known_args(list(arguments))[0]
    return found


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


def refuse_missing_profile(arguments: Sequence[str], folder: Path) -> None:
    """Checks that a profile on Snakemake's command line exists, because Snakemake does not check.

    Raises:
        BenchError: the profile is neither here nor in `folder`, the folder of the Snakefile.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--workflow-profile", default="none")
    name = parser.parse_known_args(arguments)[0].workflow_profile
    places = [Path(name), Path("profiles") / name, folder / "profiles" / name]
    if name != "none" and not any(place.exists() for place in places):
        known = [
            str(path.parent) for path in sorted(Path("workflow").glob("profiles/*/config.yaml"))
        ]
        raise BenchError(
            f"there is no profile {name!r}{did_you_mean(name, known)}, and Snakemake ignores a "
            f"missing profile: give --workflow-profile a folder, such as {', '.join(known)}."
        )


def end_by_signal(end: Callable[[], object]) -> None:
    """Has SIGTERM call `end` in a separate thread.

    Snakemake itself ends the run in the thread that the signal interrupts. That thread may hold
    the very lock that the end waits for. Snakemake would then hang, and its folder stay locked.
    """
    told, tell = os.pipe()

    def wait() -> None:
        while os.read(told, 1):
            end()

    threading.Thread(target=wait, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: os.write(tell, b"."))


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
