"""Locks of the system, which end with the process that holds them."""

import fcntl
from typing import IO

from effdet_bench.progress import tell


def hold(file: IO[str] | int, others: str) -> None:
    """Takes the lock of `file`, which is open; says that it waits for `others`, where it does.

    Raises:
        OSError: the file system knows no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell(f"waiting for {others} to end")
        fcntl.flock(file, fcntl.LOCK_EX)
