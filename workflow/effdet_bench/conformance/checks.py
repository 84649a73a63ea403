"""What an engine is tried for; docs/engines.md lists the checks for whoever writes one."""

import multiprocessing
from collections.abc import Callable
from typing import NamedTuple

from scipy.stats import theilslopes

from effdet_bench.config.declarations import declaration
from effdet_bench.config.modes import Options, precision_of
from effdet_bench.conformance.bench import COLOURS, SHAPES, SIZES, USUAL
from effdet_bench.conformance.tried import FailedError, RefusedError, Trials
from effdet_bench.errors import BenchError, Outcome
from effdet_bench.processes import process_context
from effdet_bench.validity.gate import tolerance_of

PASSED, FAILED, NOT_APPLICABLE = "passed", "failed", "not applicable"
MOST_THREADS = 1.05  # processor time of a request by its time, for an engine with one thread
# Requests of the check of memory: of 100, leaks of up to 90 KiB a request were not seen, because
# they went into memory that the process had already.
REQUESTS = 200
FIRST = 40  # of these, after which an engine has all that it needs
MOST_LEAKED = 64 << 10  # bytes of a request; correct engines were measured at 0


class Result(NamedTuple):
    """The result of a check: one of the three words above, and a text that says why."""

    check: str
    status: str
    text: str


Found = tuple[str, str]  # status and text of a `Result`


def photos_of_all_shapes(trials: Trials) -> Found:
    trials.of(SHAPES).call("answer")
    precision = trials.of(SHAPES).call("precision")
    if precision != (declared := precision_of(trials.mode({}))):
        return (
            FAILED,
            f"the engine says that it computes in {precision}, but OPTIONS say {declared}",
        )
    if reason := trials.bench.judge(precision, SHAPES):
        return FAILED, reason
    sides = " to ".join(f"{wide} × {high}" for wide, high in (min(SIZES), max(SIZES)))
    count = len(SIZES) + len(COLOURS)
    return PASSED, f"{count} photos from {sides} pixels, also grey and CMYK: valid in {precision}"


def batches(trials: Trials) -> Found:
    refused = trials.of(SHAPES).call("answer_together")
    if refused:
        return NOT_APPLICABLE, refused
    if reason := trials.bench.judge(trials.of(SHAPES).call("precision"), SHAPES):
        return FAILED, f"photos of one batch: {reason}"
    return PASSED, f"{len(SIZES) + len(COLOURS)} photos as one batch: valid"


def options(trials: Trials) -> Found:
    """Each allowed value of each option: the engine refuses in a sentence, or answers are valid."""
    known = {k: v for k, v in declaration(trials.engine).options.items() if k != "precision"}
    choices = [(name, value) for name, values in known.items() for value in values]
    if not choices:
        return NOT_APPLICABLE, "the engine has no options besides `precision`"
    refused = []
    for name, value in choices:
        shown = f"{name}: {str(value).lower() if isinstance(value, bool) else value}"
        tried = _try(trials, {name: value}, shown)
        if tried.refused:
            refused.append(shown)
        elif reason := trials.bench.judge(tried.precision, USUAL):
            return FAILED, f"{shown}: {reason}"
    words = f"; refused in a sentence: {', '.join(refused)}" if refused else ""
    status = PASSED if len(refused) < len(choices) else NOT_APPLICABLE
    return status, f"all values of {', '.join(known)}{words}"


def precisions(trials: Trials) -> Found:
    """Each precision: refused in a sentence, or valid, with outputs that differ from all others."""
    names = [str(name) for name in declaration(trials.engine).options.get("precision", [])]
    if len(names) < 2:
        only = precision_of(trials.mode({}))
        return NOT_APPLICABLE, f"the engine has no option `precision`, and computes in {only}"
    digests: dict[str, str] = {}
    words = []
    for name in names:
        tried = _try(trials, {"precision": name}, name)
        if tried.refused:
            words.append(f"{name} refused: {tried.refused.removesuffix('.')}")
            continue
        if tried.precision != name:
            return (
                FAILED,
                f"{name} is ignored: the engine says that it computes in {tried.precision}",
            )
        if reason := trials.bench.judge(name, USUAL):
            return FAILED, f"{name}: {reason}"
        if same := [other for other in digests if digests[other] == tried.digest]:
            return FAILED, f"{name} is ignored: all outputs are those of {same[0]}, to the last bit"
        digests[name] = tried.digest
        words.append("int8 differs" if name == "int8" else f"{name} valid")
    return PASSED if digests else NOT_APPLICABLE, "; ".join(words)


class _Option(NamedTuple):
    """Answers with an option: their digest and precision, or the words of the refusal."""

    digest: str
    precision: str
    refused: str


def _try(trials: Trials, option: Options, shown: str) -> _Option:
    """Answers usual photos with `option`, which messages call `shown`.

    Raises:
        FailedError: the engine broke down, or refused in words that are no sentence.
    """
    try:
        with trials.own(option) as trial:
            return _Option(trial.call("answer"), trial.call("precision"), "")
    except RefusedError as error:
        refused = str(error)
    except FailedError as error:
        raise FailedError(f"{shown}: {error}") from None
    if not refused.endswith(".") or "\n" in refused:
        raise FailedError(f"{shown} is refused in words that are no sentence: {refused}")
    return _Option("", "", refused)


def determinism(trials: Trials) -> Found:
    first, second = (trials.of(USUAL).call("answer") for _ in range(2))
    if first != second:
        return FAILED, "a photo that was sent twice got two answers"
    return PASSED, "a photo that was sent twice got the same answer, to the last bit"


def answers_kept(trials: Trials) -> Found:
    most = tolerance_of("fp32")["unseen"]
    times = trials.of(USUAL).call("times_of_new_photos")
    text = f"new photos take {times:.2f} times the work of a photo that was sent before"
    if times > most:
        return FAILED, f"answers are kept: {text}, but at most {most:g} is valid"
    return PASSED, text


def threads(trials: Trials) -> Found:
    """The engine gets one thread, on any number of cores."""
    if trials.bench.device != "cpu":
        return NOT_APPLICABLE, f"the networks run on {trials.bench.device}"
    with trials.own({}, threads=1) as trial:
        used = trial.call("threads")
    text = f"with 1 thread given, {used:.2f} threads work at a time"
    if used > MOST_THREADS:
        return FAILED, f"more threads than given: {text}"
    return PASSED, text


def after_the_clock(trials: Trials) -> Found:
    most = tolerance_of("fp32")["outside"]
    share = trials.of(USUAL).call("outside")
    text = f"processor time after answers is {share:.1%} of that of the requests"
    if share > most:
        return (
            FAILED,
            f"the engine works on after its answer: {text}, but at most {most:.0%} is valid",
        )
    return PASSED, text


def memory(trials: Trials) -> Found:
    try:
        taken = _memory(trials, models=1)
    except RefusedError:  # an engine that runs several networks as one
        taken = _memory(trials, models=2)
    # Theil's slope, because a large block of memory that comes or goes is no leak
    leaked = float(theilslopes(taken[FIRST:])[0])
    text = f"memory grows by {leaked / 1024:.0f} KiB a request, over {REQUESTS} requests"
    if leaked > MOST_LEAKED:
        return FAILED, f"the engine leaks: {text}, but at most {MOST_LEAKED >> 10} is allowed"
    return PASSED, text


def _memory(trials: Trials, models: int) -> list[int]:
    """Bytes after each request of the first `models`: one takes half the time of two."""
    with trials.own({}, models=models) as trial:
        taken: list[int] = trial.call("memory", REQUESTS)
    return taken


def starts(trials: Trials) -> Found:
    """Linux forks a process. macOS starts a new one, and so does a mode with `python` or `env`."""
    if process_context().get_start_method() == "spawn":
        return NOT_APPLICABLE, "this system forks no processes, so all checks ran in spawned ones"
    forked = trials.of(USUAL).call("answer")
    with trials.own({}, multiprocessing.get_context("spawn")) as trial:
        spawned = trial.call("answer")
    if forked != spawned:
        return FAILED, "forked and spawned processes give other answers"
    return PASSED, "forked and spawned processes give the same answers"


CHECKS: dict[str, Callable[[Trials], Found]] = {
    "shapes": photos_of_all_shapes,
    "options": options,
    "precisions": precisions,
    "batches": batches,
    "determinism": determinism,
    "answers-kept": answers_kept,
    "threads": threads,
    "after-the-clock": after_the_clock,
    "memory": memory,
    "fork-and-spawn": starts,
}


def not_loaded(name: str, outcome: Outcome) -> Result:
    """The result of the check `name` of an engine that did not load."""
    status = NOT_APPLICABLE if outcome.outcome == "unavailable" else FAILED
    return Result(name, status, str(outcome.reason))


def check(trials: Trials, name: str) -> Result:
    """The result of the check `name`; a failure of the engine fails the check."""
    try:
        return Result(name, *CHECKS[name](trials))
    except RefusedError as error:
        return not_loaded(name, error.outcome)
    except (FailedError, BenchError) as error:
        return Result(name, FAILED, str(error))
