"""What a report advises: which mode leads, how sure that is, and a mode for each use."""

import pytest

from archive import modes, report_of, summary_of, write_archive
from effdet_bench.report.commands import command_with
from effdet_bench.report.decision import accuracy_cost
from effdet_bench.report.recommendation import advice, fastest
from effdet_bench.report.tables import page_faults


def test_a_mode_that_ties_with_the_fastest_is_named(tmp_path):
    clear = modes(tmp_path / "clear", baseline=100, baseline_twin=100, near=80, far=60)
    report = report_of(clear)
    assert (
        "- **How sure**: Sure on this machine: it is 1.33x (1.33x – 1.33x) as fast as the next"
        in report
    )
    noisy = modes(tmp_path / "noisy", 0.1, baseline=100, baseline_twin=100, near=62, far=60)
    rows = {row["mode"]: row["behind"] for row in summary_of(noisy)["rows"]}
    assert rows["far"] is None
    assert rows["baseline"]["verdict"] == "FASTER"
    assert "- **How sure**: Not sure: it ties with CPU `near` (1.03x" in report_of(noisy)


def test_one_round_tells_no_modes_apart(tmp_path):
    job = {"latencies_ns": [10**9] * 13, "stages_ns": [10**6] * 7}
    fast = {**job, "latencies_ns": [10**8] * 13}
    jobs = {("cpu", "baseline", 1): job, ("cpu", "fast", 1): fast}
    assert "one round cannot tell modes apart" in report_of(
        write_archive(tmp_path / "results" / "test", jobs)
    )


def test_a_headline_says_what_the_table_says_and_which_requests_do_not_support_it(tmp_path):
    slow = {"latencies_ns": [10**9] * 3, "stages_ns": [10**6] * 7}
    fast = {"latencies_ns": [10**7] * 3, "stages_ns": [10**6] * 7}
    jobs = {("cpu", "baseline", k): slow for k in (1, 2, 3)}
    jobs |= {("cuda", "graph", k): fast for k in (1, 2, 3)}
    report = report_of(write_archive(tmp_path / "results" / "test", jobs))
    (headline,) = [line for line in report.splitlines() if line.startswith("### Key finding")]
    assert "`graph` on CUDA is 100.00x as fast as `baseline` on CPU (95 % interval" in headline
    assert "10.0 ms at the median, which 6 requests do not support (11 are needed)" in headline
    (row,) = [line for line in report.splitlines() if line.startswith("| **CUDA `graph`** | –")]
    assert "**100.00x**" in row
    assert "**FASTER**" in row


def test_a_headline_of_one_round_says_what_a_decision_needs(tmp_path):
    """As on an H200, where `baseline` had two requests."""
    slow = {"latencies_ns": [10**9] * 3, "stages_ns": [10**6] * 7}
    fast = {"latencies_ns": [10**7] * 3, "stages_ns": [10**6] * 7}
    jobs = {("cpu", "baseline", 1): slow, ("cuda", "graph", 1): fast}
    report = report_of(write_archive(tmp_path / "results" / "test", jobs))
    (headline,) = [line for line in report.splitlines() if line.startswith("### Key finding")]
    assert "`graph` on CUDA takes 10.0 ms and `baseline` on CPU takes 1.00 s" in headline
    assert "this run cannot decide which is faster: `graph` has 2 requests" in headline
    assert "; `baseline` has 2 requests, and a median needs 11; one round gives" in headline


def test_a_mode_of_one_round_is_not_called_slower(tmp_path):
    """Others have more rounds, so that intervals are known, but not of this mode."""
    job = {"latencies_ns": [10**9] * 13, "stages_ns": [10**6] * 7}
    fast = {**job, "latencies_ns": [10**8] * 13}
    near = {**job, "latencies_ns": [2 * 10**8] * 13}
    jobs = {("cpu", "baseline", k): job for k in (1, 2)}
    jobs |= {("cpu", "fast", k): fast for k in (1, 2)} | {("cpu", "near", 1): near}
    jobs["cpu", "near", 2] = {"outcome": "failed", "reason": "RuntimeError: out of memory"}
    report = report_of(write_archive(tmp_path / "results" / "test", jobs))
    assert (
        "- **How sure**: Not sure: it ties with CPU `near` (2.00x as fast). The difference is"
        in report
    )


def test_page_faults_are_those_of_modes_of_one_device():
    def row(device: str, mode: str, faults: int) -> dict:
        versus = {"ratio": 2.0, "low": 1.9, "high": 2.1}
        effort = {"minor_faults": faults, "kernel_ms": faults / 10}
        return {"device": device, "mode": mode, "effort": effort, "comparison": versus}

    baseline = row("cpu", "baseline", 90)
    valid = [baseline, row("cpu", "baseline-malloc", 20), row("cuda", "baseline", 50)]
    assert "saves 70 of 90 page faults a request, and 7.00 ms of 9.00 ms" in (
        page_faults(valid, baseline)
    )
    assert page_faults(valid, valid[2]) == page_faults(valid[::2], baseline) == ""
    assert page_faults(valid, None) == ""


def test_each_use_has_a_mode_and_its_runner_up(tmp_path):
    report = report_of(modes(tmp_path, baseline=100, baseline_twin=100, near=80, far=60))
    uses = report.split("### Which mode for which use")[1].split("### All modes")[0]
    assert "| Lowest latency | CPU `far`: 60.0 ms | CPU `near`: 20.0 ms more |" in uses
    assert "not measured: `snakemake --cores 1 --config load=quick` measures it" in uses
    assert "baseline-twin" not in uses


def test_a_use_that_no_mode_has_requests_for_says_so(tmp_path):
    job = {"latencies_ns": [10**9] * 3, "stages_ns": [10**6] * 7}
    report = report_of(write_archive(tmp_path / "results" / "test", {("cpu", "baseline", 1): job}))
    none = "no such mode has enough requests to support a median"
    assert f"| Lowest latency | {none} | – |" in report
    assert f"| Lowest latency without loss of accuracy (fp32) | {none} | – |" in report


def test_without_a_mode_in_fp32_the_advice_says_so(tmp_path):
    results = modes(tmp_path, baseline=100)
    for path in results.glob("timing/*/*/*/job.json"):
        path.write_text(path.read_text().replace('"fp32"', '"bf16"'))
    exact = "| Lowest latency without loss of accuracy (fp32) | no valid mode computes in fp32 |"
    assert exact in report_of(results)


def recommended(results, capsys, *needs: str) -> str:
    from effdet_bench.__main__ import main

    capsys.readouterr()
    main(["recommend", str(results), *needs])
    return capsys.readouterr().out


def test_other_constraints_are_asked_of_an_archive(tmp_path, capsys):
    results = modes(tmp_path, baseline=100, baseline_twin=100, near=80, far=60)
    report_of(results)
    said = recommended(results, capsys, "--p90-ms", "70", "--precisions", "fp32")
    assert "3 valid modes; asked for: p90 of at most 70 ms, computed in fp32." in said
    nothing = "nothing fits: the nearest is CPU `far`, but its p90 needs 64 requests and has 48"
    assert nothing in said
    assert "the nearest is CPU `far`, but its p90 of 60.0 ms is above 50 ms" in (
        recommended(results, capsys, "--p90-ms", "50")
    )
    said = recommended(results, capsys, "--memory-mib", "1000")
    assert "Lowest latency:\n    CPU `far`: 60.0 ms\n    then CPU `near`: 20.0 ms more\n" in said
    mebibytes = "its 904 MiB of memory are above 500 MiB"
    assert mebibytes in recommended(results, capsys, "--memory-mib", "500")
    assert "but it computes in fp32" in recommended(results, capsys, "--precisions", "bf16")


def test_constraints_of_the_settings_are_taken_away(tmp_path, capsys):
    results = modes(tmp_path, baseline=100, baseline_twin=100, near=80, far=60)
    report_of(results, recommend_p90_ms=50)
    assert "nothing fits" in recommended(results, capsys)
    said = recommended(results, capsys, "--p90-ms", "inf", "--precisions", "all")
    assert "3 valid modes." in said
    assert "Lowest latency:\n    CPU `far`: 60.0 ms\n" in said


def test_a_mode_that_keeps_the_constraints_is_recommended(tmp_path, capsys):
    jobs = {}
    for mode, ms in (("baseline", 100), ("far", 60)):
        for number in range(1, 5):
            latencies = [ms * 10**6 + k for k in range(21)]
            jobs["cpu", mode, number] = {"latencies_ns": latencies, "stages_ns": [10**6] * 7}
    results = write_archive(tmp_path / "results" / "test", jobs)
    report = report_of(results, recommend_p90_ms=70)
    assert "Only valid modes count, with p90 of at most 70 ms." in report
    assert "| Lowest latency | CPU `far`: 60.0 ms | – |" in report
    assert "| Least memory | CPU `far`: 904 MiB | – |" in report


def test_the_mode_to_deploy_is_the_fastest_that_keeps_the_constraints(tmp_path):
    tails = {"baseline": [100] * 21, "far": [60] * 16 + [300] * 5}
    jobs = {
        ("cpu", mode, number): {"latencies_ns": [ms * 10**6 for ms in tail]}
        for mode, tail in tails.items()
        for number in range(1, 5)
    }
    results = write_archive(tmp_path / "results" / "test", jobs)
    assert "- **To deploy CPU `far`**: on this machine" in report_of(results)
    report = report_of(results, recommend_p90_ms=200)
    assert "The fastest valid mode is CPU `far`." in report
    assert "- **To deploy CPU `baseline`**: on this machine" in report
    assert "To deploy" not in report_of(results, recommend_p90_ms=50)


def test_the_fastest_mode_is_the_first_of_the_report():
    slow_rounds, other = (
        {"latency": {"percentiles": {"p50": {"ms": ms}}}, "drift": drift}
        for ms, drift in ((90, 2.0), (60, 1.0))
    )
    assert fastest([other, slow_rounds], {}) == [slow_rounds, other]


def test_the_advice_for_latency_names_the_mode_that_leads_the_report():
    """Two modes of different sets: the machine was half as fast while it measured the first."""
    shared = {"device": "cpu", "precision": "fp32", "import_seconds": 1, "load_seconds": 1}
    shared |= {"peak_rss_bytes": 1, "peak_device_bytes": None, "first_request_ms": 1}
    rows = [
        {"latency": {"percentiles": {"p50": {"ms": ms, "supported": True}}}, "drift": drift}
        | shared
        | {"mode": mode}
        for mode, ms, drift in (("leads", 90, 2.0), ("next", 60, 1.0))
    ]
    first, *_ = advice(rows, None, {}, command_with({}))
    assert first["choice"] == "CPU `leads`: 90.0 ms"
    assert first["runner_up"] == "CPU `next`: 15.0 ms more"


WORST = {"matched": 0.9, "box_drift_px": 2.0}


def measured(model: str, share: float) -> dict:
    return {"model": model, "photos": 5000, "share": share, "low": share - 0.01, "high": 1.0}


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (None, "finds at least 90.0 % of the reference's detections, and moves their boxes by up"),
        ([{"model": "d0", "photos": 8}], "finds at least 90.0 %"),
        (
            [measured("d0", 0.995)],
            "keeps 99.5 % (95 % interval 98.5 to 100.0 %) of the reference's mAP on 5,000 photos",
        ),
        (
            [measured("d0", 0.999), measured("d1", 0.995), measured("merged", 0.5)],
            "keeps 99.5 % (95 % interval 98.5 to 100.0 %) of the reference's mAP of d1 on 5,000",
        ),
    ],
)
def test_what_a_mode_loses_is_told_by_its_accuracy_where_that_is_known(known, words):
    row = {"validity": {"accuracy": known}, "precision": "bf16"}
    assert words in accuracy_cost(row, WORST)
    assert ("because it rounds to bf16" in accuracy_cost(row, WORST)) == ("finds" in words)
