"""How a step may end that is the user's to mend, and how to put it."""

import difflib
import signal
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parent
MOST_TEXT = 300  # characters of an unexpected error's text


class BenchError(Exception):
    """A step cannot go on. The text is one sentence: what is wrong, where, and what to do."""


class UnavailableError(BenchError):
    """A mode cannot run on this machine: a device or an engine is not there. The text says why."""


class Outcome(NamedTuple):
    """What became of a job: `completed`, or with a reason `unavailable` or `failed`."""

    outcome: str
    reason: str | None

    @property
    def completed(self) -> bool:
        return self.outcome == "completed"

    def error(self) -> BenchError:
        """What ended the job, for those who go on with it."""
        kind = UnavailableError if self.outcome == "unavailable" else BenchError
        return kind(self.reason)


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for a near miss of one of `choices`, else nothing."""
    near = difflib.get_close_matches(str(value), list(choices), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def cause_of_death(status: int | None) -> str:
    """Why a process that left no result ended with the exit `status`, in words."""
    if status is not None and status < 0:
        return f"Its process was killed by {signal.Signals(-status).name}."
    return f"Its process ended with status {status} and left no result; see its log."


def hung(seconds: float) -> Outcome:
    """What became of a process that was ended as it had not answered for so long."""
    return Outcome("failed", f"Its process did not answer within {seconds:g} s, and was ended.")


def outcome_of(error: Exception) -> Outcome:
    """What there is to record of `error`, which ended a job: where it was raised, if unexpected."""
    if isinstance(error, BenchError):
        kind = "unavailable" if isinstance(error, UnavailableError) else "failed"
        return Outcome(kind, str(error))
    notes = "".join(f" {note}" for note in getattr(error, "__notes__", []))
    return Outcome("failed", f"{in_one_line(error)}{_raised_at(error)}{notes}")


def in_one_line(error: Exception) -> str:
    """The kind and the text of an unexpected `error`."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:MOST_TEXT]}"


def _raised_at(error: Exception) -> str:
    """` (file:line)` of the innermost frame of `error` that is in the package, if one is."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if PACKAGE in path.parents and path.name != "processes.py":
            return f" ({path.relative_to(PACKAGE)}:{frame.lineno})"
    return ""
