"""A mode of a finished run under load, in short passes: raw data, judgement, report, audit."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from effdet_bench import records
from effdet_bench.__main__ import main
from effdet_bench.archive.audit import audit
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive
from effdet_bench.load import job, plan
from effdet_bench.load.capacities import capacities_of
from helpers import OF_TESTS, SHIPPED, Workspace

SHORT = plan.Setting(0.5, 0.5, 1, 2, 5, False, None, ("p90",), {"SingleStream": 10})
BOUNDS = ("1", "60000")  # in milliseconds: one that nothing keeps, and one that nothing breaks
MODE = {"engine": "eager", "options": {}, "devices": ["cpu"], "env": {}, "python": None}


RESULTS = Path("results/smoke")  # in the workspace


@pytest.fixture(scope="module")
def workspace(smoke: Workspace, tmp_path_factory) -> Workspace:
    return smoke.copy(tmp_path_factory.mktemp("load") / "project")


def step(workspace: Workspace, mode: str, env: str) -> list[str]:
    """What asks for the step `load`, of `mode` in `workspace`."""
    model, checkpoints = "tf_efficientdet_lite0", workspace.path / "checkpoints"
    arguments = {
        "machine": ["smoke"],
        "device": ["cpu"],
        "mode": [json.dumps(MODE | {"name": mode, "env": json.loads(env)})],
        "setting": ["quick"],
        "bounds": BOUNDS,
        "summary": [RESULTS / "summary.json"],
        "warmup": ["1"],
        "threads": ["2"],
        "photos": [SHIPPED],
        "first": ["8"],
        "records": checkpoints.glob("verified/*.json"),
        "checkpoints": checkpoints.glob("synthetic/*.pth"),
        "references": [RESULTS / f"reference/{model}.json"],
        "results": [RESULTS],
    }
    return ["load", *(str(w) for key, some in arguments.items() for w in (f"--{key}", *some))]


@pytest.fixture(scope="module")
def put_under_load(workspace: Workspace):
    """Puts a mode under load, in a copy of the smoke run; the archive."""

    def put(mode: str = "baseline", env: str = "{}"):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(workspace.path)
            patch.setitem(job.SETTINGS, "quick", SHORT)
            patch.setattr(plan, "SEARCHES", 2)
            patch.setattr(plan, "BATCH_GAIN", 9)  # no batch is tried but the first
            for variable in OF_TESTS:
                patch.delenv(variable, raising=False)
            main(step(workspace, mode, env))
            main(["capacities", "--results", str(RESULTS)])
            main(["manifest", "--results", str(RESULTS)])
            main(["render", str(RESULTS)])
        return Archive(workspace.path / RESULTS)

    return put


@pytest.fixture(scope="module")
def loaded(workspace, put_under_load) -> Archive:
    """Put under load once more, as the step was killed in the middle; its instances end with it."""
    command = [sys.executable, "-m", "effdet_bench", *step(workspace, "baseline", "{}")]
    with subprocess.Popen(command, cwd=workspace.path, env=workspace.env) as killed:
        instances: list[psutil.Process] = []
        while not instances:
            assert killed.poll() is None
            instances = psutil.Process(killed.pid).children()
            time.sleep(0.2)
        killed.kill()
    assert psutil.wait_procs(instances, 30)[1] == []
    return put_under_load()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="splits need two cores")
def test_what_a_mode_sustains_is_found_judged_and_shown(loaded):
    record = records.read_json(loaded.load("cpu", "baseline") / "load.json", "load")
    assert record["outcome"] == "completed"
    kinds = {(one["kind"], one.get("purpose")) for one in record["passes"]}
    expected = {("null", None), ("judged", None), ("closed", None)}
    assert expected | {("loadgen", "search"), ("loadgen", "scenario")} <= kinds
    cpus = {json.dumps(one["cpus"]) for one in record["passes"] if one["kind"] == "closed"}
    assert len(cpus) == 2
    (mode,) = records.read_json(loaded.capacities, "capacities")["modes"]
    assert mode["answers"]["verdict"] == "valid", mode["answers"]
    assert mode["answers"]["judged"] >= 3 * 8
    assert mode["answers"]["unknown"] == 0
    assert [one["bound_ms"] for one in mode["capacities"]] == [1, 60000]
    assert mode["capacities"][0]["rate"] is None
    assert mode["capacities"][1]["rate"] > 0
    for one in mode["passes"]:
        assert one["lost"] == 0
        assert one["latency"]["p50"] >= one["service"]["p50"]
    report = loaded.report.read_text()
    assert "## Under load" in report
    assert "figures/load.svg" in report
    assert re.search(r"CPU `baseline` \| SingleStream \| .* \| (IN)?VALID \|", report)


def test_it_follows_from_its_raw_data_and_nothing_of_a_run_that_was_killed_stays(loaded):
    assert list(audit(loaded)) == []


def test_both_runs_of_a_comparison_show_what_they_sustain(loaded, tmp_path):
    main(["compare", str(loaded.root), str(loaded.root), "--results", str(tmp_path)])
    text = (tmp_path / "changes.md").read_text()
    assert re.search(r"^\| CPU `baseline` \| p90 ≤ 60000 ms \| ([\d.]+/s) \| \1 \|$", text, re.M)


def test_an_edited_request_is_found(loaded, tmp_path):
    copied = Archive(Path(shutil.copytree(loaded.root, tmp_path / "smoke")))
    path = copied.load("cpu", "baseline") / "load.csv"
    rows = list(csv.reader(path.open(newline="")))
    rows[-1][-2] = str(10 * int(rows[-1][-2]))
    with path.open("w", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(rows)
    found = list(audit(copied))
    assert any(line.startswith("capacities.json") for line in found), found


def test_answers_are_judged_by_the_precision_of_the_verdict_and_only_of_present_modes(
    loaded, tmp_path
):
    copied = Archive(Path(shutil.copytree(loaded.root, tmp_path / "smoke")))
    path = copied.validity("cpu", "baseline")
    path.write_text(path.read_text().replace('"precision": "fp32"', '"precision": "bf16"'))
    with pytest.raises(BenchError, match="does not contain the precision bf16"):
        capacities_of(copied)
    settings = json.loads(copied.settings.read_text())
    settings["config"]["modes"] = [{"name": "no-network"}]
    copied.settings.write_text(json.dumps(settings))
    assert capacities_of(copied) == {"modes": []}


def test_a_mode_whose_answers_are_wrong_is_not_put_under_load(put_under_load):
    archive = put_under_load("no-network")
    record = records.read_json(archive.load("cpu", "no-network") / "load.json", "load")
    assert record["outcome"] == "unavailable"
    assert "only modes that completed their timing with valid answers" in record["reason"]
    assert record["reason"] in archive.report.read_text()


def test_a_mode_that_cannot_be_loaded_is_reported_with_its_reason(put_under_load):
    archive = put_under_load("baseline", env='{"LD_PRELOAD": "libnowhere.so"}')
    record = records.read_json(archive.load("cpu", "baseline") / "load.json", "load")
    assert record["outcome"] == "unavailable"
    assert "libnowhere.so, which the loader did not find" in record["reason"]
    assert [one["kind"] for one in record["passes"]] == ["null"]
    section = archive.report.read_text().split("## Under load")[1].split("## ")[0]
    assert "No mode could be put under load." in section
    assert "libnowhere.so" in section
    assert "Machines for a rate" not in section


def test_the_workflow_plans_it_for_every_mode_with_a_detector(smoke: Workspace):
    planned = smoke.planned("--config", "load=quick")
    loads = [line for line in planned if line.startswith("load_mode")]
    assert loads == ["load_mode results/smoke/load/cpu/baseline/load.json"]
    assert {line.split()[0] for line in planned} == {
        *("load_mode", "capacities", "settings", "figures", "report", "manifest")
    }
    asked = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--config", "load=much"],
        cwd=smoke.path,
        env=smoke.env,
        capture_output=True,
        text=True,
    )
    assert "load is 'much', but must be off, quick or full." in asked.stdout + asked.stderr
