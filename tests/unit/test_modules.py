"""Which files an edit concerns."""

from effdet_bench.config.code import ROOT, module_files


def names(*entries: str) -> set[str]:
    return {str(path.relative_to(ROOT).with_suffix("")) for path in module_files(*entries)}


def test_a_timing_is_made_of_its_own_engine_and_of_no_later_step():
    eager = names("timing", "engines.eager")
    assert {"timing", "rounds", "measure", "request", "engine", "engines/eager", "photos"} <= eager
    assert not eager & {"engines/invalid", "statistics", "summary", "report", "environment"}


def test_imports_inside_functions_count():
    assert "ensemble" in names("checkpoints.verify")


def test_a_report_needs_no_torch_code():
    report = names("report")
    assert {"report", "rows", "jobs", "html", "records"} <= report
    assert not report & {"summary", "engine", "ensemble", "request", "measure"}
