"""Work in a process of its own: whatever becomes of it, its parent knows and goes on."""

import faulthandler
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from effdet_bench import processes, runs
from effdet_bench.errors import BenchError
from effdet_bench.processes import Worker, process_context


class Faulty:
    def hang(self) -> None:
        time.sleep(1000)

    def die(self) -> None:
        faulthandler.disable()  # pytest's would print a traceback amid the results
        os.kill(os.getpid(), signal.SIGSEGV)

    def exhaust(self) -> None:
        raise MemoryError("of 9 GiB")

    def work(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("hang", "Its process did not answer within 1 s, and was ended."),
        ("die", "Its process was killed by SIGSEGV."),
        ("exhaust", "MemoryError: of 9 GiB"),
    ],
)
def test_what_ends_a_worker_is_known_and_its_end_waited_for(monkeypatch, method, reason):
    monkeypatch.setattr(processes, "PATIENCE", 1)
    worker = Worker(process_context(), Faulty)
    assert worker.call("work") == 7
    assert worker.call(method) is None
    assert worker.outcome.outcome == "failed"
    assert worker.outcome.reason == reason
    assert worker.call("work") is None
    worker.end()
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)


HANGS = """
import ctypes
from effdet_bench.errors import BenchError
from effdet_bench.processes import Worker, process_context

class Hanging:
    def hang(self):
        ctypes.PyDLL(None).sleep(1000)  # and holds Python's lock

worker = Worker(process_context(), Hanging)
print(worker.pid, flush=True)
worker.call("hang")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_what_hangs_ends_with_a_parent_that_is_killed():
    command = [sys.executable, "-c", HANGS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        hanging = psutil.Process(int(parent.stdout.readline()))
        time.sleep(0.5)
        parent.kill()
        assert psutil.wait_procs([hanging], 10)[1] == []


WATCH = "from effdet_bench import runs; import time; runs.end_with_run(); time.sleep(1000)"


def test_a_step_ends_with_its_run():
    run = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    step = subprocess.Popen(
        [sys.executable, "-c", WATCH], env=os.environ | {runs.RUN: str(run.pid)}
    )
    with pytest.raises(subprocess.TimeoutExpired):
        step.wait(1)
    run.kill()
    run.wait()
    assert step.wait(10) == 1


def test_a_folder_is_held_until_the_process_ends(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    code = "from effdet_bench import runs; import time; runs.hold_folder(); print(1, flush=True)"
    first = subprocess.Popen(
        [sys.executable, "-c", f"{code}; time.sleep(1000)"], stdout=subprocess.PIPE
    )
    first.stdout.read(1)
    with pytest.raises(BenchError, match=f"another run is alive in {tmp_path}"):
        runs.hold_folder()
    first.kill()
    first.wait()
    first.stdout.close()
    runs.hold_folder()
