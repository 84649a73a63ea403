"""What the logger plugin shows of a run, by records such as Snakemake makes them."""

import logging
from types import SimpleNamespace

import pytest
from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.common import LogEvent

from effdet_bench import terminal
from effdet_bench.progress import progress, tell
from effdet_bench.terminal import LogHandler

SECONDS = {"round_seconds": 60.0, "load_seconds": 600, "pass_seconds": 6000}


class Terminal:
    """A handler and what it has written to stderr."""

    def __init__(self, capsys, dryrun: bool = False) -> None:
        self._capsys = capsys
        self.handler = LogHandler(SimpleNamespace(nocolor=True, dryrun=dryrun), None)
        self.handler.setFormatter(DefaultFormatter())

    def log(self, message: str | None, level: int = logging.INFO, **extra) -> str:
        """What the handler writes for one record."""
        record = logging.LogRecord("snakemake", level, "", 0, message, None, None)
        record.__dict__ |= extra
        self.handler.handle(record)
        return self.said()

    def said(self) -> str:
        return self._capsys.readouterr().err

    def begin(self, number: int, rule: str, log=None, **wildcards) -> str:
        log = [str(log)] if log else []
        known = {"jobid": number, "rule_name": rule, "log": log, "wildcards": wildcards}
        return self.log("", event=LogEvent.JOB_INFO, **known)

    def end(self, number: int) -> str:
        return self.log("", event=LogEvent.JOB_FINISHED, job_id=number)

    def plan(self, **counts: int) -> str:
        said = self.log("a table", event=LogEvent.RUN_INFO, stats=counts)
        return said + self.log("effdet-bench: 3 modes.", **SECONDS)


@pytest.fixture
def screen(capsys) -> Terminal:
    return Terminal(capsys)


def test_the_plan_says_how_long_it_takes(screen):
    # two rounds of a minute, and ten other steps
    assert (
        screen.plan(time_cpu=2, validity=10, all=1)
        == "effdet-bench: 3 modes. About 3 min in all.\n"
    )


def test_a_run_that_measures_nothing_has_no_plan(screen):
    assert screen.plan(audit=1) == ""


def test_time_that_is_left_is_that_of_rounds_and_not_of_steps(screen, tmp_path, monkeypatch):
    monkeypatch.setattr(terminal, "PLAIN_SECONDS", 0)
    screen.plan(time_cpu=6, validity=12, summary=1)
    log = tmp_path / "log"
    log.write_text("[50%] cpu round 1 of 6: turn 1 of 4\n")
    said = screen.begin(1, "time_cpu", log, round=1)
    assert said == "[1/3] Timing: time_cpu 1, about 6 min left\n"
    with screen.handler.lock:
        screen.handler._read(screen.handler._jobs[1])
    # half of the first of six rounds is done
    assert screen.said() == "[1/3] Timing: cpu round 1 of 6: turn 1 of 4, about 6 min left\n"
    screen.handler._jobs[1].began -= 600
    assert screen.end(1) == "[1/3] Timing: cpu round 1 of 6: turn 1 of 4, about 50 min left\n"


def test_other_phases_count_their_steps(screen):
    screen.plan(export_models=2, time_cpu=1)
    said = screen.begin(1, "export_models", export="openvino")
    assert said == "[1/2] Checkpoints, references, exports: 0 of 2 done, export_models openvino\n"
    assert screen.end(1) == ""  # a line of progress came less than half a minute ago
    screen.begin(2, "export_models", export="mnn")
    assert screen.end(2) == "[1/2] Checkpoints, references, exports: 2 of 2 done\n"


def test_a_run_whose_plan_is_not_told_is_shown_as_it_comes(screen):
    said = screen.begin(1, "time_cpu", round=1)
    assert said == "[1/1] Timing: time_cpu 1, about 1 min left\n"
    assert screen.end(1) == "[1/1] Timing: 1 of 1 done\n"


def test_messages_of_a_step_stay_and_its_other_lines_are_for_its_log(screen, tmp_path, capsys):
    screen.plan(time_cpu=1)
    progress(0.1, "loading mode 1 of 3")
    tell("waiting for another job to end")
    marked = capsys.readouterr().err
    log = tmp_path / "log"
    log.write_text(f"a warning of a library\n{marked}half a li")
    screen.begin(1, "time_cpu", log, round=1)
    with screen.handler.lock:
        screen.handler._read(screen.handler._jobs[1])
    assert screen.said() == "waiting for another job to end\n"


def test_a_step_that_is_asked_for_by_its_name_says_all(screen, tmp_path):
    log = tmp_path / "log"
    log.write_text("one\ntwo\n")
    assert screen.begin(1, "audit", log) == ""
    assert screen.end(1) == "one\ntwo\n"


def test_a_job_that_fails_shows_its_log_and_what_snakemake_says(screen, tmp_path):
    screen.plan(time_cpu=1)
    log = tmp_path / "log"
    log.write_text("[20%] turn 1 of 5\nerror: the file is broken: delete it\n")
    screen.begin(1, "time_cpu", log, round=1)
    about = {"rule_name": "time_cpu", "msg": None, "input": [], "output": [], "conda_env": None}
    about |= {"log": [str(log)], "aux": {}, "shellcmd": "python", "indent": False, "jobid": 1}
    said = screen.log("", logging.ERROR, event=LogEvent.JOB_ERROR, **about)
    assert said.startswith("error: the file is broken: delete it\n")
    assert "Error in rule time_cpu:" in said


def test_warnings_and_answers_of_snakemake_are_shown_and_its_chatter_is_not(screen):
    assert screen.log("Nothing to be done.") == "Nothing to be done.\n"
    assert screen.log("LockException", logging.ERROR) == "LockException\n"
    for chatter in ("Building DAG of jobs...", "Select jobs to execute...", "Execute 1 jobs..."):
        assert screen.log(chatter) == ""


def test_a_dry_run_shows_the_table_of_jobs_once(capsys):
    screen = Terminal(capsys, dryrun=True)
    table = {"event": LogEvent.RUN_INFO, "stats": {"time_cpu": 1}}
    assert screen.log("job  count", **table) == "job  count\n"
    assert screen.begin(1, "time_cpu", round=1) == ""
    assert screen.log("job  count", **table) == ""


def test_on_a_terminal_bars_stand_below_what_is_said(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    bars = terminal.Bars()
    bars.say("[a message] that stays")
    bars.show("[1/4] Timing", 0.5, "round 3 of 6")
    bars.show("[1/4] Timing", 1.0, "6 of 6 done")
    bars.close()
    said = capsys.readouterr().err
    assert "[a message] that stays" in said
    assert "[1/4] Timing" in said
    assert "6 of 6 done" in said
