"""Turns give every mode the same time, by modes that only say how long they would take."""

import random
from types import SimpleNamespace

import pytest

from effdet_bench.timing.rounds import _part, _take_turns


class Pretended:
    """A mode whose requests take `seconds`; `served` are (turn, photo, requests, unseen)."""

    alive = True

    def __init__(self, seconds: float, asked: float, requests: int = 1) -> None:
        self.seconds = seconds
        self.spec = SimpleNamespace(seconds=asked, requests=requests, round=2)
        self.served: list[tuple[int, int, int, bool]] = []

    def turn(self, method: str, turn: int, photo: int, part: float, unseen: bool) -> float:
        count = max(1, int(part / self.seconds + 1e-9))
        self.served.append((turn, photo, count, unseen))
        return count * self.seconds

    @property
    def requests(self) -> int:
        return sum(count for _, _, count, _ in self.served)


def take(asked: float, *seconds: float, requests: int = 1) -> list[Pretended]:
    modes = [Pretended(one, asked, requests) for one in seconds]
    _take_turns(modes, 0, random.Random(0), "a test")
    return modes


def test_all_serve_for_the_same_time():
    slow, middle, fast = take(5, 1.0, 0.5, 0.1)
    assert (slow.requests, middle.requests, fast.requests) == (5, 10, 50)
    assert [turn for turn, *_ in fast.served] == [1, 2, 3, 4, 5]


def test_one_turn_begins_with_the_photo_that_is_unseen_the_same_for_all_modes():
    slow, fast = take(5, 1.0, 0.1)
    (place,) = (turn for turn, *_, unseen in slow.served if unseen)
    assert place > 1, "the first request may be slow for other reasons"
    assert [unseen for *_, unseen in fast.served] == [turn == place for turn in range(1, 6)]
    known = [photo for _, photo, _, unseen in slow.served if not unseen]
    assert known == [4, 5, 6, 7], "on from round 1"


def test_a_mode_that_is_too_slow_neither_lengthens_turns_nor_takes_more_than_its_time():
    slowest, slow = take(5, 15.0, 1.0)
    assert slow.requests == 5
    assert slowest.requests == 2, "a known photo and the unseen one"


def test_requests_are_a_minimum():
    slowest, slow = take(5, 15.0, 1.0, requests=3)
    assert slowest.requests == 4, "and the unseen photo"
    assert slow.requests == 5
    assert [mode.requests for mode in take(0, 0.3, 0.1, requests=4)] == [5, 15]


@pytest.mark.parametrize("latencies", [[], [0.001], [0.1, 0.02]])
def test_a_part_is_no_shorter_than_what_settling_costs(latencies):
    assert _part(latencies, 5) == 0.2 or not latencies
