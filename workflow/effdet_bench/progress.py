"""Lines of a step's log that the terminal shows while the step runs: see `terminal`."""

import re
import sys
from typing import NamedTuple


class Told(NamedTuple):
    """A marked line of a log: `share` of the step is done, from 0 to 1; `None` for a message."""

    share: float | None
    text: str


def tell(text: str) -> None:
    """Writes a message that stays on the terminal."""
    print(f"[!] {text}", file=sys.stderr, flush=True)


def progress(share: float, text: str) -> None:
    """Writes the progress of a step: `share` is 0 to 1, and `text` says what it does now."""
    print(f"[{share:.0%}] {text}", file=sys.stderr, flush=True)


def read(line: str) -> Told | None:
    """The marked line that `tell` or `progress` wrote; `None` for any other line of a log."""
    found = re.match(r"\[(?:!|(\d+)%)\] (.*)", line)
    if found is None:
        return None
    return Told(None if found[1] is None else int(found[1]) / 100, found[2])
