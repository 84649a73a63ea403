"""The passes of a mode under load: splits, batches, then the highest rate for each bound."""

from collections.abc import Sequence
from typing import NamedTuple

import psutil

from effdet_bench.errors import UnavailableError
from effdet_bench.load.loadgen import Scenario
from effdet_bench.load.passes import Pass, Passes, Place
from effdet_bench.load.placement import Split
from effdet_bench.load.search import (
    STEP,
    Goal,
    Tried,
    first_rate,
    highest_kept,
    next_rate,
    still_gains,
)
from effdet_bench.records import Record
from effdet_bench.summary.latency import needed_requests

NULL_SECONDS = 0.1  # enough for about a thousand requests
BATCH_GAIN = 0.05  # share by which a larger batch must raise the throughput
MEMORY_LEFT = 0.2  # share of the memory that must be free for a larger batch to be tried
BACK = 0.85  # from a rate that was not confirmed to the rate that is tried next
SEARCHES, CONFIRMATIONS = 10, 3  # at most, for one bound
LIKELIEST = 2  # splits on which a rate is searched for
PATIENCE = 3  # times its least duration that a pass may take to get the requests it needs


class Setting(NamedTuple):
    """How long passes are in seconds, and which passes there are.

    `closed` is for a closed loop, `energy` for energy, `search` for a pass that searches a rate,
    and `confirm` for a pass that confirms a rate. A pass of LoadGen has at least `queries` queries.
    If `official`, only a pass that LoadGen calls VALID confirms a rate; such a pass has enough
    requests for the percentile. Rates are searched for the `bounds` loosest latency bounds, or for
    all bounds if that is `None`. `scenarios`, with their least queries, run on the best split, each
    as long as a confirmation.
    """

    closed: float
    energy: float
    search: float
    confirm: float
    queries: int
    official: bool
    bounds: int | None
    percentiles: tuple[str, ...]
    scenarios: dict[str, int]

    def sought(self, bounds: list[float]) -> list[float]:
        """Those of `bounds` for which rates are searched."""
        return sorted(sorted(bounds, reverse=True)[: self.bounds])


# durations and counts of MLPerf Inference, where Offline is one query over all photos
FULL = Setting(
    closed=20,
    energy=60,
    search=60,
    confirm=600,
    queries=100,
    official=True,
    bounds=None,
    percentiles=("p90", "p99"),
    scenarios={"SingleStream": 100, "MultiStream": 662, "Offline": 1},
)
QUICK = Setting(
    closed=3,
    energy=10,
    search=20,
    confirm=60,
    queries=10,
    official=False,
    bounds=1,
    percentiles=("p90",),
    scenarios={},
)
SETTINGS = {"quick": QUICK, "full": FULL}


class Plan:
    """Puts the mode of `passes` under load as `setting` says, on the splits `spread`."""

    def __init__(self, passes: Passes, setting: Setting, spread: Sequence[Split]) -> None:
        self._passes, self._setting, self._spread = passes, setting, spread
        self._batches = dict.fromkeys(spread, 1)

    def run(self, bounds: Sequence[float]) -> Record:
        """Runs every pass, for latencies within `bounds` in milliseconds.

        Returns:
            `unbatched`: why no larger batches were tried; `no_energy`: why energy was not measured.
            Each is `None` where that was done.
        """
        self._passes.null(NULL_SECONDS)
        for split in self._spread:
            # no queue with one client for each instance, and always work with two
            for count in sorted({1, split.instances, 2 * split.instances}):
                self._passes.clients(Place(split, 1), count, self._setting.closed)
        best = max(self._spread, key=self._most)
        left_out = {"no_energy": self._measure_energy(best), "unbatched": self._grow_batches(best)}
        for percentile in self._setting.percentiles:
            for bound in bounds:
                self._find_capacity(Goal(bound, percentile))
        for name, queries in self._setting.scenarios.items():
            scenario = Scenario(name, self._setting.confirm, queries, self._most(best))
            self._passes.generate(self._place(best), "scenario", scenario)
        return left_out

    def _measure_energy(self, split: Split) -> str | None:
        try:
            self._passes.energy(Place(split, 1), 2 * split.instances, self._setting.energy)
        except UnavailableError as error:
            return str(error)
        return None

    def _grow_batches(self, split: Split) -> str | None:
        """Tries batches of 2, 4, 8 and so on, until throughput stops rising or memory is short."""
        rates, batch = [self._most(split)], 1
        while still_gains(rates, BATCH_GAIN):
            memory = psutil.virtual_memory()
            if memory.available < MEMORY_LEFT * memory.total:
                return f"less than {MEMORY_LEFT:.0%} of the memory was free for {2 * batch} photos."
            batch *= 2
            count = 2 * batch * split.instances
            try:
                done = self._passes.clients(Place(split, batch), count, self._setting.closed)
            except UnavailableError as error:
                return str(error)
            rates.append(done.rate)
            if still_gains(rates, BATCH_GAIN):
                self._batches[split] = batch
        return None

    def _find_capacity(self, goal: Goal) -> None:
        """Finds the highest rate that keeps `goal` in short passes; confirms it, or a lower one."""
        found: list[tuple[Split, float]] = []
        for split in self._likeliest(goal):
            rate = self._search(split, goal, found[-1][1] if found else 0)
            if rate is not None:
                found.append((split, rate))
        confirmed = 0.0
        for split, rate in reversed(found):
            if rate > confirmed:
                confirmed = max(confirmed, self._confirm(split, rate, goal))

    def _likeliest(self, goal: Goal) -> list[Split]:
        """Splits that keep `goal` where nothing queues; the one with the highest first rate first.

        The split that answers the most need not keep the highest rate: its requests may take nearly
        as long as the bound, and leave no time to wait.
        """
        able = [one for one in self._spread if self._alone(one, goal.percentile) <= goal.bound_ms]
        return sorted(able, key=lambda one: self._first_rate(one, goal), reverse=True)[:LIKELIEST]

    def _first_rate(self, split: Split, goal: Goal) -> float:
        alone = self._alone(split, goal.percentile)
        return first_rate(split.instances, self._most(split), alone, goal)

    def _search(self, split: Split, goal: Goal, kept: float) -> float | None:
        """The highest rate above `kept`, that of another split, at which `split` keeps `goal`."""
        first = kept * STEP or self._first_rate(split, goal)
        if first > self._most(split):
            return None
        tried: list[Tried] = []
        for _ in range(SEARCHES):
            rate = next_rate(tried, goal, first, STEP)
            if rate is None or (kept and rate < first):
                break
            tried.append(self._arrive(split, "search", rate, goal, self._setting.search))
        return highest_kept(tried, goal)

    def _confirm(self, split: Split, rate: float, goal: Goal) -> float:
        """The rate that a longer pass confirms, `rate` or a lower one; 0 if none does."""
        for _ in range(CONFIRMATIONS):
            done = self._arrive(split, "confirm", rate, goal, self._setting.confirm)
            if done.keeps(goal) and (done.valid or not self._setting.official):
                return rate
            rate *= BACK
        return 0.0

    def _arrive(self, split: Split, purpose: str, rate: float, goal: Goal, seconds: float) -> Tried:
        """A pass of Poisson arrivals, long enough for the percentile if `PATIENCE` allows it."""
        percent = float(goal.percentile.removeprefix("p"))
        wanted = min(needed_requests(percent), int(PATIENCE * seconds * rate))
        queries = max(self._setting.queries, wanted)
        scenario = Scenario("Server", seconds, queries, rate, goal.bound_ms, percent / 100)
        done = self._passes.generate(self._place(split), purpose, scenario)
        # the requested rate: with the rate that chance makes of it, the search would not converge
        return Tried(rate, done.record["percentiles"], done.record["valid"])

    def _place(self, split: Split) -> Place:
        return Place(split, self._batches[split])

    def _most(self, split: Split) -> float:
        """Most requests a second that `split` answered in a closed loop, without batches."""
        return max(one.rate for one in self._of(Place(split, 1), "closed"))

    def _alone(self, split: Split, percentile: str) -> float:
        """Milliseconds with at most as many clients as instances, and so without a queue."""
        of_split = self._of(Place(split, 1), "closed")
        idle = [one for one in of_split if one.record["clients"] <= split.instances]
        return idle[-1].percentile(percentile)

    def _of(self, place: Place, kind: str) -> list[Pass]:
        return [p for p in self._passes.all if p.place == place and p.record["kind"] == kind]
