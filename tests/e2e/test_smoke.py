"""A whole run as a user makes it, on a small network and with more cores than a timing may use."""

import itertools
import json
import re
from datetime import datetime, timedelta

import pandas as pd

from helpers import ROOT, Workspace


def jobs(workspace: Workspace) -> list[dict]:
    records = workspace.results.glob("timing/*/*/*/job.json")
    return sorted((json.loads(p.read_text()) for p in records), key=lambda job: job["started"])


def test_everything_is_there(smoke):
    names = {str(p.relative_to(smoke.results)) for p in smoke.results.rglob("*") if p.is_file()}
    rounds = {
        f"timing/cpu/{mode}/round-{number}/{file}"
        for mode in ("baseline", "invalid")
        for number in (1, 2)
        for file in ("requests.csv", "stages.csv", "job.json")
    }
    archive = {"environment.json", "photos.json", "summary.json", "summary.csv", "report.md"}
    assert rounds | archive == {name for name in names if not name.startswith("logs/")}


def test_timings_never_overlap_and_are_interleaved(smoke):
    spans = []
    for job in jobs(smoke):
        begin = datetime.fromisoformat(job["started"])
        spans.append((begin, begin + timedelta(seconds=job["job_seconds"])))
    for before, after in itertools.pairwise(spans):
        assert after[0] >= before[1] - timedelta(milliseconds=2)
    order = [(job["round"], job["mode"]) for job in jobs(smoke)]
    assert order == [(1, "baseline"), (1, "invalid"), (2, "baseline"), (2, "invalid")]
    logs = smoke.results.glob("logs/timing/*.log")
    assert not any("waiting" in log.read_text() for log in logs)


def test_threads_are_those_of_config_and_not_those_of_cores(smoke):
    asked = {job["threads"] for job in jobs(smoke)}
    assert asked == {job["threads_used"] for job in jobs(smoke)}
    assert asked != {8}


def test_the_terminal_shows_progress_and_the_key_finding(smoke):
    said = (smoke.path / "terminal.txt").read_text()
    assert re.search(r"\[1/4\] cpu baseline round 1: 5/5 requests, about 0 s left", said)
    assert "With `baseline` on CPU, one request takes" in said
    assert "The report: results/smoke/report.md" in said


def test_the_report_is_honest_about_what_it_is(smoke):
    report = (smoke.results / "report.md").read_text()
    assert "A smoke run, not a benchmark" in report
    assert "Synthetic weights" in report
    for section in (
        "## Test environment",
        "## Executive summary",
        "### Key finding",
        "### Models used",
        "## Performance bounds",
        "## Device comparison",
        "### Performance gap analysis",
        "## Implications for production",
        "## Optimisation roadmap",
        "## Running the benchmark",
        "## Raw data",
        "## Conclusion",
    ):
        assert section in report


def test_baseline_works_and_invalid_does_not(smoke):
    table = pd.read_csv(smoke.results / "summary.csv").set_index("mode")
    assert (table["outcome"] == "completed").all()
    assert table.loc["baseline", "p50_ms"] > table.loc["invalid", "p50_ms"]
    summary = json.loads((smoke.results / "summary.json").read_text())
    stages = {row["mode"]: row["stages"] for row in summary["rows"]}
    assert stages["baseline"]["forward_ms"] > 100 * stages["invalid"]["forward_ms"]
    assert stages["invalid"]["decode_ms"] > 0


def test_a_mode_that_fails_leaves_the_others_and_a_full_report(finished):
    source = (finished.package / "engines" / "invalid.py").read_text()
    broken = source.replace("return self._zeros[index]", "raise MemoryError('too big')")
    (finished.package / "engines" / "broken.py").write_text(broken)
    modes = ("{name: baseline, engine: eager}", "{name: broken, engine: broken}")
    finished.append("smoke.yaml", f"modes: [{', '.join(modes)}]\n")
    done = finished.snakemake()
    assert done.returncode == 0, done.stdout
    report = (finished.results / "report.md").read_text()
    assert "| CPU `broken` | failed | 0 of 2 | MemoryError: too big |" in report
    assert "**CPU `baseline`** |" in report


def test_a_device_that_is_not_there_is_a_row(finished):
    config = finished.path / "smoke.yaml"
    config.write_text(config.read_text().replace("devices: [cpu]", "devices: [cpu, mps]"))
    done = finished.snakemake()
    assert done.returncode == 0, done.stdout
    report = (finished.results / "report.md").read_text()
    assert "| MPS `baseline` | unavailable | 0 of 2 | torch" in report


def test_the_readme_quotes_a_report_that_was_really_written():
    quoted = [line[2:] for line in (ROOT / "README.md").read_text().splitlines() if line[:1] == ">"]
    report = (ROOT / "results" / "amd-epyc-2-core" / "report.md").read_text().splitlines()
    assert len(quoted) > 10
    assert [line for line in quoted if line and line not in report] == []
