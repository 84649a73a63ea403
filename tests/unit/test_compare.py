"""Machines side by side, and one machine before and after: what differs is named, and counts."""

import contextlib
import json
import random
import re

import pytest
import yaml

from archive import summarise_archive, write_archive
from effdet_bench import records
from effdet_bench.__main__ import main
from effdet_bench.archive.machines import differences, read_machines
from effdet_bench.archive.manifest import write_manifest
from effdet_bench.archive.pack import pack
from effdet_bench.facts.machine import fingerprint
from effdet_bench.layout import Archive
from effdet_bench.summary.comparison import unpaired


def jobs(around_ms: float, seed: int, fused_ms: float | None = None, **more) -> dict:
    """Three rounds of 12 requests of baseline, and of a mode that is twice as fast by default."""
    generator = random.Random(seed)
    made = {}
    for number in (1, 2, 3):
        for mode, ms in (("baseline", around_ms), ("fused", fused_ms or around_ms / 2)):
            latencies = [round(generator.gauss(1, 0.01) * ms * 1e6) for _ in "1" * 13]
            made["cpu", mode, number] = {"latencies_ns": latencies, "stages_ns": [10**6] * 7} | more
    return made


def archive(path, around_ms: float = 100, seed: int = 0, **more):
    made = write_archive(path, jobs(around_ms, seed, **more))
    for job in made.glob("timing/*/*/*/job.json"):
        record = json.loads(job.read_text()) | {"machine": path.name}
        job.write_text(json.dumps(record))
    summarise_archive(made)
    return made


def compare(*args: str) -> None:
    main(["compare", *map(str, args)])


def given(before, after) -> tuple:
    """Two runs as arguments; what is written lies beside the second."""
    return before, after, "--results", after.parent


def test_machines_stand_side_by_side_with_published_figures_apart(tmp_path):
    archive(tmp_path / "results" / "alpha", 100)
    archive(tmp_path / "results" / "beta", 50, seed=1)
    archive(tmp_path / "results" / "smoke", 10)
    summarise_archive(tmp_path / "results" / "smoke", smoke=True)
    compare("--results", tmp_path / "results")
    text = (tmp_path / "results" / "comparison.md").read_text()
    own, published = text.split("## Published by others, not measured here")
    assert re.findall(r"^\| \*\*(\w+)\*\* \| CPU `(\w+)`", own, re.M) == [
        ("beta", "fused"),
        ("alpha", "fused"),
    ]
    assert "| Mode | beta | alpha |" in own
    assert re.search(
        r"^\| `fused` \| [\d.]+ ms \([\d.]+x\) \| [\d.]+ ms \([\d.]+x\) \|$", own, re.M
    )
    assert len(re.findall(r"^\| `(\w+)` \|", own, re.M)) == 2
    assert "smoke" not in own
    assert "Apple M4 Pro, CPU | – | – | – | 1459.28" in published
    html = (tmp_path / "results" / "comparison.html").read_text()
    assert "data:image/svg+xml" in html
    assert (tmp_path / "results" / "comparison.svg").exists()


def test_what_makes_rows_incomparable_is_named(tmp_path):
    archive(tmp_path / "alpha")
    archive(tmp_path / "beta", weights="synthetic")
    for job in (tmp_path / "beta").glob("timing/*/*/*/job.json"):
        job.write_text(job.read_text().replace("0" * 64, "1" * 64).replace("2.9.1", "2.10.0"))
    summarise_archive(tmp_path / "beta")
    first, second = read_machines(tmp_path)
    assert differences(first, second) == [
        "other weights (synthetic)",
        "torch 2.10.0 in place of 2.9.1",
    ]


def test_without_an_archive_there_is_nothing_to_compare(tmp_path, capsys):
    with pytest.raises(SystemExit, match=f"{tmp_path}/ holds no archive to compare"):
        compare("--results", tmp_path)


def test_a_regression_fails_and_is_named(tmp_path, capsys):
    before = archive(tmp_path / "a" / "test", 100)
    after = archive(tmp_path / "b" / "test", 100, seed=1, fused_ms=60)
    with pytest.raises(SystemExit, match="1 of 2 modes regressed"):
        compare(*given(before, after), "--threshold", "0.05")
    assert "REGRESSION: cpu fused: " in capsys.readouterr().err


@pytest.mark.parametrize("threshold", ["nan", "-1", "5"])
def test_a_threshold_that_is_no_share_is_refused(threshold, capsys):
    with pytest.raises(SystemExit):
        compare("a", "b", f"--threshold={threshold}")
    assert f"{threshold} is no share, such as 0.05 for 5 %" in capsys.readouterr().err


def test_runs_of_different_machines_are_not_compared(tmp_path):
    runs = []
    for model in (17, 68):
        runs.append(archive(tmp_path / str(model) / "test"))
        record = json.loads((runs[-1] / "environment.json").read_text())
        record["fingerprint"] = fingerprint() | {"model": str(model)}
        records.write_json(runs[-1] / "environment.json", record, "environment")
    with pytest.raises(SystemExit, match="they are of different machines"):
        compare(*given(*runs))


def test_other_code_is_named_before_any_change(tmp_path, capsys):
    """Both runs were asked for one request in each round, whatever they had time for."""
    runs = []
    for number, commit in enumerate(("abc", "def")):
        made = archive(tmp_path / str(number) / "test")
        for job in made.glob("timing/*/*/*/job.json"):
            code = {"commit": commit, "changed": False, "harness": "11", "engine": "22"}
            records.write_json(job, json.loads(job.read_text()) | {"code": code}, "job")
        summarise_archive(made)
        config = {"requests": 1, "smoke": False}
        records.write_json(made / "settings.json", {"config": config}, "settings")
        runs.append(made)
    summary = runs[1] / "summary.json"
    summary.write_text(summary.read_text().replace('"requests": 12', '"requests": 9'))
    compare(*given(*runs))
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "The runs differ: commit def in place of abc."
    assert len(others) == 2
    compare(*given(runs[0], runs[0]))
    assert "The runs have the same code, settings and versions." in capsys.readouterr().out
    other = archive(tmp_path / "3" / "test")
    for job in other.glob("timing/cpu/fused/*/job.json"):
        record = json.loads(job.read_text()) | {"env": {"A": "b"}}
        records.write_json(job, record, "job")
    summarise_archive(other)
    compare(*given(archive(tmp_path / "4" / "test"), other))
    assert capsys.readouterr().out.startswith("The runs differ: other settings of cpu fused.")
    unknown = archive(tmp_path / "2" / "test")
    compare(*given(unknown, unknown))
    assert "but no record of their code" in capsys.readouterr().out
    records.write_json(unknown / "settings.json", {"config": config}, "settings")
    compare(*given(unknown, runs[0]))
    assert "only one of them says which code measured it" in capsys.readouterr().out


def test_a_machine_that_is_slower_as_a_whole_is_no_regression(tmp_path, capsys):
    """All modes and the fixed computation take 7 % longer; both ratios are stated."""
    before = archive(tmp_path / "a" / "test", 100, probe_ms=(5.0, 5.0))
    after = archive(tmp_path / "b" / "test", 107, seed=1, probe_ms=(5.35, 5.35))
    compare(*given(before, after))
    told = capsys.readouterr()
    assert "REGRESSION" not in told.err
    (fused,) = [line for line in told.out.splitlines() if line.startswith("cpu fused")]
    raw, relative = map(float, re.findall(r"([\d.]+)x(?: as fast)? \(", fused))
    assert raw == pytest.approx(1 / 1.07, abs=0.02)
    assert relative == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("baseline_ms", "fused_ms", "bad"), [(120, 60, "2 of 2"), (80, 50, None), (80, 60, "1 of 2")]
)
def test_a_changed_baseline_is_no_measure_of_the_machine(
    tmp_path, capsys, baseline_ms, fused_ms, bad
):
    """The fixed computation takes as long as before, so the machine is as fast as before."""
    before = archive(tmp_path / "a" / "test", 100, probe_ms=(5.0, 5.0))
    after = archive(
        tmp_path / "b" / "test", baseline_ms, seed=1, fused_ms=fused_ms, probe_ms=(5.0, 5.0)
    )
    with pytest.raises(SystemExit, match=f"{bad} modes") if bad else contextlib.nullcontext():
        compare(*given(before, after))
    told = capsys.readouterr()
    assert ("REGRESSION" in told.err) == bool(bad)
    assert f"relative to a fixed computation {100 / baseline_ms:.1f}" in told.out


def test_what_became_of_modes_is_written_for_machines_and_for_people(tmp_path, monkeypatch):
    shown = tmp_path / "shown.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(shown))
    before = archive(tmp_path / "a" / "test", 100)
    after = archive(tmp_path / "b" / "test", 100, seed=1, fused_ms=60)
    with pytest.raises(SystemExit, match="1 of 2 modes regressed"):
        compare(*given(before, after))
    record = records.read_json(after.parent / "changes.json", "changes")
    assert [change["kind"] for change in record["changes"]] == ["none", "slower"]
    for ratio in ("compared", "relative"):
        assert record["changes"][1][ratio]["ratio"] == pytest.approx(50 / 60, rel=0.02)
    text = (after.parent / "changes.md").read_text()
    assert "| CPU `fused` | 49.91 ms | 60.12 ms | 0.83x" in text
    assert "| `baseline`: 0.83x" in text
    assert text.count("**REGRESSION**") == 1
    assert text in shown.read_text()


@pytest.mark.parametrize("packed", [False, True])
def test_what_a_second_measurement_does_not_find_is_no_regression(tmp_path, capsys, packed):
    before = archive(tmp_path / "a" / "test", 100)
    after = archive(tmp_path / "b" / "test", 100, seed=1, fused_ms=60)
    modes = [{"name": n, "engine": "eager", "options": {}} for n in ("baseline", "fused", "x")]
    settings = {"modes": modes, "machine": "test", "smoke": False}
    settings |= {"seconds": 1, "requests": 1, "warmup": 2, "rounds": 3, "threads": 4}
    records.write_json(after / "settings.json", {"config": settings}, "settings")
    if packed:
        write_manifest(Archive(after))
        after = pack(Archive(after), tmp_path)
    with pytest.raises(SystemExit):
        compare(*given(before, after), "--suspects", tmp_path / "suspects.yaml")
    suspects = yaml.safe_load((tmp_path / "suspects.yaml").read_text())
    assert [mode["name"] for mode in suspects["modes"]] == ["baseline", "fused"]
    assert suspects["machine"] == "test-again"
    assert suspects["again"], "rounds of an earlier confirmation do not count"
    capsys.readouterr()
    compare(*given(before, after), "--again", archive(tmp_path / "c" / "test", 100, seed=2))
    assert "REGRESSION" not in capsys.readouterr().err
    slow = archive(tmp_path / "d" / "test", 100, seed=3, fused_ms=60)
    with pytest.raises(SystemExit, match="1 of 2 modes regressed"):
        compare(*given(before, after), "--again", slow)


def test_no_regression_passes_be_it_faster_small_or_unsure(tmp_path, capsys):
    before = archive(tmp_path / "a" / "test", 100)
    for around in (40, 50, 51.5):
        after = archive(tmp_path / str(around) / "test", 100, seed=int(around), fused_ms=around)
        compare(*given(before, after), "--threshold", "0.05")
        assert "REGRESSION" not in capsys.readouterr().err


def test_a_mode_that_is_no_longer_valid_is_a_regression(tmp_path, capsys):
    before = archive(tmp_path / "a" / "test")
    after = archive(tmp_path / "b" / "test", seed=1)
    verdict = after / "validity" / "cpu" / "fused.json"
    verdict.write_text(verdict.read_text().replace('"verdict": "valid"', '"verdict": "invalid"'))
    summarise_archive(after)
    with pytest.raises(SystemExit, match="1 of 2 modes regressed"):
        compare(*given(before, after))
    assert "cpu fused: no longer valid" in capsys.readouterr().err


def test_a_mode_that_the_gate_could_not_decide_on_is_no_invalid_one(tmp_path, capsys):
    before = archive(tmp_path / "a" / "test")
    after = archive(tmp_path / "b" / "test", seed=1)
    verdict = after / "validity" / "cpu" / "fused.json"
    told = verdict.read_text().replace('"verdict": "valid"', '"verdict": "not decided"')
    verdict.write_text(told)
    summarise_archive(after)
    with pytest.raises(SystemExit, match="1 of 2 modes regressed"):
        compare(*given(before, after))
    assert "cpu fused: the gate could not decide whether" in capsys.readouterr().err


def test_runs_of_other_work_are_not_compared(tmp_path):
    before = archive(tmp_path / "a" / "test")
    after = archive(tmp_path / "b" / "test")
    for job in after.glob("timing/*/*/*/job.json"):
        record = json.loads(job.read_text())
        record["threads"] += 1
        records.write_json(job, record, "job")
    summarise_archive(after)
    with pytest.raises(SystemExit, match="cannot be compared: 5 threads in place of 4"):
        compare(before, after)
    with pytest.raises(SystemExit, match="is one run: give the run to compare it with, too"):
        compare(before)


def test_unpaired_runs_of_one_speed_rarely_differ():
    generator = random.Random(1)

    def run():
        return {k: {n: [generator.gauss(100, 5)] for n in range(20)} for k in range(5)}

    apart = [
        one for one in (unpaired(run(), run()) for _ in range(200)) if not one.low < 1 < one.high
    ]
    assert len(apart) <= 22, "95 % intervals err in 5 % of cases: 10 of 200 are to be expected"


def test_unpaired_runs_with_one_round_have_no_interval():
    found = unpaired({1: {1: [100.0]}}, {1: {1: [50.0]}})
    assert found.ratio == pytest.approx(2)
    assert found[1:] == (None, None, None, 1)
