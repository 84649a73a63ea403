"""The plan of a round's turns: who serves in a turn, and which photo comes next. Pure functions."""

import math
import random
from collections.abc import Iterable
from typing import NamedTuple

TURN_SECONDS = 0.2  # a mode's part of a turn is at least that long
# Requests in a turn after which a fast mode stops. Their median leaves out a slow first request.
# More of them narrow no interval, because that of a speed-up depends on the slow modes.
ENOUGH = 3
ROUND_REQUESTS = 11  # of a fast mode: p90 needs 64, and a run has six rounds by default


class Plan(NamedTuple):
    """A round has `turns` turns, numbered from 1. A mode serves for up to `part` seconds of each.

    A fast mode stops after `enough` requests of a turn.
    Every mode sends at least `requests` known photos. In the turn `unseen`, the first photo of
    every mode is one that no mode was sent before.
    """

    turns: int
    part: float
    enough: int
    requests: int
    unseen: int

    def serves(self, turn: int, served: float) -> bool:
        """Whether a mode that has served for `served` seconds serves in `turn`, too.

        A mode whose requests take longer than its part waits until the others have caught up.
        """
        asked = self.requests + (turn > self.unseen)  # the unseen photo is none of the known ones
        return turn == self.unseen or turn <= asked or served < turn * self.part

    def goes_on(self, count: int, spent: float) -> bool:
        """Whether a mode sends one more request in a turn, after `count` that took `spent` seconds.

        It sends as many as fit, but stops after `enough` that took `TURN_SECONDS`.
        """
        if count == 0:
            return True
        stops = count >= self.enough and spent >= TURN_SECONDS
        return not stops and spent + spent / count <= self.part


def plan_turns(
    latencies: Iterable[float], seconds: float, requests: int, order: random.Random
) -> Plan:
    """The plan for modes whose requests take `latencies` seconds.

    Each mode is to serve in as many turns as take the slowest mode `seconds`, and at least
    `requests` known photos.
    """
    part = _part(latencies, seconds)
    # one turn more than requests, because the unseen photo takes the place of a known one
    turns = max(requests + 1, math.ceil(seconds / part))
    enough = max(ENOUGH, math.ceil(ROUND_REQUESTS / turns))
    # the first turn may be slow for other reasons
    return Plan(turns, part, enough, requests, unseen=order.randint(2, turns))


def photo_at(count: int, round_number: int, requests: int, photos: int) -> int:
    """Which of `photos` photos a mode sends after `count` known ones of a round.

    Rounds begin `requests` photos apart, because every mode sends as many: so `requests` × rounds
    requests reach every photo. Warm-up requests have negative counts: they send the photos before.
    """
    return ((round_number - 1) * requests + count) % photos


def _part(latencies: Iterable[float], seconds: float) -> float:
    """How many seconds a mode serves in a turn: as long as one request of the slowest mode.

    A mode whose requests take more than half of `seconds` does not count, because few turns are few
    chances to meet the machine alike.
    """
    usual = [latency for latency in latencies if not seconds or latency <= seconds / 2]
    return max([TURN_SECONDS, *(usual or [seconds])])
