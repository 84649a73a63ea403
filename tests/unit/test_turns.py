"""Turns give every mode the same time, by modes that only say how long they would take."""

import random
from types import SimpleNamespace

import pytest

from effdet_bench.timing.rounds import _part, _take_turns


class Pretended:
    """A mode whose requests take `seconds`; `served` are (turn, photo, requests)."""

    alive = True

    def __init__(self, seconds: float, asked: float, requests: int = 1) -> None:
        self.seconds = seconds
        self.spec = SimpleNamespace(seconds=asked, requests=requests, round=2)
        self.served: list[tuple[int, int, int]] = []

    def turn(self, method: str, turn: int, photo: int, part: float) -> float:
        count = max(1, int(part / self.seconds + 1e-9))
        self.served.append((turn, photo, count))
        return count * self.seconds

    @property
    def requests(self) -> int:
        return sum(count for _, _, count in self.served)


def take(asked: float, *seconds: float, requests: int = 1) -> list[Pretended]:
    modes = [Pretended(one, asked, requests) for one in seconds]
    _take_turns(modes, 0, random.Random(0), "a test")
    return modes


def test_all_serve_for_the_same_time():
    slow, middle, fast = take(5, 1.0, 0.5, 0.1)
    assert (slow.requests, middle.requests, fast.requests) == (5, 10, 50)
    assert [turn for turn, _, _ in fast.served] == [1, 2, 3, 4, 5]
    assert [photo for _, photo, _ in slow.served] == [5, 6, 7, 8, 9], "on from round 1"


def test_a_mode_that_is_too_slow_neither_lengthens_turns_nor_takes_more_than_its_time():
    slowest, slow = take(5, 15.0, 1.0)
    assert slow.requests == 5
    assert slowest.requests == 1


def test_requests_are_a_minimum():
    slowest, slow = take(5, 15.0, 1.0, requests=3)
    assert slowest.requests == 3
    assert slow.requests == 5
    assert [mode.requests for mode in take(0, 0.3, 0.1, requests=4)] == [4, 12]


@pytest.mark.parametrize("latencies", [[], [0.001], [0.1, 0.02]])
def test_a_part_is_no_shorter_than_what_settling_costs(latencies):
    assert _part(latencies, 5) == 0.2 or not latencies
