"""Errors that the user can correct, outcomes of jobs, and the words for both."""

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
    """How a job ended: `completed` without a reason, or `unavailable` or `failed` with one."""

    outcome: str
    reason: str | None

    @property
    def completed(self) -> bool:
        return self.outcome == "completed"

    def error(self) -> BenchError:
        """The exception for a job that did not complete, so that a caller can raise it."""
        kind = UnavailableError if self.outcome == "unavailable" else BenchError
        return kind(self.reason)


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, if `value` resembles one of `choices`; else an empty text."""
    near = difflib.get_close_matches(str(value), list(choices), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def cause_of_death(status: int | None) -> str:
    """Why a process ended that left no result, in words, from its exit `status`."""
    if status is not None and status < 0:
        return f"Its process was killed by {signal.Signals(-status).name}."
    return f"Its process ended with status {status} and left no result; see its log."


def hung(seconds: float) -> Outcome:
    """The outcome of a process that its parent killed, because it did not answer in `seconds`."""
    return Outcome("failed", f"Its process did not answer within {seconds:g} s, and was ended.")


def outcome_of(error: Exception) -> Outcome:
    """The outcome to record of a job that `error` ended.

    For an unexpected error the reason also says in which line of the package it was raised, unless
    a note names a line.
    """
    if isinstance(error, BenchError):
        kind = "unavailable" if isinstance(error, UnavailableError) else "failed"
        return Outcome(kind, str(error))
    notes = "".join(f" {note}" for note in getattr(error, "__notes__", []))
    place = "" if getattr(error, "place_is_noted", False) else _raised_at(error)
    return Outcome("failed", f"{in_one_line(error)}{place}{notes}")


def in_one_line(error: Exception) -> str:
    """The kind and the text of an unexpected `error`."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:MOST_TEXT]}"


def _raised_at(error: Exception) -> str:
    """` (file:line)` of the innermost frame of `error` inside the package; empty without one."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if PACKAGE in path.parents and path.name != "processes.py":
            return f" ({path.relative_to(PACKAGE)}:{frame.lineno})"
    return ""
