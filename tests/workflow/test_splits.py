"""Many cores under load: 64 instances that sleep behave as queueing theory says."""

import sys
from pathlib import Path

import pytest
from sleeper import seconds

from effdet_bench.load import job
from effdet_bench.worker.spec import Environment, JobSpec
from queues import mdc_capacity

CORES = 64
BOUND_MS = 500
SLEEPER = Path(__file__).with_name("sleeper.py")


@pytest.fixture
def spec(tmp_path) -> JobSpec:
    """A mode whose interpreter starts the sleeper in place of an instance."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SLEEPER}" "$3"\n')
    python.chmod(0o755)
    return JobSpec(
        "cpu", "mine", "eager", {}, (), ("a.jpg",), 0, CORES, tmp_path / "load",
        environment=Environment(python=str(python)),
    )  # fmt: skip


def test_split_and_capacity_of_64_cores_are_those_of_queueing_theory(spec, monkeypatch):
    short = job.SETTINGS["quick"]._replace(closed=1, search=6, confirm=12)
    monkeypatch.setitem(job.SETTINGS, "quick", short)
    monkeypatch.setattr(job, "physical_cores", lambda: [()] * CORES)
    record = job.put_under_load(spec, "quick", [BOUND_MS], "test")
    assert record["outcome"] == "completed", record["reason"]
    splits = {one["instances"] for one in record["passes"] if one["kind"] == "closed"}
    assert splits == {1, 2, 4, 8, 16, 32, 64}

    expected = {
        count: mdc_capacity(count, seconds(CORES // count), BOUND_MS / 1000) for count in splits
    }
    best = max(expected, key=expected.__getitem__)
    confirmed = [one for one in record["passes"] if one.get("purpose") == "confirm"][-1]
    assert confirmed["instances"] == best == 64
    assert confirmed["percentiles"]["p90"] <= BOUND_MS
    # a step of the search below, and the time that processes and messages take
    assert expected[best] / 1.25 <= confirmed["scheduled_rps"] <= 1.05 * expected[best]
