"""What is told of the machine around timed requests."""

import os
import sys
import time

import psutil
import pytest
import torch

from effdet_bench.timing import conditions

CPU = torch.device("cpu")


def test_the_probe_takes_longer_when_it_does_more(monkeypatch):
    monkeypatch.setattr(conditions, "PROBE_RUNS", 10)
    once = conditions.drift_probe(CPU)
    monkeypatch.setattr(conditions, "PROBE_COPY", 8 * conditions.PROBE_COPY)
    assert conditions.drift_probe(CPU) > 1.5 * once > 0


@pytest.fixture
def child():
    """A process that never rests."""
    running = psutil.Popen([sys.executable, "-c", "while True: pass"])
    yield running
    running.kill()
    running.wait()


def seconds_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def test_the_machine_is_busy_with_every_process(child):
    before = conditions.busy_and_steal()[0], seconds_of(child)
    time.sleep(1)
    used = seconds_of(child) - before[1]
    assert conditions.busy_and_steal()[0] - before[0] > 0.8 * used > 0.1


def test_work_of_others_is_told_from_ours_and_that_of_our_children(child, monkeypatch):
    """On a machine with no process but these two, so that what else runs makes no difference."""
    monkeypatch.setattr(
        conditions, "busy_and_steal", lambda: (sum(os.times()[:4]) + seconds_of(child), 0.0)
    )
    before = seconds_of(child)
    seen, ours = conditions.Load(), conditions.Load([child.pid])
    end = time.monotonic() + 1
    while time.monotonic() < end:
        pass
    used = seconds_of(child) - before
    assert used > 0.1
    assert seen.taken().other == pytest.approx(used, abs=0.1)
    assert ours.taken().other < 0.1


def test_a_short_span_tells_nothing():
    assert conditions.shares([conditions.Load().taken()]) == {"other": None, "steal": None}


def test_power_is_what_the_system_tells(tmp_path, monkeypatch):
    monkeypatch.setattr(conditions, "GOVERNOR", tmp_path / "governor")
    assert conditions.power()["governor"] is None
    (tmp_path / "governor").write_text("powersave\n")
    assert conditions.power()["governor"] == "powersave"
