"""Where things stand after a round, and records that no summary may put together."""

import json

import pytest

from archive import modes, summary_of
from effdet_bench.__main__ import main
from effdet_bench.errors import BenchError


def standings(results, rounds: int, complete: int) -> str:
    """What the step prints after the first `rounds` of 4."""
    folders = [
        path.parent
        for number in range(1, rounds + 1)
        for path in sorted(results.glob(f"timing/cpu/*/round-{number}/job.json"))
    ]
    output = results / "standings.txt"
    given = ["--round", rounds, "--rounds", 4, "--complete", complete, "--output", output]
    main(["standings", "--jobs", *map(str, folders), *map(str, given)])
    return output.read_text()


def test_modes_stand_in_their_order_with_intervals_and_the_way_to_stop(tmp_path):
    results = modes(tmp_path, 0.01, baseline=100, baseline_twin=100, fused=50, no_network=1)
    said = standings(results, 2, complete=2)
    assert said.splitlines()[0] == "cpu round 2 of 4 is done. So far, answers not yet checked:"
    assert [line.split()[0] for line in said.splitlines()[2:5]] == [
        "fused",
        *("baseline-twin", "baseline"),
    ]
    assert "fused          50.0 ms                2.00x  2.00x – 2.00x" in said
    assert "`snakemake --cores 1 --config rounds=2`" in said


@pytest.mark.parametrize(("rounds", "complete"), [(1, 1), (3, 0), (4, 4)])
def test_nobody_is_told_to_stop_without_intervals_or_where_it_would_cost_rounds(
    tmp_path, rounds, complete
):
    results = modes(tmp_path, baseline=100, fused=50)
    assert "Ctrl-C" not in standings(results, rounds, complete)


@pytest.mark.parametrize(("key", "told"), [("why", False), ("file", False), ("sha256", True)])
def test_rounds_of_one_checkpoint_go_together_whatever_it_is_called(tmp_path, key, told):
    results = modes(tmp_path, baseline=100, fused=50)
    path = results / "timing/cpu/fused/round-4/job.json"
    job = json.loads(path.read_text())
    job["ensemble"][0][key] = "another"
    path.write_text(json.dumps(job))
    if told:
        with pytest.raises(BenchError, match="run `snakemake --cores 1 --config again=true`"):
            summary_of(results)
    else:
        assert summary_of(results)["rows"]
