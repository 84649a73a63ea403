"""check-engine: a correct engine passes every check, and each planted fault fails the right one."""

import json

import pytest

from effdet_bench.__main__ import main
from effdet_bench.conformance.bench import Bench
from effdet_bench.conformance.checks import check
from effdet_bench.conformance.tried import Trials
from effdet_bench.facts import engines
from planted_engines import HONEST, PLANTED, install


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Engines of a package from outside, by which this process and its children find them."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, {"honest": HONEST} | {name: code for name, (code, *_) in PLANTED.items()})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        engines._installed.cache_clear()
        yield folder
    engines._installed.cache_clear()
    engines.located.cache_clear()


@pytest.fixture(scope="module")
def trials(installed, tmp_path_factory):
    """One bench for all engines: they run the same networks."""
    made = Bench("honest", "cpu", tmp_path_factory.mktemp("bench"))

    started = []

    def of(engine: str) -> Trials:
        made.engine = engine
        started.append(Trials(made))
        return started[-1]

    yield of
    for trials in started:
        trials.close()


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_fails_the_check_that_is_made_for_it(trials, name):
    _, failing, words = PLANTED[name]
    found = check(trials(name), failing)
    assert found.status == "failed", found.text
    assert words in found.text


def test_a_correct_engine_passes_and_the_table_is_a_file_too(installed, tmp_path, capsys):
    main(["check-engine", "honest", "--json", str(tmp_path / "found.json")])
    record = json.loads((tmp_path / "found.json").read_text())
    assert record["passed"]
    found = {one["check"]: one["status"] for one in record["checks"]}
    assert len(found) == 10
    unfit = {name for name, status in found.items() if status == "not applicable"}
    assert unfit == {"precisions", "batches"}
    assert record["versions"]["planted-engines"] == "0.1"
    assert capsys.readouterr().out.count("passed") == 8


def test_a_failed_check_is_the_exit_status(installed, capsys):
    with pytest.raises(SystemExit, match="the engine deaf failed: precisions"):
        main(["check-engine", "deaf", "--only", "precisions"])
    assert "failed " in capsys.readouterr().out


def test_without_any_check_that_ran_the_exit_status_says_so():
    with pytest.raises(SystemExit, match="no check of the engine graph ran here"):
        main(["check-engine", "graph", "--only", "determinism"])


def test_an_engine_that_cannot_run_here_is_not_applicable(trials):
    found = check(trials("graph"), "determinism")
    assert found.status == "not applicable"
    assert "CUDA graphs need an NVIDIA GPU" in found.text
