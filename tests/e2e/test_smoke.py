"""A whole run as a user makes it, on a small network and with more cores than a timing may use."""

import hashlib
import json
import re
import shutil
from datetime import datetime, timedelta
from xml.etree import ElementTree

import pandas as pd

from effdet_bench.archive.render import summary_of
from effdet_bench.records import RAW_COLUMNS, rounded
from effdet_bench.report.figures.draw import FIGURES, draw
from helpers import ROOT, UNSEEN, Workspace

MODES = ("baseline", "baseline-twin", "invalid")
STALE = """
from effdet_bench.engines.eager import Eager


class Stale(Eager):
    def forward(self, index, pixels):
        self.kept = getattr(self, "kept", None) or super().forward(index, pixels)
        return self.kept


def load(models, device, options):
    return Stale(models, device, options)
"""


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
    archive |= {"settings.json", "report.html", "MANIFEST.sha256"}
    archive |= {f"validity/cpu/{mode}.json" for mode in MODES}
    archive |= {f"reference/tf_efficientdet_lite0.{kind}" for kind in ("json", "csv", "npy")}
    archive |= {f"figures/{figure.__name__}.svg" for figure in FIGURES} | {"roofline/cpu.json"}
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
    assert "cpu round 1 of 2: 4/4 requests of each mode, about 0 s left" in said
    assert "cpu baseline: valid" in said
    assert "cpu invalid: invalid: tf_efficientdet_lite0: relative error of class logits" in said
    assert "With `baseline` on CPU, one request takes" in said
    ending = said.strip().splitlines()
    assert ending[-1] == "The report: results/smoke/report.md, and report.html"
    assert any(re.fullmatch(r"cpu baseline +[\d.]+ ms +1.00x  –  +valid", line) for line in ending)


def test_the_report_is_honest_about_what_it_is(smoke):
    report = (smoke.results / "report.md").read_text()
    assert "A smoke run, not a benchmark" in report
    assert "Synthetic weights" in report
    for section in (
        "## Test environment",
        "## Executive summary",
        "### Key finding",
        "### Models used",
        "## Validity",
        "## Comparison with `baseline`",
        "## Stability",
        "## Performance bounds",
        "### The physical bound",
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


def test_the_gate_passes_baseline_exactly_and_fails_invalid(smoke):
    judged = {}
    for mode in MODES:
        path = smoke.results / "validity" / "cpu" / f"{mode}.json"
        judged[mode] = json.loads(path.read_text())
    for mode in MODES[:2]:
        (model,) = judged[mode]["models"]
        assert judged[mode]["verdict"] == "valid"
        assert model["requests"] == 8
        assert len(model["photos"]) == 4
        worst = [model[k] for k in ("class_error", "box_error", "box_drift_px", "score_drift")]
        assert worst == [0, 0, 0, 0]
    assert judged["invalid"]["verdict"] == "invalid"
    assert judged["invalid"]["failed"] == "class_error"


def test_figures_are_well_formed_and_the_same_again(smoke, tmp_path):
    summary, jobs = summary_of(smoke.results)
    draw(rounded(summary), jobs, tmp_path)
    for path in (smoke.results / "figures").iterdir():
        ElementTree.parse(path)
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_snakemakes_own_report_has_ours_in_it(finished):
    done = finished.snakemake("--report", "run.html")
    assert done.returncode == 0, done.stdout
    assert "report.html" in (finished.path / "run.html").read_text()


def test_wrong_answers_are_reported_as_invalid_and_never_ranked(finished):
    """An engine that is fast because it decodes no photo but the first."""
    (finished.package / "engines" / "stale.py").write_text(STALE)
    modes = ("{name: baseline, engine: eager}", "{name: stale, engine: stale}")
    finished.append("smoke.yaml", f"modes: [{', '.join(modes)}]\n")
    done = finished.snakemake()
    assert done.returncode == 0, done.stdout
    report = (finished.results / "report.md").read_text()
    assert re.search(r"CPU `stale`\*\* .*not ranked \| \*\*INVALID\*\*: class error", report)
    assert "Key finding: With `baseline` on CPU" in report
    assert "CPU `stale` is INVALID and counts for nothing" in report


def test_accuracy_is_left_out_with_synthetic_weights_and_said_to_be(finished):
    shutil.copy(UNSEEN / "instances.json", finished.path / "instances.json")
    finished.append("smoke.yaml", "annotations: instances.json\n")
    done = finished.snakemake()
    assert done.returncode == 0, done.stdout
    assert "Rule: time_round" not in done.stdout
    report = (finished.results / "report.md").read_text()
    assert "mAP is left out for tf_efficientdet_lite0: of synthetic weights" in report


def test_accuracy_of_weights_of_ones_own(finished):
    """The same weights, as a file of the user's."""
    file = finished.path / "checkpoints" / "synthetic" / "tf_efficientdet_lite0-seed0.pth"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    shutil.copy(file, finished.path / "mine.pth")
    shutil.copy(UNSEEN / "instances.json", finished.path / "instances.json")
    entry = f"{{model: tf_efficientdet_lite0, file: mine.pth, sha256: {digest}}}"
    text = (finished.path / "smoke.yaml").read_text()
    text = text.replace("ensemble: [tf_efficientdet_lite0]", f"ensemble: [{entry}]")
    settings = "annotations: instances.json\nrounds: 1\ntwin: false\n"
    (finished.path / "smoke.yaml").write_text(text.replace("rounds: 2\n", settings))
    done = finished.snakemake()
    assert done.returncode == 0, done.stdout
    report = (finished.results / "report.md").read_text()
    row = re.search(r"CPU `baseline` \| tf_efficientdet_lite0 \| 4 \| (\d+\.\d) % \| – \|", report)
    assert row, report
    assert "The published figure is of release weights on the whole of val2017" in report


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


def test_an_engine_without_its_package_is_one_row_of_a_full_report(finished):
    shadow = "raise ImportError('not here', name='openvino')\n"
    (finished.path / "workflow" / "openvino.py").write_text(shadow)
    config = finished.path / "smoke.yaml"
    modes = "modes: [baseline, onnxruntime, openvino]"
    config.write_text(config.read_text().replace("modes: [baseline, invalid]", modes))
    done = finished.snakemake()
    assert done.returncode == 0, done.stdout
    report = (finished.results / "report.md").read_text()
    missing = (
        "| CPU `openvino` | unavailable | 0 of 2 | the engine openvino needs the package openvino"
    )
    assert missing in report
    assert report.count("| unavailable |") == 1
    assert re.search(r"\*\*CPU `onnxruntime`\*\* .*\| valid \|", report)


def test_an_architecture_twice_is_an_ensemble_that_runs_as_one(finished):
    config = finished.path / "smoke.yaml"
    lite0 = "tf_efficientdet_lite0"
    own = f"{{model: {lite0}, name: traffic, classes: 7}}"
    text = config.read_text().replace(f"[{lite0}]", f"[{lite0}, {own}]")
    text = text.replace("modes: [baseline, invalid]", "modes: [baseline, vmap, grouped]")
    config.write_text(text.replace("rounds: 2", "rounds: 1"))
    done = finished.snakemake()
    assert done.returncode == 0, done.stdout
    report = (finished.results / "report.md").read_text()
    for mode in ("vmap", "grouped"):
        assert re.search(rf"\*\*CPU `{mode}`\*\* .*\| valid \|", report), report
    work = json.loads((finished.results / "roofline" / "cpu.json").read_text())["models"]
    assert [one["model"] for one in work] == [lite0, "traffic"]
    assert work[0]["flops"] > work[1]["flops"], "fewer classes are less work"


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
