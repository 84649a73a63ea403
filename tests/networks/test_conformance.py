"""check-engine: a correct engine passes, and each planted fault fails the check made for it.

Checks run in a process of their own: processes that are forked from one that has used several
threads of torch, as this one may have, would hang.
"""

import json
import os
import subprocess
import sys

import pytest

from effdet_bench.conformance.check_engine import conclude
from effdet_bench.conformance.checks import FAILED, NOT_APPLICABLE, PASSED, Result
from effdet_bench.errors import BenchError
from helpers import ROOT, unlimited
from planted_engines import HONEST, PLANTED, UNAVAILABLE, install


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Runs Python where the engines are installed; returns exit status, output and errors."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, {"honest": HONEST} | {name: code for name, (code, *_) in PLANTED.items()})
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    env = unlimited() | {"PYTHONPATH": path, "EFFDET_BENCH_LOCK": str(folder / "lock")}
    env["OMP_WAIT_POLICY"] = "passive"  # leaves cores to the tests beside

    def run(*args: str) -> tuple[int, str, str]:
        command = [sys.executable, *args]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture(scope="module")
def found(python):
    """Results by engine: for a planted one, of the check that is made for its fault."""
    status, told, errors = python(str(ROOT / "tests" / "planted_engines.py"))
    assert status == 0, errors
    return json.loads(told.splitlines()[-1])


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_fails_the_check_that_is_made_for_it(found, name):
    _, failing, words = PLANTED[name]
    check, status, text = found[name]
    assert (check, status) == (failing, FAILED), text
    assert words in text


def test_an_engine_that_cannot_run_here_is_not_applicable(found):
    _, status, text = found[UNAVAILABLE]
    assert status == NOT_APPLICABLE
    assert "CUDA graphs need an NVIDIA GPU" in text


def test_a_correct_engine_passes_and_the_table_is_a_file_too(python, tmp_path):
    file = tmp_path / "found.json"
    command = ("-m", "effdet_bench", "check-engine", "honest", "--json", str(file))
    status, told, errors = python(*command)
    assert status == 0, told + errors
    record = json.loads(file.read_text())
    assert record["passed"]
    found = {one["check"]: one["status"] for one in record["checks"]}
    assert len(found) == 10
    unfit = {name for name, word in found.items() if word == NOT_APPLICABLE}
    assert unfit == {"precisions", "batches"}
    assert record["versions"]["planted-engines"] == "0.1"
    assert all(name in told for name in found)


def test_an_engine_that_cannot_be_imported_fails_with_the_line(python):
    command = ("-m", "effdet_bench", "check-engine", "misnamed", "--only", "threads", "memory")
    status, told, errors = python(*command)
    assert status == 1
    assert told.count("planted_misnamed.py, line 4, cannot be imported") == 2
    assert "the engine misnamed failed: threads, memory." in errors


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([PASSED, NOT_APPLICABLE], None),
        ([NOT_APPLICABLE], "no check of the engine mine ran here"),
        ([PASSED, FAILED], "the engine mine failed: 1."),
    ],
)
def test_the_end_of_the_command_says_what_failed_or_that_nothing_ran(words, reason):
    results = [Result(str(number), word, "why") for number, word in enumerate(words)]
    if reason is None:
        conclude("mine", results)
    else:
        with pytest.raises(BenchError, match=reason):
            conclude("mine", results)
