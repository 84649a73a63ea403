"""Runs of the workflow in one folder: nothing that a killed one leaves is in the way of the next.

Snakemake's own locks outlive a Snakemake that is killed, and so do its jobs. A lock of the system
ends with the process that holds it, and so tells the living from the dead.
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
from typing import IO, Any

from effdet_bench.errors import BenchError, did_you_mean
from effdet_bench.layout import KEPT

LEAST_BYTES = 1 << 14  # that a disk must have left: for a record
RUN = "EFFDET_BENCH_RUN"  # a variable: the process of Snakemake that a step belongs to


def begin(forgets: bool) -> IO[str]:
    """Registers this process as a run in this folder.

    It `forgets` locks of runs that have died, where the file system tells which have: some of
    clusters know no locks, or none of other machines.

    Returns:
        The file whose lock this run holds: it must stay open.
    """
    KEPT.mkdir(exist_ok=True)
    held = (KEPT / "effdet-bench.lock").open("a")
    with contextlib.suppress(OSError):
        if forgets:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # no other run lives that could hold them
            shutil.rmtree(KEPT / "locks", ignore_errors=True)
    with contextlib.suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_SH)
    os.environ[RUN] = str(os.getpid())
    return held


def refuse_unwritable(folders: Iterable[str | Path]) -> None:
    """Makes sure that a run can write to those of `folders` that are there, and that there is room.

    Raises:
        BenchError: it cannot, and Snakemake would say so by a traceback.
    """
    for folder in (Path(one).resolve() for one in folders if Path(one).exists()):
        if not os.access(folder, os.W_OK):
            raise BenchError(
                f"{folder} cannot be written to: give yourself the right to it, or run in another "
                "folder."
            )
        if shutil.disk_usage(folder).free < LEAST_BYTES:
            raise BenchError(
                f"{folder} is on a disk that is full: free some space and run again; what was "
                "measured is kept."
            )


def refuse_missing_profile(arguments: Sequence[str], folder: Path) -> None:
    """Makes sure that a profile on Snakemake's command line is there, as Snakemake does not.

    Raises:
        BenchError: neither here nor in `folder`, that of the Snakefile, is one of that name.
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
            f"there is no profile {name!r}{did_you_mean(name, known)}, and Snakemake would ignore "
            f"that: --workflow-profile names a folder, such as {', '.join(known)}."
        )


def finished_unnoted(persistence: Any, outputs: Sequence[str], inputs: Iterable[str]) -> bool:
    """Whether a job has made all `outputs`, but its run ended before it could note that.

    `persistence` is Snakemake's: its marks tell when it began a job that it has not seen end. It
    would run such a job again, as its outputs may be broken off. None of `inputs` is younger.
    """
    if persistence._filter_incomplete_keys(outputs) != set(outputs):
        return False
    try:
        made = min(Path(path).stat().st_mtime for path in outputs)
        changed = max(Path(path).stat().st_mtime for path in inputs)
    except FileNotFoundError:
        return False
    begun: float = max(persistence._get_recorded_starttime(path) for path in outputs)
    return max(begun, changed) <= made


def end_by_signal(end: Callable[[], object]) -> None:
    """Has SIGTERM `end` this run, in a thread of its own.

    Snakemake ends in the thread that the signal interrupts, which may hold the lock that the end
    waits for: it never ends then, and its folder stays locked.
    """
    told, tell = os.pipe()

    def wait() -> None:
        while os.read(told, 1):
            end()

    threading.Thread(target=wait, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: os.write(tell, b"."))


def end_with_run() -> None:
    """Has a step end as soon as its run has: no orphan goes on to time, or to write."""
    if run := os.environ.get(RUN):
        threading.Thread(target=_end_after, args=(int(run),), daemon=True).start()


def _end_after(pid: int) -> None:
    try:
        select.select([os.pidfd_open(pid)], [], [])
    except (AttributeError, OSError):  # not Linux, or it has ended already
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait()
    os._exit(1)
