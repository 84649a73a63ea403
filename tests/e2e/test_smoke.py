"""A whole run as a user makes it, on a small network and with more cores than a timing may use."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from archive import documents
from effdet_bench.archive.render import summary_of
from effdet_bench.facts.photos import PICTURED, list_photos
from effdet_bench.layout import Archive
from effdet_bench.records import RAW_COLUMNS, rounded
from effdet_bench.report.figures.detections import draw_detections
from effdet_bench.report.figures.draw import BY_NAME, draw
from helpers import ROOT, SHIPPED, Workspace

MODES = ("baseline", "baseline-twin", "no-network")


def jobs(workspace: Workspace) -> list[dict]:
    records = workspace.results.glob("timing/*/*/*/job.json")
    return sorted((json.loads(p.read_text()) for p in records), key=lambda job: job["started"])


def test_everything_is_there(smoke):
    names = {str(p.relative_to(smoke.results)) for p in smoke.results.rglob("*") if p.is_file()}
    rounds = {
        f"timing/cpu/{mode}/round-{number}/{file}"
        for mode in MODES
        for number in (1, 2)
        for file in (*RAW_COLUMNS, "job.json")
    }
    archive = {"environment.json", "photos.json", "summary.json", "summary.csv", "report.md"}
    archive |= {"details.md"}
    archive |= {"settings.json", "report.html", "MANIFEST.sha256"}
    archive |= {f"validity/cpu/{mode}.json" for mode in MODES}
    kinds = ("json", "csv", "npy", "inputs.npy", "rounding.json", "rounding.csv")
    archive |= {f"reference/tf_efficientdet_lite0.{kind}" for kind in kinds}
    archive |= {f"figures/{name}.svg" for name in BY_NAME} | {"roofline/cpu.json"}
    archive |= {"figures/detections-tf_efficientdet_lite0.svg"}
    archive |= {f"photos/{path.name}" for path in list_photos(SHIPPED)[:PICTURED]}
    assert rounds | archive == {name for name in names if not name.startswith("logs/")}


def test_rounds_never_overlap_and_come_in_order(smoke):
    spans = {}
    for job in jobs(smoke):
        begin = datetime.fromisoformat(job["started"])
        spans[job["round"]] = (begin, begin + timedelta(seconds=job["job_seconds"]))
    assert list(spans) == [1, 2]
    assert spans[2][0] >= spans[1][1] - timedelta(milliseconds=2)
    assert {job["seed"] for job in jobs(smoke)} == {0}
    logs = smoke.results.glob("logs/timing/*.log")
    assert not any("waiting" in log.read_text() for log in logs)


def test_threads_are_those_of_config_and_not_those_of_cores(smoke):
    asked = {job["threads"] for job in jobs(smoke)}
    assert asked == {job["threads_used"] for job in jobs(smoke)}
    assert asked != {8}


def test_the_terminal_shows_progress_and_the_key_finding(smoke):
    said = (smoke.path / "terminal.txt").read_text()
    assert len(said) < 3000
    assert (
        "effdet-bench: times 3 modes on CPU, 2 rounds. Close other programs. About 2 min in all."
        in said
    )
    assert "cpu round 2 of 2 is done. So far, answers not yet checked:" in said
    row = r"baseline-twin +[\d.]+ ms +[\d.]+x  [\d.]+x – [\d.]+x"
    assert len(re.findall(row, said)) == 1, "one round gives no interval"
    phases = ["Checkpoints, references, exports", "Timing", "Checking answers", "Report"]
    for number, (phase, steps) in enumerate(zip(phases, (6, 2, 2, 5), strict=True), start=1):
        assert f"[{number}/4] {phase}: {steps} of {steps} done" in said
    assert "With `baseline` on CPU, one request takes" in said
    assert "The fastest valid mode is CPU `baseline`. It is the only valid mode." in said
    assert "Accuracy: it finds at least 100.0 % of the reference's detections." in said
    assert "Doubts: this is a smoke run, no benchmark, the weights are synthetic" in said
    ending = said.strip().splitlines()
    assert ending[-1] == "The report: results/smoke/report.md, and report.html"
    assert any(re.fullmatch(r"cpu baseline +[\d.]+ ms +1.00x  –  +valid", line) for line in ending)
    (log,) = re.findall(r"Complete log\(s\): (.*)", said)
    assert "rule time_cpu_1:" in Path(log).read_text()


def test_the_logs_of_steps_say_what_the_terminal_leaves_out(smoke):
    logs = smoke.results / "logs"
    timing = (logs / "timing" / "cpu-round-1.log").read_text()
    assert "[0%] cpu round 1 of 2: loading mode 1 of 3" in timing
    assert "[100%] cpu round 1 of 2: turn 5 of 5" in timing
    stale = "tf_efficientdet_lite0: a photo is answered with the outputs of another one"
    said = "cpu baseline: valid\ncpu baseline-twin: valid\n"
    assert (logs / "validity.log").read_text() == f"{said}cpu no-network: invalid: {stale}\n"


def test_the_report_is_honest_about_what_it_is(smoke):
    report = documents(smoke.results)
    assert "A smoke run, not a benchmark" in report
    assert "Synthetic weights" in report
    assert "\nsnakemake --cores 1 --configfile smoke.yaml\n" in report
    assert "`snakemake --cores 1 --configfile smoke.yaml --config load=quick`" in report
    for section in (
        "## Test environment",
        "## Executive summary",
        "### Key finding",
        "## Models used",
        "## Validity",
        "## Comparison with `baseline`",
        "## Stability",
        "## Performance bounds",
        "### The physical bound",
        "## Implications for production",
        "## Running the benchmark",
        "## Raw data",
    ):
        assert section in report


def test_baseline_works_and_no_network_does_not(smoke):
    table = pd.read_csv(smoke.results / "summary.csv").set_index("mode")
    assert (table["outcome"] == "completed").all()
    assert table.loc["baseline", "p50_ms"] > table.loc["no-network", "p50_ms"]
    summary = json.loads((smoke.results / "summary.json").read_text())
    stages = {row["mode"]: row["stages"] for row in summary["rows"]}
    assert stages["baseline"]["forward_ms"] > 100 * stages["no-network"]["forward_ms"]
    assert stages["no-network"]["decode_ms"] > 0


def test_the_gate_passes_baseline_exactly_and_fails_no_network(smoke):
    judged = {}
    for mode in MODES:
        path = smoke.results / "validity" / "cpu" / f"{mode}.json"
        judged[mode] = json.loads(path.read_text())
    for mode in MODES[:2]:
        (model,) = judged[mode]["models"]
        assert judged[mode]["verdict"] == "valid"
        assert model["requests"] >= 8
        assert len(model["photos"]) >= 4
        worst = [model[k] for k in ("class_error", "box_error", "box_drift_px", "score_drift")]
        assert worst == [0, 0, 0, 0]
        assert [model[k] for k in ("errors", "photo_errors", "wrong")] == [0, 0, 0]
        assert 0 <= judged[mode]["outside"] < 0.05
        assert judged[mode]["unseen"]["requests"] == 2, "one in each round"
    assert judged["no-network"]["verdict"] == "invalid"
    assert judged["no-network"]["failed"] == "stale"


def test_figures_are_well_formed_and_the_same_again(smoke, tmp_path):
    summary, jobs = summary_of(Archive(smoke.results))
    draw(rounded(summary), jobs, tmp_path)
    draw_detections(Archive(smoke.results), rounded(summary), tmp_path)
    for path in (smoke.results / "figures").iterdir():
        ElementTree.parse(path)
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_snakemakes_own_report_has_ours_in_it(finished):
    done = finished.snakemake("--report", "run.html")
    assert done.returncode == 0, done.stdout
    assert "report.html" in (finished.path / "run.html").read_text()


def test_the_readme_quotes_a_report_that_was_really_written():
    """That of an example, which no run of anybody's replaces."""
    readme = (ROOT / "README.md").read_text()
    quoted = [line[2:] for line in readme.splitlines() if line[:1] == ">"]
    example = re.search(r"\(examples/([\w-]+)/report\.md\)", readme)[1]
    report = (ROOT / "examples" / example / "report.md").read_text().splitlines()
    assert len(quoted) >= 8
    assert [line for line in quoted if line and line not in report] == []
