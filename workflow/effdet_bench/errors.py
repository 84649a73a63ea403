"""How a step may end that is the user's to mend, and how to put it."""

import difflib
import signal
from collections.abc import Iterable


class BenchError(Exception):
    """A step cannot go on. The text is one sentence: what is wrong, where, and what to do."""


class UnavailableError(BenchError):
    """A mode cannot run on this machine: a device or an engine is not there. The text says why."""


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for a near miss of one of `choices`, else nothing."""
    near = difflib.get_close_matches(str(value), list(choices), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def cause_of_death(status: int) -> str:
    """Why a process that left no result ended with the exit `status`, in words."""
    if status < 0:
        return f"Its process was killed by {signal.Signals(-status).name}."
    return f"Its process ended with status {status} and left no result; see its log."


def outcome_of(error: Exception) -> dict[str, str]:
    """`outcome` (`unavailable` or `failed`) and `reason` for a record, of what ended a job."""
    if isinstance(error, BenchError):
        outcome = "unavailable" if isinstance(error, UnavailableError) else "failed"
        return {"outcome": outcome, "reason": str(error)}
    text = " ".join(str(error).split())[:300]
    return {"outcome": "failed", "reason": f"{type(error).__name__}: {text}"}
