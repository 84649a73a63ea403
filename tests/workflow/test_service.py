"""A service of real processes, without a detector: nothing is lost, whatever becomes of them."""

import contextlib
import os
import signal
import threading
import time

import numpy as np
import pytest

from effdet_bench.errors import BenchError
from effdet_bench.load import loadgen, service
from effdet_bench.load.clients import Clients
from effdet_bench.load.messages import InstanceSpec
from effdet_bench.load.service import Service

PHOTOS = 8


@pytest.fixture
def started():
    """Starts services, which are closed at the end."""
    with contextlib.ExitStack() as stack:

        def start(instances: int = 1, batch: int = 1) -> Service:
            made = Service([InstanceSpec(None, (), batch)] * instances)
            stack.callback(made.close)
            return made

        yield start


def test_clients_get_every_answer_in_order(started):
    done = Clients(started(2), 4, PHOTOS).run(0.5)
    assert len({one.request.key for one in done}) == len(done) > 100
    assert {one.instance for one in done} == {0, 1}
    for one in done:
        times = (one.request.arrived_ns, one.taken_ns, one.began_ns, one.ended_ns, one.answered_ns)
        assert list(times) == sorted(times)
        assert one.request.photo == (one.request.key + one.request.key // PHOTOS) % PHOTOS


@pytest.mark.parametrize("batch", [1, 2])
def test_every_instance_answers_every_photo_that_it_is_judged_by(started, batch):
    done = Clients(started(3, batch), 3 * batch, PHOTOS).run(0, judged=3)
    pairs = {(one.instance, one.request.photo) for one in done}
    assert pairs == {(instance, photo) for instance in range(3) for photo in range(PHOTOS)}


def test_a_batch_is_the_largest_power_of_two_that_waits(started):
    batches = []
    made = started(1, 4)
    done = []
    made.serve(lambda some: (batches.append(len(some)), done.extend(some)))
    made.submit([(n, 0) for n in range(7)])
    while len(done) < 7:
        time.sleep(0.01)
    assert batches == [4, 2, 1]


@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream", "Offline", "Server"])
def test_loadgen_puts_it_under_load_and_says_what_it_saw(started, tmp_path, scenario):
    rate = 200 if scenario == "Server" else 50_000
    asked = loadgen.Scenario(scenario, 1, 10, rate, 10, 0.9)
    done = loadgen.run(started(), asked, PHOTOS, tmp_path)
    verdict = loadgen.read_verdict(tmp_path)
    assert verdict.valid
    assert len(done) >= 100
    taken = [(one.answered_ns - one.request.arrived_ns) / 1e6 for one in done]
    if scenario in ("SingleStream", "Server"):
        # from the scheduled arrival, which is a little earlier
        assert np.percentile(taken, 50) <= verdict.percentiles["p50"] < 5
    if scenario == "Server":
        assert verdict.scheduled_rps == pytest.approx(200, rel=0.3)
        assert len(done) == pytest.approx(200, rel=0.3)


def kill(made: Service, number: int) -> None:
    os.kill(made._processes[number].process.pid, signal.SIGKILL)


def test_requests_of_an_instance_that_died_are_known_and_others_go_on(started):
    made = started(2)
    stopped = [process.process.pid for process in made._processes]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    done = []
    made.serve(done.extend)
    made.submit([(n, 0) for n in range(5)])
    kill(made, 0)
    os.kill(stopped[1], signal.SIGCONT)
    while len(done) < 5:
        time.sleep(0.01)
    assert [one.request.key for one in done if not one.answer] == [0]
    assert made.outcome.outcome == "failed"
    assert made.outcome.reason == "instance 1: Its process was killed by SIGKILL."


def test_a_judged_pass_ends_if_an_instance_dies_before_it_has_answered_every_photo(started):
    made = started(2)
    os.kill(made._processes[0].process.pid, signal.SIGSTOP)
    clients = Clients(made, 2, PHOTOS)
    threading.Timer(0.3, kill, (made, 0)).start()
    done = clients.run(0, judged=2)
    assert {one.instance for one in done if one.answer} == {1}
    assert made.outcome.outcome == "failed"


def test_an_instance_that_dies_while_it_has_no_work_is_noticed(started):
    made = started(2)
    kill(made, 0)
    while made.outcome.completed:
        time.sleep(0.01)
    assert made.outcome.reason == "instance 1: Its process was killed by SIGKILL."
    assert all(one.answer for one in Clients(made, 2, PHOTOS).run(0.1))


def test_a_service_that_is_closed_has_not_failed():
    made = Service([InstanceSpec(None, (), 1)] * 2)
    made.close()
    assert made.outcome.completed


def test_where_no_instance_is_left_the_generator_still_ends(started):
    made = started(1)
    os.kill(made._processes[0].process.pid, signal.SIGSTOP)
    done = []
    made.serve(done.extend)
    made.submit([(n, 0) for n in range(5)])
    kill(made, 0)
    while len(done) < 5:
        time.sleep(0.01)
    made.submit([(5, 0)])
    assert len(done) == 6
    assert not any(one.answer for one in done)


def test_a_full_queue_loses_nothing_in_silence(started, monkeypatch):
    monkeypatch.setattr(service, "LIMIT", 3)
    made = started(1)
    os.kill(made._processes[0].process.pid, signal.SIGSTOP)
    done = []
    made.serve(done.extend)
    made.submit([(n, 0) for n in range(5)])
    assert [one.request.key for one in done] == [3, 4]
    assert made.outcome.reason == "3 requests waited in the queue."
    os.kill(made._processes[0].process.pid, signal.SIGCONT)
    while len(done) < 5:
        time.sleep(0.01)
    assert all(one.answer for one in done[2:])


def test_an_instance_that_cannot_be_loaded_says_why():
    with pytest.raises(BenchError, match="Invalid argument"):
        Service([InstanceSpec(None, (10**6,), 1)])


def test_an_instance_of_other_code_is_refused(monkeypatch):
    monkeypatch.setattr(service, "code_digest", lambda engines: "other")
    with pytest.raises(BenchError, match="are other code than those that run here"):
        Service([InstanceSpec(None, (), 1)])
