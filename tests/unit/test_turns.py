"""Turns give every mode its time and all photos, by modes that only say how long they take."""

import random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from effdet_bench.summary.latency import needed_requests
from effdet_bench.timing.rounds import _take_turns
from effdet_bench.timing.turns import ENOUGH, TURN_SECONDS, Plan, photo_at, plan_turns


class Pretended:
    """A mode whose requests take `seconds`; `served` are (turn, requests, unseen).

    `photos` are places of the known photos that it sent, of so many.
    """

    alive = True

    def __init__(self, seconds: float, spec: SimpleNamespace, photos: int = 8) -> None:
        self.seconds = seconds
        self.spec = spec
        self.served: list[tuple[int, int, bool]] = []
        self.photos: list[int] = []
        self._of = photos

    def serve(self, turn: int, plan: Plan, unseen: bool) -> float:
        count, plan = 0, plan._replace(part=plan.part + 1e-9)
        while plan.goes_on(count, count * self.seconds):
            count += 1
        self.served.append((turn, count, unseen))
        for _ in range(count - unseen):
            place = len(self.photos), self.spec.round, self.spec.requests, self._of
            self.photos.append(photo_at(*place))
        return count * self.seconds

    @property
    def requests(self) -> int:
        return sum(count for _, count, _ in self.served)


def take(
    asked: float, *seconds: float, requests: int = 1, number: int = 1, photos: int = 8
) -> list[Pretended]:
    spec = SimpleNamespace(seconds=asked, requests=requests, round=number)
    modes = [Pretended(one, spec, photos) for one in seconds]
    _take_turns(modes, 0, random.Random(0), "a test")
    return modes


def test_all_serve_in_the_same_turns_and_fast_modes_no_longer_than_they_need():
    slow, middle, fast, faster = take(5, 1.0, 0.4, 0.1, 0.01)
    assert (slow.requests, middle.requests) == (5, 10)
    assert (fast.requests, faster.requests) == (5 * ENOUGH, 5 * TURN_SECONDS / 0.01)
    assert [turn for turn, *_ in fast.served] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("slowest", [0.9, 1.4, 1.9])
def test_six_rounds_support_p90_of_a_fast_mode_however_slow_the_slowest_is(slowest):
    rounds = [take(4, slowest, slowest / 6, number=number) for number in range(1, 7)]
    assert sum(fast.requests for _, fast in rounds) >= needed_requests(90)


@given(some.floats(0.001, 3), some.floats(TURN_SECONDS, 3))
def test_a_mode_serves_at_least_once_and_no_longer_than_its_part(seconds, part):
    count, plan = 0, Plan(turns=5, part=part, enough=ENOUGH, requests=1, unseen=2)
    while plan.goes_on(count, count * seconds):
        count += 1
    assert count >= 1
    assert count == 1 or count * seconds <= part * (1 + 1e-9)
    assert count * seconds < max(TURN_SECONDS + 2 * seconds, (ENOUGH + 1) * seconds)


def test_one_turn_begins_with_the_photo_that_is_unseen_the_same_for_all_modes():
    slow, fast = take(5, 1.0, 0.1)
    (place,) = (turn for turn, *_, unseen in slow.served if unseen)
    assert place > 1, "the first request may be slow for other reasons"
    assert [unseen for *_, unseen in fast.served] == [turn == place for turn in range(1, 6)]
    assert slow.photos == [0, 1, 2, 3]
    assert fast.photos == [count % 8 for count in range(5 * ENOUGH - 1)]


def test_a_mode_that_is_too_slow_neither_lengthens_turns_nor_takes_more_than_its_time():
    slowest, slow = take(5, 15.0, 1.0)
    assert slow.requests == 5
    assert slowest.requests == 2, "a known photo and the unseen one"


def test_requests_are_a_minimum():
    slowest, slow = take(5, 15.0, 1.0, requests=3)
    assert slowest.requests == 4, "and the unseen photo"
    assert slow.requests == 5
    assert [mode.requests for mode in take(0, 0.3, 0.1, requests=4)] == [5, 15]


@given(
    latencies=some.lists(some.floats(0.01, 20), min_size=1, max_size=4),
    seconds=some.sampled_from([0, 1, 5]),
    requests=some.integers(1, 7),
    rounds=some.integers(1, 4),
    photos=some.integers(1, 12),
)
def test_every_mode_sends_every_photo_and_none_twice_in_a_row(
    latencies, seconds, requests, rounds, photos
):
    modes = [
        take(seconds, *latencies, requests=requests, number=number, photos=photos)
        for number in range(1, rounds + 1)
    ]
    for of_mode in zip(*modes, strict=True):
        sent = [photo for one in of_mode for photo in one.photos]
        least = requests * rounds // photos
        assert all(sent.count(photo) >= least for photo in range(photos))
        for one in of_mode:
            repeated = [a for a, b in zip(one.photos, one.photos[1:], strict=False) if a == b]
            assert not repeated or photos == 1


def test_a_slow_mode_sees_all_of_ten_photos_in_two_rounds_of_five_requests():
    sent = [take(5, 6.0, 0.5, requests=5, number=k, photos=10)[0].photos for k in (1, 2)]
    assert sorted([*sent[0], *sent[1]]) == list(range(10))


def test_warm_up_sends_the_photos_before():
    assert [photo_at(count, 1, 5, 8) for count in (-2, -1, 0)] == [6, 7, 0]


@pytest.mark.parametrize("latencies", [[], [0.001], [0.1, 0.02]])
def test_a_part_is_no_shorter_than_what_settling_costs(latencies):
    plan = plan_turns(latencies, 5, 1, random.Random(0))
    assert plan.part == (TURN_SECONDS if latencies else 5)
