"""Processor time outside of a mode's turns, and the harness's own within them."""

import time

from effdet_bench.timing.outside import Outside


def work(seconds: float) -> float:
    """Uses processor time; returns how much."""
    begin = time.thread_time()
    while (used := time.thread_time() - begin) < seconds:
        pass
    return used


def test_the_harness_work_in_a_turn_is_no_work_of_the_mode():
    outside = Outside()
    outside.begin_turn()
    work(0.1)
    outside.skip(work(0.2))
    outside.end_turn()
    work(0.05)
    outside.begin_turn()
    record = outside.record()
    assert 0.1 <= record["own_seconds"] < 0.15
    assert 0.05 <= record["seconds"] < 0.1
    assert record["turns"] == 1
