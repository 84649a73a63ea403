"""Names a mode for each use, among the modes that keep the constraints of the settings `NEEDS`.

As the command `recommend` it prints them from an archive, for any constraints.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypedDict

from effdet_bench import records
from effdet_bench.config.chosen import add_results, chosen
from effdet_bench.config.names import NEEDS, PRECISIONS
from effdet_bench.load.search import STEP
from effdet_bench.records import Record
from effdet_bench.report.commands import Command, command_with
from effdet_bench.report.numbers import brief, mebibytes
from effdet_bench.report.under_load import best_capacities, load_view, read_capacities
from effdet_bench.report.words import name
from effdet_bench.summary.rows import Row, latency_of, p50, pace, place, standing
from effdet_bench.summary.summary import read_summary


class Advice(TypedDict):
    """The mode for a use, and the next best one with how much more it takes; both in words."""

    use: str
    choice: str
    runner_up: str


class Use(NamedTuple):
    """A figure of a row of which less is better, and the words for its values.

    `shown` is the figure to show of the row itself, where others are compared by `figure`.
    """

    name: str
    figure: Callable[[Row], float]
    words: Callable[[float], str]
    shown: Callable[[Row], float] | None = None


def _memory(row: Row) -> float:
    """Peak bytes of the process, and on its device."""
    return (row["peak_rss_bytes"] or 0) + (row["peak_device_bytes"] or 0)


def _start(row: Row) -> float:
    """Milliseconds of imports (processor time), of loading and of the first request."""
    load = (row["import_seconds"] or 0) + (row["load_seconds"] or 0)
    return 1e3 * load + (row["first_request_ms"] or 0)


LATENCY = Use("Lowest latency", pace, brief, p50)
EXACT = Use("Lowest latency without loss of accuracy (fp32)", pace, brief, p50)
MEMORY = Use("Least memory", _memory, mebibytes)
START = Use("Shortest start, to the first answer", _start, brief)
TOO_FEW = "no such mode has enough requests to support a median"
NO_FP32 = "no valid mode computes in fp32"


def advice(
    valid: list[Row], load: dict[str, Any] | None, needs: Record, command: Command
) -> list[Advice]:
    """A mode for each use, of the `valid` rows whose median enough requests support.

    `load` is what `load_view` makes of modes under load, and `needs` are settings, of
    which `NEEDS` count. `command` is of `command_with`.
    """
    known = [row for row in valid if latency_of(row)["percentiles"]["p50"]["supported"]]
    if known and all(_shortfalls(row, needs) for row in known):
        nearest = min(known, key=lambda row: max(_shortfalls(row, needs).values()))
        why = " and ".join(_shortfalls(nearest, needs))
        choice = f"nothing fits: the nearest is {name(nearest)}, but {why}"
        return [{"use": "Any use", "choice": choice, "runner_up": "–"}]
    exact = [row for row in known if row["precision"] == "fp32"]
    any_exact = any(row["precision"] == "fp32" for row in valid)
    return [
        _least(LATENCY, known, needs),
        _least(EXACT, exact, needs, TOO_FEW if any_exact else NO_FP32),
        *_under_load(load, [place(row) for row in known if not _shortfalls(row, needs)], command),
        _least(MEMORY, known, needs),
        _least(START, known, needs),
    ]


def constraints(needs: Record) -> str:
    """`needs` in words; empty where there are none."""
    words = []
    if needs.get("recommend_p90_ms"):
        words.append(f"p90 of at most {needs['recommend_p90_ms']:g} ms")
    if needs.get("recommend_memory_mib"):
        words.append(f"at most {needs['recommend_memory_mib']:,g} MiB of memory")
    if needs.get("recommend_precisions"):
        words.append(f"computed in {' or '.join(needs['recommend_precisions'])}")
    return ", ".join(words)


def _least(use: Use, rows: list[Row], needs: Record, none: str = TOO_FEW) -> Advice:
    """The row with the least figure of `use`, and how far the next one is behind; `none` says why
    there are no rows.
    """
    figure, words = use.figure, use.words
    if not rows:
        return {"use": use.name, "choice": none, "runner_up": "–"}
    fitting = sorted(_fitting(rows, needs), key=figure)
    if not fitting:
        return {"use": use.name, "choice": "no such mode fits", "runner_up": "–"}
    best, *others = fitting
    behind = [f"{name(row)}: {words(figure(row) - figure(best))} more" for row in others[:1]]
    choice = f"{name(best)}: {words((use.shown or figure)(best))}"
    return {"use": use.name, "choice": choice, "runner_up": "".join(behind) or "–"}


def fastest(valid: Sequence[Row], needs: Record) -> list[Row]:
    """The `valid` rows that keep `needs`, the fastest first, as in the report."""
    return sorted(_fitting(valid, needs), key=pace)


def _fitting(rows: Sequence[Row], needs: Record) -> list[Row]:
    return [row for row in rows if not _shortfalls(row, needs)]


def _shortfalls(row: Row, needs: Record) -> dict[str, float]:
    """Why `row` does not keep `needs`, each reason with how many times it exceeds its limit."""
    found: dict[str, float] = {}
    if limit := needs.get("recommend_p90_ms"):
        p90 = latency_of(row)["percentiles"]["p90"]
        if p90["ms"] > limit:
            found[f"its p90 of {brief(p90['ms'])} is above {limit:g} ms"] = p90["ms"] / limit
        elif not p90["supported"]:
            n = latency_of(row)["n"]
            found[f"its p90 needs {p90['needs']} requests and has {n}"] = 1.0
    if (limit := needs.get("recommend_memory_mib")) and _memory(row) > limit * 2**20:
        exceeded = _memory(row) / 2**20 / limit
        found[f"its {mebibytes(_memory(row))} of memory are above {limit:,g} MiB"] = exceeded
    if needs.get("recommend_precisions") and row["precision"] not in needs["recommend_precisions"]:
        found[f"it computes in {row['precision']}"] = math.inf
    return found


def _under_load(load: dict[str, Any] | None, places: list[Any], command: Command) -> list[Advice]:
    use = "Most requests a second within a bound of latency"
    if not load or not load["goals"]:
        choice = f"not measured: `{command(load='quick')}` measures it"
        return [{"use": use, "choice": choice, "runner_up": "–"}]
    allowed = [mode for mode in load["modes"] if place(mode) in places]
    lines: list[Advice] = []
    for bound, percentile in load["goals"]:
        best = best_capacities(allowed, bound, percentile)
        rates: list[tuple[Any, float]] = [(mode, found["rate"]) for mode, found in best]
        named = [f"{name(mode)}: {rate:.2f}/s (`{mode['setting']}`)" for mode, rate in rates[:1]]
        behind = [
            f"{name(mode)}: {rates[0][1] - rate:.2f}/s fewer (`{mode['setting']}`)"
            # the search does not tell such rates apart
            + "; too close to tell apart" * (rate * STEP > rates[0][1])
            for mode, rate in rates[1:2]
        ]
        lines.append(
            {
                "use": f"Most requests a second within {bound:g} ms at {percentile}",
                "choice": "".join(named) or "no rate was confirmed",
                "runner_up": "".join(behind) or "no other capacity is known",
            }
        )
    return lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results(parser)
    given = parser.add_argument_group("constraints", "by default, those of the run's settings")
    given.add_argument(
        "--p90-ms", type=_positive, help="the largest p90 of the latency; inf for any"
    )
    given.add_argument(
        "--memory-mib",
        type=_positive,
        help="the most memory of a mode's process; inf for any",
    )
    given.add_argument("--precisions", type=_precisions, help="such as fp32,bf16; all for any")


def _positive(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text} must be above 0")
    return 0.0 if number == math.inf else number  # no limit, as in settings


def _precisions(text: str) -> tuple[str, ...]:
    named = () if text == "all" else tuple(text.split(","))
    if not {*named} <= {*PRECISIONS}:
        raise argparse.ArgumentTypeError(f"{text!r} must be all, or some of {','.join(PRECISIONS)}")
    return named


def run(args: argparse.Namespace) -> None:
    archive = chosen(args)
    summary = read_summary(archive)
    config = records.settings_of(archive)
    given = dict(zip(NEEDS, (args.p90_ms, args.memory_mib, args.precisions), strict=True))
    needs = config | {key: value for key, value in given.items() if value is not None}
    valid = sorted((row for row in summary["rows"] if row["ranked"]), key=standing)
    load = load_view(read_capacities(archive), config)
    asked = constraints(needs)
    print(f"{archive.root}: {len(valid)} valid modes{asked and f'; asked for: {asked}'}.")
    for one in advice(valid, load, needs, command_with(records.options_of(archive))):
        runner_up = "" if one["runner_up"] == "–" else f"\n    then {one['runner_up']}"
        print(f"  {one['use']}:\n    {one['choice']}{runner_up}")
    if any(model["weights"] == "synthetic" for model in summary["ensemble"]):
        print("Measured with synthetic weights: repeat with release weights before you decide.")
