"""What Snakemake would run again after a change: exactly what the change concerns."""

import json
import re
import shutil

import pytest

from effdet_bench.__main__ import COMMANDS, STEPS
from helpers import ROOT, UNSEEN, Workspace

REPORT = ["manifest results/smoke/MANIFEST.sha256", "report results/smoke/report.md"]
SETTINGS = ["settings results/smoke/settings.json"]
FIGURES = ["figures results/smoke/figures/speedup.svg", *REPORT]
LATER = [*FIGURES, "summary results/smoke/summary.json"]
REFERENCE = ["reference results/smoke/reference/tf_efficientdet_lite0.json"]
ROUNDING = ["rounding results/smoke/reference/tf_efficientdet_lite0.rounding.json"]
ROOFLINE = ["bound_device results/smoke/roofline/cpu.json"]
PACKAGE = "workflow/effdet_bench"


def timings(*rounds: int) -> list[str]:
    folder, logs = "results/smoke/timing/cpu", "results/smoke/logs/standings"
    return [
        line
        for number in rounds
        for line in (
            f"time_cpu_{number} {folder}/baseline/round-{number}/requests.csv",
            f"standings_cpu_{number} {logs}/cpu-round-{number}.txt",
        )
    ]


JUDGED = ["validity results/smoke/validity/cpu/baseline.json"]
ALL_TIMINGS = timings(3, 4)  # rounds 1 and 2 count no more
GATE = [*JUDGED, *LATER]
EVERYTHING = [*ALL_TIMINGS, *GATE, *SETTINGS]


def set_config(workspace: Workspace, old: str, new: str, file: str = "smoke.yaml") -> None:
    path = workspace.path / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_nothing_changed_runs_nothing(smoke):
    assert smoke.planned() == []


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (f"{PACKAGE}/templates/start.md.j2", REPORT),
        (f"{PACKAGE}/report/figures/bars.py", FIGURES),
        (f"{PACKAGE}/schemas/tolerances.yaml", GATE),
        (f"{PACKAGE}/roofline/ceilings.py", ROOFLINE + LATER),
        (f"{PACKAGE}/engines/no_network.py", EVERYTHING),
        (f"{PACKAGE}/timing/turns.py", EVERYTHING),
        (f"{PACKAGE}/config/settings.py", SETTINGS + REPORT),
    ],
)
def test_an_edit_reruns_what_it_concerns(finished, file, expected):
    """One file of each kind of input; `unit/test_code.py` says what code each step is made of."""
    edits = {".j2": "{# edited #}\n", ".py": "EDITED = True\n"}
    finished.append(file, edits.get(file[file.rfind(".") :], "# edited\n"))
    assert finished.planned() == sorted(expected)


@pytest.mark.parametrize("file", ["engines/no_network.py", "timing/turns.py"])
def test_a_comment_in_code_that_times_is_no_change(finished, file):
    finished.append(f"{PACKAGE}/{file}", "# edited\n")
    assert finished.planned() == []


def test_a_rule_depends_on_the_code_of_its_step():
    """What `unit/test_code.py` proves of a step's module holds for the rule that runs it."""
    seen = {}
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for rule in re.split(r"^ *rule[ :]", path.read_text(), flags=re.M)[1:]:
            name = re.search(r"\bstep\(\s*\"(\w+)\"", rule)
            code = re.search(r"step_code\(\s*\"([\w.]+)\"", rule)
            if name and code:
                seen[name[1]] = code[1]
    known = STEPS | COMMANDS
    assert {name: known[name][0] for name in seen} == seen
    # no output depends on their code alone; what runs on a node is all of it
    others = {"download", "strict", "node", "bundle"}
    others |= {"timing", "standings"}  # `timing.sets` says when, and a round's standings are kept
    assert seen.keys() - {"figures"} | others == STEPS.keys()


def test_edits_of_judges_and_checks_neither_export_nor_time(bundled, tmp_path):
    """With an exported mode: what an export is and how it was timed stays, whoever judges it."""
    finished = bundled.copy(tmp_path / "finished")
    for file, rules in (
        ("export/check.py", set()),
        ("validity/agreement.py", {"validity", "summary", "figures", "report", "manifest"}),
        (
            "reference/rounding.py",
            {"rounding", "validity", "summary", "figures", "report", "manifest"},
        ),
        (
            "reference/output_errors.py",
            {"check_exports", "reference", "time_cpu_4", "standings_cpu_4"},
        ),
        ("export/export.py", {"export_models", "check_exports", "time_cpu_4", "standings_cpu_4"}),
    ):
        before = (finished.package / file).read_text()
        finished.append(f"{PACKAGE}/{file}", "EDITED = True\n")
        judges = file.startswith("validity") or file == "reference/rounding.py"
        target = [] if judges else ["timing"]
        planned = {job.split()[0] for job in finished.planned(*target)}
        (finished.package / file).write_text(before)
        assert planned == rules, file


def test_other_requests_rerun_from_timing_onwards(finished):
    set_config(finished, "warmup: 1", "warmup: 5")
    assert finished.planned() == sorted(EVERYTHING)


def test_other_threads_rerun_from_timing_onwards(finished):
    set_config(finished, "threads: 1", "threads: 2")
    assert finished.planned() == sorted(REFERENCE + ROUNDING + ROOFLINE + EVERYTHING)


def test_one_more_round_runs_that_round(finished):
    set_config(finished, "rounds: 2", "rounds: 3")
    assert finished.planned() == sorted([*timings(3), *GATE, *SETTINGS])


def test_a_mode_added_is_timed_with_baseline_and_one_removed_keeps_its_raw_data(finished):
    more = "modes: [baseline, no-network, channels_last]"
    set_config(finished, "modes: [baseline, no-network]", more)
    assert finished.planned() == sorted(EVERYTHING)
    set_config(finished, more, "modes: [baseline]")
    assert finished.planned() == sorted(GATE + SETTINGS)
    # done in part alone: what is not asked for any more is not in the way of what is
    shutil.rmtree(finished.results / "timing/cpu/baseline-twin")
    kept = finished.results / "timing/cpu/no-network/round-2/requests.csv"
    before = kept.read_text()
    done = finished.snakemake("results/smoke/timing/cpu/baseline/round-3/job.json")
    assert done.returncode == 0, done.stdout
    assert kept.read_text() == before
    assert finished.planned() == sorted(timings(4) + GATE + SETTINGS)


def test_without_the_twin_it_is_not_timed(finished):
    set_config(finished, "twin: true", "twin: false", "config.yaml")
    assert finished.planned() == sorted(GATE + SETTINGS)


def test_a_dry_run_says_of_each_mode_whether_it_is_timed_and_why(finished):
    set_config(finished, "[baseline, no-network]", "[baseline, no-network, channels_last]")
    said = finished.snakemake("--dry-run").stdout
    assert "cpu no-network     kept, from rounds 1 to 2" in said
    assert "cpu channels_last  timed in rounds 3 to 4: not measured yet" in said


def test_all_modes_are_timed_together_again_where_that_is_asked_for(finished):
    assert finished.planned("--config", "again=true") == sorted(EVERYTHING)


def test_annotations_rerun_the_gate(finished):
    shutil.copy(UNSEEN / "instances.json", finished.path / "instances.json")
    finished.append("smoke.yaml", "annotations: instances.json\n")
    planned = set(finished.planned())
    assert set(GATE) <= planned
    assert not set(ALL_TIMINGS) & planned


def test_report_options_rerun_the_report(finished):
    set_config(finished, "[1, 5, 10, 30]", "[2]", "config.yaml")
    assert finished.planned() == sorted(SETTINGS + REPORT)


def test_a_checkpoint_that_is_written_again_is_verified_and_judged_again(finished):
    path = finished.path / "checkpoints" / "synthetic" / "tf_efficientdet_lite0-seed0.pth"
    path.write_bytes(path.read_bytes())
    verify = ["verify_checkpoints checkpoints/verified/tf_efficientdet_lite0.synthetic.json"]
    # the code that makes the checkpoint is the same, so what it timed counts
    assert finished.planned() == sorted(verify + REFERENCE + ROUNDING + GATE)


def test_a_changed_photo_reruns_from_the_photos_onwards(finished):
    photos = finished.path / "workflow" / "effdet_bench" / "resources" / "photos"
    shutil.copy(photos / "000000005001.jpg", photos / "000000168974.jpg")
    planned = finished.planned()
    assert "photos results/smoke/photos.json" in planned
    assert set(REFERENCE + EVERYTHING) <= set(planned)


def test_another_machine_leaves_the_first_alone(finished):
    set_config(finished, "machine: smoke", "machine: other")
    assert all("results/smoke" not in job for job in finished.planned())


def test_steps_have_names(smoke):
    names = ["checkpoints", "environment", "figures", "manifest", "report"]
    assert smoke.planned(*names, "roofline", "summary", "timing", "validity") == []


def test_retry_forgets_only_what_did_not_complete(finished):
    record = finished.results / "timing/cpu/no-network/round-1/job.json"
    job = json.loads(record.read_text()) | {"outcome": "failed", "reason": "a test"}
    record.write_text(json.dumps(job, indent=1))
    done = finished.effdet_bench("retry")
    assert done.returncode == 0
    assert done.stdout.endswith("report: snakemake --cores 1 --configfile smoke.yaml\n")
    assert finished.planned() == sorted(timings(3) + GATE + SETTINGS)


def test_a_load_test_that_retry_forgot_is_run_again(finished):
    record = finished.results / "load/cpu/baseline/load.json"
    record.parent.mkdir(parents=True)
    for path in (record, finished.results / "capacities.json"):
        path.write_text("{}")
    load = "load_mode results/smoke/load/cpu/baseline/load.json"
    assert load not in finished.planned("--config", "load=quick")
    record.unlink()
    for target in ("all", "archive"):
        assert load in finished.planned(target, "--config", "load=quick")
