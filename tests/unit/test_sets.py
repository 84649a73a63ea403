"""Which rounds count after a change, and which are to be timed: planned from records alone."""

import json
import shutil

import pytest

from effdet_bench.config.names import BASELINE, CONTROL
from effdet_bench.config.settings import resolve
from effdet_bench.errors import BenchError
from effdet_bench.layout import JOB_RECORD, Archive
from effdet_bench.records import RAW_COLUMNS
from effdet_bench.report.commands import command_with
from effdet_bench.report.sets import set_lines
from effdet_bench.timing.sets import describe, plan_rounds, shared_digests, spans

MODES = (BASELINE, CONTROL, "fused", "openvino")
NOW = {mode: {"engine": mode, "options": "same"} for mode in MODES}


@pytest.fixture
def archive(tmp_path) -> Archive:
    """Six rounds of all modes."""
    made = Archive(tmp_path)
    for number in range(1, 7):
        measure(made, number, dict(NOW))
    return made


def measure(archive: Archive, number: int, depends: dict, staged=(1,)) -> None:
    """Leaves what a round of the modes of `depends` leaves, as far as planning reads it."""
    for mode, digests in depends.items():
        folder = archive.job("cpu", mode, number)
        folder.mkdir(parents=True)
        for name in RAW_COLUMNS:
            (folder / name).write_text("columns\n" + "a stage\n" * (number in staged))
        (folder / JOB_RECORD).write_text(
            json.dumps({"machine": archive.root.name, "depends": digests})
        )


def run(archive: Archive, depends: dict, rounds: int = 6, again: bool = False):
    """Plans and measures; the next plan asks for nothing, and counts the same rounds."""
    plan = plan_rounds(archive, "cpu", depends, rounds, 1, again)
    for number, modes in plan.new.items():
        measure(archive, number, {mode: depends[mode] for mode in modes}, plan.staged)
    after = plan_rounds(archive, "cpu", depends, rounds)
    assert not after.new
    assert after.counted == plan.counted
    return plan


def changed(mode: str, key: str = "engine") -> dict:
    return NOW | {mode: NOW[mode] | {key: "changed"}}


def test_the_first_run_times_all_modes_together(tmp_path):
    plan = run(Archive(tmp_path), dict(NOW))
    assert plan.staged == {1}
    assert [plan.complete(number) for number in (1, 6)] == [1, 6]
    assert plan.new == {number: list(MODES) for number in range(1, 7)}
    assert describe(plan, "cpu") == [f"cpu: timed in rounds 1 to 6: {', '.join(MODES)}"]


def test_nothing_changed_times_nothing(archive):
    plan = run(archive, dict(NOW))
    assert not plan.new
    assert describe(plan, "cpu")[3] == "cpu openvino       kept, from rounds 1 to 6"


@pytest.mark.parametrize("key", ["engine", "options"])
def test_a_changed_mode_is_timed_with_baseline_in_rounds_of_its_own(archive, key):
    plan = run(archive, changed("openvino", key))
    assert plan.new == {number: [BASELINE, CONTROL, "openvino"] for number in range(7, 13)}
    assert plan.counted["fused"] == [1, 2, 3, 4, 5, 6]
    assert plan.counted["openvino"] == [7, 8, 9, 10, 11, 12]
    assert plan.counted[BASELINE] == list(range(1, 13))
    assert plan.complete(7) == 0, "baseline has more rounds than openvino"
    assert plan.staged == {7}
    assert describe(plan, "cpu") == [
        "cpu baseline       timed in rounds 7 to 12: other modes are compared with it",
        "cpu baseline-twin  timed in rounds 7 to 12: other modes are compared with it",
        "cpu fused          kept, from rounds 1 to 6",
        f"cpu openvino       timed in rounds 7 to 12: changed: {key}",
    ]


def test_a_change_that_is_taken_back_counts_the_first_rounds_again(archive):
    run(archive, changed("openvino"))
    plan = run(archive, dict(NOW))
    assert not plan.new
    assert plan.counted == {mode: [1, 2, 3, 4, 5, 6] for mode in MODES}


def test_an_added_mode_is_a_set_and_a_removed_or_renamed_one_is_no_reason(archive):
    assert run(archive, NOW | {"mine": {"engine": "mine"}}).new[7] == [BASELINE, CONTROL, "mine"]
    assert not run(archive, {mode: NOW[mode] for mode in MODES[:3]}).new
    renamed = {mode: NOW[mode] for mode in MODES[:3]} | {"vino": NOW["openvino"]}
    assert run(archive, renamed).new[13] == [BASELINE, CONTROL, "vino"]


def test_a_change_of_baseline_times_everything(archive):
    plan = run(archive, changed(BASELINE))
    assert plan.new == {number: list(MODES) for number in range(7, 13)}
    assert plan.why["fused"] == "its rounds have no baseline"
    assert plan.counted == {mode: [7, 8, 9, 10, 11, 12] for mode in MODES}


def test_more_rounds_are_added_to_every_set(archive):
    run(archive, changed("openvino"))
    plan = run(archive, changed("openvino"), rounds=8)
    assert plan.new == {13: list(MODES), 14: list(MODES)}
    assert plan.why["fused"] == "6 of 8 rounds are measured"
    plan = run(archive, changed("openvino"), rounds=4)
    assert not plan.new
    assert plan.counted["fused"] == [5, 6, 13, 14]


def test_a_killed_set_loses_nothing_of_others_and_goes_on(archive):
    depends = changed("openvino")
    for number in (7, 8):
        measure(archive, number, {mode: depends[mode] for mode in (BASELINE, CONTROL, "openvino")})
    measure(archive, 9, {BASELINE: depends[BASELINE]})  # killed while it wrote its records
    plan = run(archive, depends)
    assert plan.new == {number: [BASELINE, CONTROL, "openvino"] for number in range(10, 14)}
    assert plan.counted["openvino"] == [7, 8, 10, 11, 12, 13]
    assert 9 not in plan.counted[BASELINE]


def test_modes_that_lack_different_rounds_share_new_ones(archive):
    for number in (3, 4):
        (archive.job("cpu", "fused", number) / JOB_RECORD).unlink()  # as `retry` does
    plan = run(archive, changed("openvino"))
    assert plan.new == {
        **{number: list(MODES) for number in (7, 8)},
        **{number: [BASELINE, CONTROL, "openvino"] for number in range(9, 13)},
    }


def test_damaged_rounds_do_not_count(archive):
    (archive.job("cpu", "fused", 1) / JOB_RECORD).write_text("{")
    (archive.job("cpu", "fused", 2) / "requests.csv").unlink()
    shutil.rmtree(archive.job("cpu", "fused", 3))
    assert run(archive, dict(NOW)).counted["fused"] == [4, 5, 6, 7, 8, 9]


def test_a_record_of_an_older_version_does_not_count(archive):
    for number in range(1, 7):
        record = archive.job("cpu", "fused", number) / JOB_RECORD
        record.write_text(json.dumps({"machine": archive.root.name}))
    assert run(archive, dict(NOW)).why == {"fused": "measured by an older effdet-bench"}


def test_forced_rounds_are_new(archive):
    plan = run(archive, dict(NOW), again=True)
    assert list(plan.new) == [7, 8, 9, 10, 11, 12]
    assert set(plan.why.values()) == {"the setting again"}
    assert plan.counted == {mode: [7, 8, 9, 10, 11, 12] for mode in MODES}


def test_without_a_baseline_only_modes_of_the_same_rounds_can_be_compared(archive):
    depends = {mode: NOW[mode] for mode in MODES[2:]}
    assert not run(archive, depends).new
    depends["fused"] = {"engine": "changed"}
    assert run(archive, depends).new[7] == ["fused", "openvino"]


def test_a_control_that_is_added_later_is_timed_with_all_modes(tmp_path):
    """Without a control in its rounds, no verdict on a mode could be given."""
    archive = Archive(tmp_path)
    depends = {mode: NOW[mode] for mode in (BASELINE, "fused")}
    run(archive, depends)
    plan = run(archive, depends | {CONTROL: NOW[CONTROL]})
    assert plan.new[7] == [BASELINE, "fused", CONTROL]


def test_rounds_of_another_machine_do_not_count(archive):
    moved = Archive(archive.root.rename(archive.root.parent / "renamed"))
    assert list(run(moved, dict(NOW)).new) == [7, 8, 9, 10, 11, 12]


def test_baseline_alone_is_a_mode_like_others(tmp_path):
    assert list(run(Archive(tmp_path), {BASELINE: NOW[BASELINE]}).new) == [1, 2, 3, 4, 5, 6]


def test_a_photo_that_cannot_be_read_is_named(tmp_path):
    """A folder in its place, because root may read any file."""
    config = resolve({}) | {"ensemble": []}
    with pytest.raises(BenchError, match=f"{tmp_path} cannot be read"):
        shared_digests(config, [], [str(tmp_path)])


def test_numbers_in_words():
    assert spans([1, 2, 3, 5, 8, 9]) == "rounds 1 to 3, 5, 8 to 9"
    assert spans([4]) == "round 4"


def test_the_report_says_which_modes_were_measured_together_and_what_drifted():
    first = {
        **{"device": "cpu", "modes": ["fused"], "rounds": [1, 2], "change": None},
        **{"started": "2026-11-29T13:00:59.123+00:00", "drifted": False},
    }
    assert set_lines({"sets": [first]}, command_with([])) == []
    change = {"ratio": 0.9, "low": 0.89, "high": 0.91}
    other = first | {"modes": ["openvino"], "rounds": [3, 4], "change": change, "drifted": True}
    (line,) = set_lines({"sets": [first, other]}, command_with([]))
    assert (
        "`fused` in rounds 1 to 2, from 2026-11-29 13:00 UTC; `openvino` in rounds 3 to 4" in line
    )
    assert "`baseline` was 0.90x as fast in rounds 3 to 4 as in rounds 1 to 2" in line
    assert "`snakemake --cores 1 --config again=true` measures all modes together" in line
    (line,) = set_lines({"sets": [first, other | {"drifted": False}]}, command_with([]))
    assert "⚠" not in line
