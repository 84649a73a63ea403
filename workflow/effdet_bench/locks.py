"""File locks: the operating system releases them when the process that holds them ends."""

import fcntl
from typing import IO

from effdet_bench.progress import tell


def hold(file: IO[str] | int, others: str) -> None:
    """Takes the lock of the open `file`; tells the user if it has to wait for `others`.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell(f"waiting for {others} to end")
        fcntl.flock(file, fcntl.LOCK_EX)
