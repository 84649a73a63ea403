"""check-engine: a correct engine passes, and each planted fault fails the check made for it.

The command runs in a process of its own: processes that are forked from one that has used several
threads of torch, as this one may have, would hang.
"""

import json
import os
import subprocess
import sys

import pytest

from helpers import unlimited
from planted_engines import HONEST, PLANTED, install


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """Runs check-engine; returns its exit status and what it told."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, {"honest": HONEST} | {name: code for name, (code, *_) in PLANTED.items()})
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    env = unlimited() | {"PYTHONPATH": path, "EFFDET_BENCH_LOCK": str(folder / "lock")}

    def run(*args: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "effdet_bench", "check-engine", *args]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_fails_the_check_that_is_made_for_it(check, name):
    _, failing, words = PLANTED[name]
    status, told = check(name, "--only", failing)
    assert status == 1
    assert words in told
    assert f"the engine {name} failed: {failing}." in told


def test_a_correct_engine_passes_and_the_table_is_a_file_too(check, tmp_path):
    status, told = check("honest", "--json", str(tmp_path / "found.json"))
    assert status == 0, told
    record = json.loads((tmp_path / "found.json").read_text())
    assert record["passed"]
    found = {one["check"]: one["status"] for one in record["checks"]}
    assert len(found) == 10
    unfit = {name for name, word in found.items() if word == "not applicable"}
    assert unfit == {"precisions", "batches"}
    assert record["versions"]["planted-engines"] == "0.1"


def test_without_any_check_that_ran_the_exit_status_says_so(check):
    status, told = check("graph", "--only", "determinism")
    assert status == 1
    assert "no check of the engine graph ran here" in told
