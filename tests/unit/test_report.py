"""The report: every number in it follows from the raw data, and its words from the numbers."""

import json
import random
import re
from pathlib import Path

import pytest

from archive import modes, render_archive, report_of, roofline, summary_of, write_archive
from effdet_bench.errors import BenchError
from effdet_bench.summary.jobs import read_jobs
from rebuilt import SETTINGS, archived_numbers, numbers_of, rebuilt, unexplained

APPLE = {
    "cpu": """1426.16 1432.89 1441.23 1448.56 1451.12 1452.34 1453.21 1454.67 1456.89 1458.12
        1460.45 1463.78 1467.23 1471.56 1478.90 1485.34 1491.67 1498.23 1506.78 1514.06""",
    "mps": """160.74 161.23 162.45 163.12 163.89 164.23 164.67 165.12 166.34 167.89 169.23 171.45
        173.67 175.89 177.23 179.12 181.45 185.67 189.34 193.32""",
}


def draw(seed: int, around_ms: float, count: int) -> list[int]:
    generator = random.Random(seed)
    return [round(generator.gauss(around_ms, around_ms / 20) * 1e6) for _ in range(count)]


@pytest.fixture
def archive(tmp_path) -> Path:
    """Two devices, three rounds of 30 requests, and a device that was not there."""
    jobs = {}
    for number in (1, 2, 3):
        for device, mode, around in (
            ("cpu", "baseline", 1450),
            ("cpu", "baseline-twin", 1450),
            ("cpu", "broken", 20),
            ("cpu", "no-network", 90),
            ("mps", "baseline", 165),
        ):
            seed = number + round(around) + len(mode)
            latencies = [round(around * 2e6), *draw(seed, around, 30)]
            stages = draw(seed + 7, around / 7, 14)
            job = {"latencies_ns": latencies, "stages_ns": stages, "load": 0.01 * number}
            verdict = {"verdict": "invalid"} if mode in ("broken", "no-network") else {}
            jobs[device, mode, number] = {**job, **verdict, "probe_ms": (5.0, 5.0 + number / 5)}
        reason = "torch is built without CUDA."
        jobs["cuda", "baseline", number] = {"outcome": "unavailable", "reason": reason}
    return write_archive(tmp_path / "results" / "test", jobs)


OPTIONS = {
    "latency_targets": [
        {"use": "Video", "milliseconds": 33},
        {"use": "Interactive", "milliseconds": 200},
    ],
    "throughput_targets": [5],
}


def test_every_number_follows_from_the_raw_data(archive):
    report = report_of(archive, **OPTIONS)
    assert len(numbers_of(report)) > 250
    assert unexplained(report, rebuilt(archive) | archived_numbers()) == set()


def test_a_number_that_does_not_follow_is_found(archive):
    report, known = report_of(archive, **OPTIONS), rebuilt(archive) | archived_numbers()
    for number in {n for n in numbers_of(report) if n.endswith((" ms", "x", " requests/s"))}:
        digit = next(i for i in range(len(number) - 1, -1, -1) if number[i].isdigit())
        wrong = number[:digit] + str((int(number[digit]) + 1) % 10) + number[digit + 1 :]
        if wrong not in known | SETTINGS:
            assert wrong in unexplained(report.replace(number, wrong), known)


def test_the_figures_of_a_published_report_are_those_of_its_raw_values(tmp_path):
    """No pass over stages was made."""
    jobs = {
        (device, "baseline", 1): {
            "latencies_ns": [10**9, *(round(float(value) * 1e6) for value in values.split())]
        }
        for device, values in APPLE.items()
    }
    report = report_of(write_archive(tmp_path / "results" / "test", jobs))
    for figure in ("1,465.66 ms", "168.56 ms", "171.80 ms", "8.66x", "0.68 requests/s"):
        assert figure in report
    assert "1,459.28 ms" in report or "1,459.29 ms" in report
    medians = "`baseline` on MPS takes 169 ms and `baseline` on CPU takes 1.46 s at the median"
    assert f"Key finding: {medians}, but this run cannot decide which is faster: one" in report


def test_the_same_data_give_the_same_bytes(archive):
    assert render_archive(archive) == render_archive(archive)


def test_what_did_not_run_is_a_row_with_its_reason(archive):
    report = report_of(archive)
    row = "| CUDA `baseline` | unavailable | 0 of 3 | torch is built without CUDA. |"
    assert row in report


def test_percentiles_that_are_not_supported_say_what_they_need(archive):
    report = report_of(archive)
    assert re.search(r"\*\*Latency p99\*\* \| [\d,.]+ ms † \|", report)
    assert not re.search(r"\*\*Latency p90\*\* \| [\d,.]+ ms † \|", report)
    assert "662 for p99 (`snakemake --cores 1 --config requests=221`)" in report


def test_one_device_is_not_compared_with_what_is_not_there(tmp_path):
    latencies = {"latencies_ns": [10**9] * 5, "stages_ns": [10**6] * 7}
    results = write_archive(tmp_path / "results" / "test", {("cpu", "baseline", 1): latencies})
    report = report_of(results)
    assert not re.search(r"\b(CUDA|MPS|GPU|NVIDIA|Apple|[Aa]ccelerator)", report)
    assert "Synthetic" not in report
    assert re.search(r"^\| \S+ \| .* \| release \| `\S+\.pth` \|", report, re.M)
    assert "smoke run" not in report


def test_synthetic_weights_and_smoke_runs_carry_banners(tmp_path):
    job = {"latencies_ns": [10**9] * 5, "stages_ns": [10**6] * 7, "weights": "synthetic"}
    results = write_archive(tmp_path / "results" / "test", {("cpu", "baseline", 1): job})
    top = report_of(results, smoke=True).split("## Test environment")[0]
    assert "A smoke run, not a benchmark" in top
    assert "Synthetic weights" in top


def test_a_machine_on_which_nothing_ran_still_has_a_report(tmp_path):
    job = {"outcome": "failed", "reason": "RuntimeError: out of memory"}
    results = write_archive(tmp_path / "results" / "test", {("cpu", "baseline", 1): job})
    report = report_of(results)
    assert "No mode gave valid answers" in report
    assert "out of memory" in report


def test_invalid_modes_are_never_ranked(archive):
    """`broken` has the lowest latency of all, and wrong answers."""
    summary = summary_of(archive)
    rows = {(row["device"], row["mode"]): row for row in summary["rows"]}
    assert rows["cpu", "no-network"]["floor"]
    ranked = {key for key, row in rows.items() if row["ranked"]}
    assert ranked == {("cpu", "baseline"), ("mps", "baseline")}
    for key in (("cpu", "broken"), ("cpu", "no-network")):
        assert rows[key]["comparison"] is None
    report = report_of(archive, **OPTIONS)
    assert "Key finding: `baseline` on MPS" in report
    table = report.split("### Key finding")[1].split("### Models used")[0]
    assert re.search(
        r"\| \*\*CPU `broken`\*\* .*\| – \| not ranked \| \*\*INVALID\*\*: class", table
    )
    assert "not ranked: no network ran" in table
    assert "- CPU `broken` is **INVALID**: a relative error of class logits." in report
    ranking = report.split("### Latency targets")[1].split("### What a start")[0]
    assert "`no-network`" not in ranking
    assert "`broken`" not in ranking


def test_an_invalid_baseline_is_not_what_others_are_compared_with(tmp_path):
    job = {"latencies_ns": [10**9] * 5, "stages_ns": [10**6] * 7}
    jobs = {("cpu", "baseline", 1): {**job, "verdict": "invalid"}, ("mps", "baseline", 1): job}
    results = write_archive(tmp_path / "results" / "test", jobs)
    assert summary_of(results)["baseline"] == {"device": "mps", "mode": "baseline"}
    assert "With `baseline` on MPS" in report_of(results)


def test_where_every_mode_is_invalid_there_is_no_finding(tmp_path):
    job = {"latencies_ns": [10**9] * 5, "stages_ns": [10**6] * 7, "verdict": "invalid"}
    report = report_of(write_archive(tmp_path / "results" / "test", {("cpu", "baseline", 1): job}))
    assert "No mode gave valid answers on this machine" in report
    assert "No `baseline` is valid and complete" in report


def test_verdicts_are_against_the_noise_of_the_twin(tmp_path):
    quiet = modes(tmp_path / "quiet", baseline=100, baseline_twin=100, near=103, far=80)
    found = {row["mode"]: row["comparison"] for row in summary_of(quiet)["rows"]}
    assert {mode: one and one["verdict"] for mode, one in found.items()} == {
        "baseline": None,
        "baseline-twin": "SAME",
        "near": "SLOWER",
        "far": "FASTER",
    }
    noisy = modes(tmp_path / "noisy", 0.05, baseline=100, baseline_twin=100, near=103, far=80)
    found = {row["mode"]: row["comparison"]["verdict"] for row in summary_of(noisy)["rows"][1:]}
    assert found == {"baseline-twin": "AMBIGUOUS", "near": "SAME", "far": "FASTER"}
    report = report_of(noisy)
    assert "Key finding: `far` on CPU is 1.25x as fast as `baseline`" in report
    assert "away from 1: this is the noise." in report


def test_the_key_finding_claims_no_more_than_was_found(tmp_path):
    results = modes(tmp_path, 0.05, baseline=100, baseline_twin=100, near=98)
    finding = "With `baseline` on CPU, one request takes 100 ms at the median"
    report = report_of(results)
    assert finding in report
    assert "and no other mode was shown to be faster" in report


def test_doubts_that_most_modes_have_are_told_once(archive):
    report = report_of(archive)
    drift = "- 4 of 4 modes: a fixed computation ran up to 12.0 % slower after the round"
    assert report.split("### Performance")[0].count(drift) == 1
    assert not re.search(r"\*\*CPU .* ms ⚠", report)


def test_a_doubt_of_one_mode_alone_marks_its_row(tmp_path):
    results = modes(tmp_path, baseline=100, baseline_twin=100, near=80, far=60)
    path = results / "timing" / "cpu" / "far" / "round-2" / "job.json"
    job = json.loads(path.read_text())
    job["conditions"]["load"]["other"] = 0.3
    path.write_text(json.dumps(job))
    report = report_of(results)
    table = report.split("### All modes")[1].split("## Are the answers")[0]
    assert [
        line.split("`")[1] for line in table.splitlines() if line[:1] == "|" and "⚠" in line
    ] == ["far"]
    own = "- ⚠ CPU `far`: other processes took up to 30.0 % of the processor time (round 2)."
    assert own in report


def test_a_calm_archive_says_so(tmp_path):
    calm = modes(tmp_path, baseline=100, baseline_twin=100)
    order = random.Random(1)  # neither trend nor dependence
    for path in sorted(calm.glob("timing/*/*/*/requests.csv")):
        header, *rows = (line.split(",") for line in path.read_text().splitlines())
        for row, latency in zip(rows, order.sample(range(10**8, 10**8 + 13), 13), strict=True):
            row[header.index("latency_ns")] = str(latency)
        path.write_text("".join(",".join(row) + "\n" for row in (header, *rows)))
    report = report_of(calm)
    assert "Nothing makes these figures unsteady" in report
    assert "⚠" not in report


def test_the_bound_is_shown_and_none_where_no_ceiling_was_measured(archive, tmp_path):
    report = report_of(archive)
    least = roofline("cpu")["request"]["bounds"]["fp32"]["compute_ms"]
    assert f"| CPU `baseline` | fp32 {least:.2f} ms |" in report
    assert "| CUDA |" not in report.split("### The physical bound")[1].split("---")[0]
    jobs = {("cuda", "baseline", 1): {"latencies_ns": [10**9] * 5, "stages_ns": [10**6] * 7}}
    report = report_of(write_archive(tmp_path / "results" / "other", jobs))
    assert "No device's ceilings could be measured" in report


def test_what_all_modes_together_hold_of_a_gpu_is_told(tmp_path):
    job = {"latencies_ns": [10**9] * 5, "stages_ns": [10**6] * 7}
    jobs = {
        ("cuda", "baseline", 1): job | {"held_bytes": 3 * 2**30},
        ("cuda", "baseline", 2): job | {"held_bytes": 5 * 2**30},
        ("cpu", "baseline", 1): job,
        ("cpu", "baseline", 2): job,
    }
    report = report_of(write_archive(tmp_path / "results" / "other", jobs))
    assert "On CUDA, all modes of a round side by side, and everything else" in report
    assert "held 5,120 MiB of memory" in report
    assert "300 MiB on the device" in report.split("### What a start costs")[1].split("##")[0]


@pytest.mark.parametrize("file", ["requests.csv", "stages.csv", "job.json"])
def test_a_missing_raw_file_is_one_sentence(archive, file):
    folder = archive / "timing" / "cpu" / "baseline" / "round-2"
    (folder / file).unlink()
    with pytest.raises(BenchError, match="round-2"):
        read_jobs([folder])


def test_a_row_that_is_gone_is_noticed(archive):
    path = archive / "timing" / "cpu" / "baseline" / "round-2" / "requests.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(BenchError, match=r"has 29 timed requests, but job\.json says 30"):
        read_jobs([path.parent])


def test_stages_of_models_side_by_side_are_told_from_those_of_a_request(tmp_path):
    job = {"latencies_ns": [10**9] * 5, "stages_ns": [10**6] * 7}
    parallel = job | {"options": {"parallel": True}}
    jobs = {("cpu", "baseline", 1): job, ("cpu", "parallel", 1): parallel}
    report = report_of(write_archive(tmp_path / "results" / "test", jobs))
    assert report.count("**Not as in a request**: in a request these models run side by side") == 1
    assert re.search(r"\| CPU `parallel` \| fp32 .* \| – \|$", report, re.M)


def test_rounds_of_different_versions_are_not_put_together_in_silence(tmp_path):
    calm = {"latencies_ns": [10**9] * 5, "stages_ns": [10**6] * 7}
    results = write_archive(tmp_path / "test", {("cpu", "baseline", k): calm for k in (1, 2)})
    job = results / "timing" / "cpu" / "baseline" / "round-2" / "job.json"
    job.write_text(job.read_text().replace("2.9.1", "2.10.0"))
    text = report_of(results)
    assert "Rounds were measured with different versions**: torch 2.9.1 and 2.10.0." in text
