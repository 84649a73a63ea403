"""Tries an engine on two small networks: the fast loop while one writes an engine.

Engines are tried in processes of their own. docs/engines.md says what each check means.
"""

import argparse
import contextlib
import json
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from effdet_bench import records
from effdet_bench.config.declarations import declaration
from effdet_bench.config.modes import Options, engine_versions
from effdet_bench.config.names import DEVICES
from effdet_bench.conformance.bench import Bench
from effdet_bench.conformance.checks import CHECKS, FAILED, PASSED, Result, check, not_loaded
from effdet_bench.conformance.tried import Trials
from effdet_bench.engines.loading import engine_module
from effdet_bench.errors import BenchError
from effdet_bench.processes import Worker, process_context
from effdet_bench.timing.job import lock_timing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("engine", help="the name of an engine, of this package or another one")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="default: cpu")
    parser.add_argument(
        "--options",
        type=_options,
        default={},
        help='JSON: options of all trials, such as {"rewritten": true}',
    )
    parser.add_argument(
        "--only", nargs="+", choices=CHECKS, default=list(CHECKS), metavar="CHECK", help="by name"
    )
    parser.add_argument("--json", type=Path, help="a file for the results, too")


def _options(text: str) -> Options:
    """The argument `--options`.

    Raises:
        ArgumentTypeError: it is no JSON object.
    """
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON object")
    return given


def _check_options(engine: str, options: Options) -> None:
    """Raises BenchError unless `engine` has all `options`, with these values."""
    known = declaration(engine).options
    for name, value in options.items():
        if value not in known.get(name, []):
            takes = f"one of {known[name]}" if name in known else f"an option: {[*known]}"
            raise BenchError(f"--options: {name} is {value!r}, but must be {takes}.")


def run(args: argparse.Namespace) -> None:
    # first, because mistakes in the file and in the options show at once
    declaration(args.engine)
    _check_options(args.engine, args.options)
    # of the libraries that engines use, in this process and in those that it starts
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"
    # beside a round of a benchmark, both would be disturbed
    with lock_timing():
        begin = time.monotonic()
        results = []
        for result in _checked(args):
            results.append(result)
            print(line(result), flush=True)
    seconds = time.monotonic() - begin
    print(f"Failed checks: {len(_failed(results))} of {len(results)}. Time: {seconds:.0f} s.")
    if args.json:
        record = {"engine": args.engine, "device": args.device, "passed": _passed(results)}
        record |= {"versions": engine_versions(args.engine)}
        record |= {"checks": [result._asdict() for result in results]}
        records.write_json(args.json, record, "conformance")
    conclude(args.engine, results)


def _checked(args: argparse.Namespace) -> Iterator[Result]:
    """The results of the checks; of an engine that cannot be imported, at once."""
    # in a child, because an engine may start threads, and processes are forked from this one
    imported = Worker(process_context(), engine_module, args.engine)
    imported.end()
    if not imported.outcome.completed:
        yield from (not_loaded(name, imported.outcome) for name in args.only)
        return
    with tempfile.TemporaryDirectory(prefix="effdet-bench-check-") as folder:
        bench = Bench(args.device, Path(folder))
        with contextlib.closing(Trials(bench, args.engine, args.options)) as trials:
            yield from (check(trials, name) for name in args.only)


def conclude(engine: str, results: list[Result]) -> None:
    """Raises BenchError if `engine` failed a check, or if no check passed."""
    if failed := _failed(results):
        raise BenchError(f"the engine {engine} failed: {', '.join(failed)}.")
    if not _passed(results):
        raise BenchError(f"no check of the engine {engine} ran here: the table says why.")


def _failed(results: list[Result]) -> list[str]:
    return [result.check for result in results if result.status == FAILED]


def _passed(results: list[Result]) -> bool:
    return any(result.status == PASSED for result in results) and not _failed(results)


def line(result: Result) -> str:
    """A row of the table."""
    return f"{result.check:<{max(map(len, CHECKS))}}  {result.status:<14}  {result.text}"
