"""File locks: the operating system releases them when the process that holds them ends."""

import contextlib
import fcntl
import os
from pathlib import Path

import psutil

from effdet_bench.progress import tell

LOCKS = Path("/proc/locks")  # all locks of the system, on Linux


def hold(file: int, others: str) -> None:
    """Takes the lock of `file`, the number of an open file.

    If the lock is taken, tells the user whom it waits for: `others`, in words, and who they are.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell(f"waiting for {others} to end{_holder(file)}")
        fcntl.flock(file, fcntl.LOCK_EX)


def _holder(file: int) -> str:
    """The process that holds the lock of `file`, in words; empty where the system names none."""
    status = os.fstat(file)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    with contextlib.suppress(OSError, psutil.Error, ValueError):
        for line in LOCKS.read_text().splitlines():
            # 1: FLOCK ADVISORY WRITE <process> <device>:<inode> 0 EOF
            words = line.split()
            if words[1] == "FLOCK" and words[5] == f"{device}:{status.st_ino}":
                process = psutil.Process(int(words[4]))
                where = _folder(process)
                return f": process {process.pid} of {process.username()}{where}"
    return ""


def _folder(process: psutil.Process) -> str:
    try:
        return f" in {process.cwd()}"
    except psutil.AccessDenied:  # of another user
        return ""
