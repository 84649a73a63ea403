"""The terminal output of a run: a logger plugin of Snakemake, which profiles/default chooses.

Snakemake prints the input files of every job. This handler prints the phases of the run instead:
their progress, and the lines that steps mark in their logs through the module `progress`. Snakemake
still writes its own complete log to a file.
"""

import logging
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from effdet_bench.progress import read

FOLLOW_SECONDS = 0.5  # between two looks at the logs of running jobs
PLAIN_SECONDS = 30  # between two lines of progress, if the output cannot redraw a line
STEP_SECONDS = 6  # average time of a step other than timing, measured on two cores
PREPARING, TIMING, ACCURACY, JUDGING, LOAD, REPORTING = PHASES = (
    "Checkpoints, references, exports",
    "Timing",
    "Accuracy on all photos",
    "Checking answers",
    "Load",
    "Report",
)
PHASE = {
    **dict.fromkeys(["photos", "annotations", "environment", "settings"], PREPARING),
    **dict.fromkeys(["download_checkpoint", "synthesise_checkpoints"], PREPARING),
    **dict.fromkeys(["verify_checkpoints", "export_models", "check_exports"], PREPARING),
    **dict.fromkeys(["reference"], PREPARING),
    **dict.fromkeys(["accuracy_reference", "accuracy_pass"], ACCURACY),
    **dict.fromkeys(["measure_reference", "measure_pass"], ACCURACY),
    **dict.fromkeys(["rounding", "validity"], JUDGING),
    **dict.fromkeys(["load_mode", "capacities"], LOAD),
    **dict.fromkeys(["bound_device", "summary", "figures", "report", "manifest"], REPORTING),
}
# How messages begin that Snakemake prints in every run, and that say nothing about this run.
CHATTER = (
    "Assuming unrestricted",
    "Building DAG",
    "Elapsed time",
    "Execute ",
    "Provided ",
    "Rules claiming",
    "Select jobs",
    "Using shell",
)


class Lines:
    """For a file or a terminal without colours: plain lines, with the progress every 30 s."""

    def __init__(self) -> None:
        self._shown: dict[str, float] = {}

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def show(self, phase: str, share: float, text: str) -> None:
        now = time.monotonic()
        if share == 1 or now - self._shown.get(phase, -PLAIN_SECONDS) >= PLAIN_SECONDS:
            self._shown[phase] = now
            self.say(f"{phase}: {text}")

    def close(self) -> None:
        pass


class Bars:
    """For a terminal with colours: one bar for each phase, below the messages."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[text]}")
        self._bars = Progress(*columns, console=Console(stderr=True), refresh_per_second=2)
        self._tasks: dict[str, Any] = {}

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, phase: str, share: float, text: str) -> None:
        self._bars.start()
        if phase not in self._tasks:
            self._tasks[phase] = self._bars.add_task(phase.replace("[", r"\["), total=1, text="")
        self._bars.update(self._tasks[phase], completed=share, text=text)

    def close(self) -> None:
        self._bars.stop()


@dataclass
class Job:
    """A running job, and the `position` in bytes up to which its log was read."""

    phase: str | None
    name: str
    log: Path | None
    began: float = field(default_factory=time.time)
    share: float = 0.0
    text: str = ""
    position: int = 0

    def lines(self) -> list[str]:
        """The complete lines that were added to the log after the last call."""
        if self.log is None:
            return []
        try:
            if self.log.stat().st_mtime < self.began - 1:  # the log is of an earlier run
                return []
            with self.log.open("rb") as file:
                file.seek(self.position)
                whole, end, _ = file.read().rpartition(b"\n")
        except OSError:
            return []
        self.position += len(whole) + len(end)
        return whole.decode(errors="replace").splitlines()


class LogHandler(LogHandlerBase):
    """Shows a run, as the module describes. Snakemake's logger calls it from one thread."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        plain = self.common_settings.nocolor or not sys.stderr.isatty()
        self._screen: Lines | Bars = Lines() if plain else Bars()
        self._total = dict.fromkeys(PHASES, 0)
        self._done = dict.fromkeys(PHASES, 0)
        self._jobs: dict[int, Job] = {}
        self._passes = 0
        self._said = ""
        self._round_seconds = 0.0
        self._rounds: list[float] = []  # seconds of each round that this run has finished
        threading.Thread(target=self._follow, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if event == LogEvent.JOB_INFO and not self.common_settings.dryrun:
            self._begin(record.__dict__)
        elif event == LogEvent.JOB_FINISHED:
            self._end(record.__dict__["job_id"])
        elif event == LogEvent.JOB_ERROR:
            self._fail(record)
        elif event == LogEvent.RUN_INFO and not self.common_settings.dryrun:
            self._plan(record.__dict__["stats"])
        elif hasattr(record, "round_seconds"):
            self._head(record)
        elif event in (None, LogEvent.RUN_INFO, LogEvent.SHELLCMD, LogEvent.ERROR):
            text = self.format(record)
            # in a dry run Snakemake shows the list of jobs twice
            if text and text != self._said and not text.startswith(CHATTER):
                self._screen.say(text)
            self._said = text or self._said

    def close(self) -> None:
        self._screen.close()
        super().close()

    def _plan(self, counts: dict[str, int]) -> None:
        for rule, count in counts.items():
            if phase := _phase(rule):
                self._total[phase] += count
            self._passes += count if rule in ("accuracy_pass", "accuracy_reference") else 0

    def _head(self, record: logging.LogRecord) -> None:
        """Prints the plan of the run, and its duration as estimated from the settings."""
        self._round_seconds = record.__dict__["round_seconds"]
        others = sum(self._total.values()) - self._total[TIMING]
        seconds = self._total[TIMING] * self._round_seconds + others * STEP_SECONDS
        seconds += record.__dict__["load_seconds"] if self._total[LOAD] else 0
        seconds += self._passes * record.__dict__["pass_seconds"]
        if others > 1 or self._total[TIMING]:
            self._screen.say(f"{record.getMessage()} {_minutes(seconds).capitalize()} in all.")

    def _begin(self, info: dict[str, Any]) -> None:
        name = " ".join([info["rule_name"], *map(str, info["wildcards"].values())])
        log = Path(info["log"][0].split()[0]) if info["log"] else None
        job = self._jobs[info["jobid"]] = Job(_phase(info["rule_name"]), name, log)
        self._show(job)

    def _end(self, number: int) -> None:
        if (job := self._jobs.get(number)) is None:
            return
        self._read(job)
        del self._jobs[number]
        if job.phase == TIMING:
            self._rounds.append(time.time() - job.began)
        if job.phase:
            self._done[job.phase] += 1
            self._show(job)

    def _fail(self, record: logging.LogRecord) -> None:
        """Prints the log of the failed job, and then Snakemake's message on it."""
        job = self._jobs.pop(record.__dict__["jobid"], None)
        if job:
            job.position = 0
            lines = [line for line in job.lines() if not (told := read(line)) or told.share is None]
            self._screen.say("\n".join(lines))
        self._screen.say(self.format(record))

    def _follow(self) -> None:
        while True:
            time.sleep(FOLLOW_SECONDS)
            with self.lock:  # type: ignore[union-attr]
                for job in self._jobs.values():
                    self._read(job)

    def _read(self, job: Job) -> None:
        """Shows the new lines in the log of `job`."""
        for line in job.lines():
            told = read(line)
            if told and told.share is not None:
                job.share, job.text = min(told.share, 0.99), told.text  # 1 only at the end
                self._show(job)
            elif told or job.phase is None:
                self._screen.say(told.text if told else line)

    def _show(self, job: Job) -> None:
        if job.phase is None:
            return
        phases = [phase for phase in PHASES if self._total[phase] or phase == job.phase]
        running = [one for one in self._jobs.values() if one.phase == job.phase]
        done = self._done[job.phase]
        # with `--quiet progress` Snakemake does not say how many there are
        total = max(self._total[job.phase], done + len(running))
        share = (done + sum(one.share for one in running)) / total
        if share == 1:
            text = f"{total} of {total} done"
        elif job.phase == TIMING:
            text = f"{job.text or job.name}, {self._left(share)}"
        else:
            text = f"{done} of {total} done, {job.text or job.name}"
        number = f"[{phases.index(job.phase) + 1}/{len(phases)}]"
        self._screen.show(f"{number} {job.phase}", share, text)

    def _left(self, share: float) -> str:
        """The time left for all rounds, estimated from finished rounds, else from the plan."""
        finished = len(self._rounds)
        each = sum(self._rounds) / finished if finished else self._round_seconds
        return f"{_minutes(each * self._total[TIMING] * (1 - share))} left"


def _phase(rule: str) -> str | None:
    """The phase of a rule; `None` for a rule whose log the user wants to read, such as `bundle`."""
    timing = rule.startswith("time_") and not rule.startswith("time_type_")
    return TIMING if timing else PHASE.get(rule)


def _minutes(seconds: float) -> str:
    return f"about {max(1, round(seconds / 60))} min"
