"""Under load: how cores are split, how a capacity is found, and what follows from passes."""

import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from effdet_bench import records
from effdet_bench.errors import UnavailableError
from effdet_bench.load import capacities, loadgen, placement
from effdet_bench.load.job import why_not
from effdet_bench.load.plan import SETTINGS, Plan
from effdet_bench.load.search import (
    Goal,
    Tried,
    first_rate,
    highest_kept,
    next_rate,
    still_gains,
    waits,
)
from effdet_bench.report import recommendation
from effdet_bench.report.commands import command_with
from effdet_bench.report.under_load import load_view, plan
from effdet_bench.summary.rows import place
from queues import mdc_capacity

GOAL = Goal(200, "p90")


@pytest.mark.parametrize(
    ("cores", "threads", "expected"),
    [
        ([(0,), (1,)], 2, [(2, ((0, 1),)), (1, ((0,), (1,)))]),
        ([(0, 4), (1, 5), (2, 6)], 3, [(3, ((0, 4, 1, 5, 2, 6),)), (1, ((0, 4), (1, 5), (2, 6)))]),
        ([(0,), (1,), (2,)], 2, [(2, ((0, 1),)), (1, ((0,), (1,)))]),
        ([(), ()], 2, [(2, ((),)), (1, ((), ()))]),
    ],
)
def test_every_instance_has_cores_of_its_own(cores, threads, expected):
    assert [(one.threads, one.cpus) for one in placement.splits(cores, threads)] == expected


@pytest.mark.parametrize("first", [2, 5, 9])
def test_a_search_ends_a_step_below_a_rate_that_breaks_the_bound(first):
    tried = []
    while (rate := next_rate(tried, GOAL, first, 1.2)) is not None:
        tried.append(Tried(rate, {"p90": 190 if rate <= 6.3 else 210}))
    kept = highest_kept(tried, GOAL)
    assert kept <= 6.3 < 1.2 * kept
    assert any(one.rate == pytest.approx(1.2 * kept) for one in tried)
    assert len(tried) < 9


def test_a_rate_above_one_that_broke_the_bound_does_not_count():
    tried = [Tried(4, {"p90": 210}), Tried(5, {"p90": 190}), Tried(3, {"p90": 190})]
    assert highest_kept(tried, GOAL) == 3
    assert highest_kept(tried[:2], GOAL) is None


def test_waiting_is_erlangs():
    """With one instance, a request waits as long as the instance works; the others are tabulated
    (Kleinrock, "Queueing Systems", 1975: C(2, 1 erlang) = 1/3; C(5, 4) = 0.554).
    """
    assert waits(1, 0.3) == pytest.approx(0.3)
    assert waits(2, 0.5) == pytest.approx(1 / 3)
    assert waits(5, 0.8) == pytest.approx(0.5541, abs=1e-4)


@pytest.mark.parametrize(("instances", "ms"), [(1, 100), (2, 110), (2, 190), (8, 141), (64, 180)])
def test_a_search_begins_near_the_rate_of_queueing_theory(instances, ms):
    most = 1000 * instances / ms
    first = first_rate(instances, most, ms, GOAL)
    assert first == pytest.approx(mdc_capacity(instances, ms / 1000, 0.2), rel=0.2, abs=0.06 * most)


def test_a_search_begins_lower_where_the_bound_leaves_less_to_wait():
    rates = [first_rate(1, 10, alone, GOAL) for alone in (10, 100, 150, 199)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == 1


def test_batches_grow_while_they_gain():
    assert still_gains([10], 0.05)
    assert still_gains([10, 10.6], 0.05)
    assert not still_gains([10, 10.6, 10.7], 0.05)


def pass_of(number: int, **more) -> records.Record:
    shape = {"instances": 1, "threads": 2, "batch": 1, "kind": "loadgen", "pass": number}
    return shape | more


def asked(number: int, purpose: str, rate: float, keeps: bool) -> records.Record:
    more = {"bound_ms": 200, "percentile": "p90", "purpose": purpose, "keeps": keeps}
    more["requests"] = int(rate * {"search": 20, "confirm": 60}[purpose])
    return pass_of(number, scheduled_rps=rate, **more)


def test_a_capacity_is_what_was_confirmed_and_what_broke_beyond_it():
    passes = [
        pass_of(0, kind="closed", answered_rps=8.0),
        asked(1, "search", 7, True),
        asked(2, "confirm", 5, True),
        asked(3, "search", 6, True),
        asked(4, "confirm", 6, True),
        asked(5, "search", 7.2, False),
    ]
    found = capacities._capacity(passes, 200, "p90", False)
    assert (found["rate"], found["confirm"], found["beyond"]) == (6, 4, 5)
    assert found["headroom"] == pytest.approx(0.25)


@pytest.mark.parametrize("back", [True, False])
def test_a_longer_pass_that_broke_a_bound_says_more_than_a_short_one_that_kept_it(back):
    broke = asked(3, "confirm", 7.2, False)
    ran = [broke] if back else [asked(2, "search", 7.2, True), broke]
    passes = [pass_of(0, kind="closed", answered_rps=8.0), *ran, asked(1, "confirm", 6, True)]
    found = capacities._capacity(passes, 200, "p90", False)
    assert (found["rate"], found["beyond"]) == (6, 3)


@pytest.mark.parametrize(("official", "rate"), [(False, 6), (True, 5)])
def test_officially_only_what_loadgen_calls_valid_is_confirmed(official, rate):
    passes = [pass_of(0, kind="closed", answered_rps=8.0)]
    passes += [asked(1, "confirm", 6, True) | {"loadgen_valid": False}]
    passes += [asked(2, "confirm", 5, True) | {"loadgen_valid": True}]
    assert capacities._capacity(passes, 200, "p90", official)["rate"] == rate


def test_what_no_pass_confirmed_is_no_capacity():
    found = capacities._capacity([asked(1, "search", 7, True)], 200, "p90", False)
    assert found["rate"] is None


def test_times_of_a_pass_are_kept_apart(tmp_path):
    rows = pd.DataFrame(
        [[0, n, "a.jpg", 0, 1, n * 10**6, n * 10**6 + 4, n * 10**6 + 6, n * 10**6 + 106,
          n * 10**6 + 109, "x" if n < 9 else ""] for n in range(10)],
        columns=records.LOAD_COLUMNS,
    )  # fmt: skip
    record = {**pass_of(0, kind="closed", requests=10), "rss_before_bytes": 1, "rss_after_bytes": 3}
    found = capacities._pass(tmp_path, record, rows)
    assert found["latency"]["p50"] == pytest.approx(109e-6)
    assert found["queue"]["p90"] == pytest.approx(4e-6)
    assert found["service"]["p50"] == pytest.approx(100e-6)
    assert found["lost"] == 1


def mode_with(rate: float | None, verdict: str = "valid") -> records.Record:
    capacity = {"bound_ms": 200, "percentile": "p90", "rate": rate, "confirm": 1, "beyond": None}
    return {"capacities": [capacity | {"headroom": 0.3}], "answers": {"verdict": verdict}}


def test_machines_are_planned_for_the_mode_that_needs_the_fewest():
    slow, fast, wrong = mode_with(4), mode_with(6), mode_with(50, "invalid")
    planned = plan([slow, fast, wrong], 30, 200, "p90", 2.0)
    assert planned["mode"] is fast
    assert planned["machines"] == 5
    assert planned["busy"] == 1
    assert planned["per_million"] == pytest.approx(5 * 2 / 3600 / 30 * 1e6)
    assert planned["per_month"] == 5 * 2 * 730


def test_what_keeps_no_bound_is_planned_for_nothing():
    planned = plan([mode_with(None)], 30, 200, "p90", 2.0)
    assert planned == {"rate": 30, "bound_ms": 200, "percentile": "p90", "mode": None}


@pytest.mark.parametrize(("rate", "apart"), [(5.9, True), (4.9, True), (4.0, False)])
def test_capacities_within_a_step_of_the_search_are_not_told_apart(rate, apart):
    def loaded(mode: str, most: float) -> records.Record:
        return mode_with(most) | {"device": "cpu", "mode": mode, "setting": "quick"}

    modes = [loaded("a", 5.0), loaded("b", rate)]
    load = {"goals": [(200, "p90")], "modes": modes}
    (line,) = recommendation._under_load(load, list(map(place, modes)), command_with([]))
    assert "/s fewer (`quick`)" in line["runner_up"]
    assert line["runner_up"].endswith("; too close to tell apart") == apart


def test_an_archive_without_load_has_no_such_section():
    assert load_view(None, {}) is None


def row(mode: str, ms: float, ranked: bool = True) -> records.Record:
    latency = {"percentiles": {"p50": {"ms": ms}}}
    return {"device": "cpu", "mode": mode, "ranked": ranked, "latency": latency}


def test_quick_is_for_the_baseline_and_the_fastest_valid_modes():
    rows = [row("baseline", 900), row("baseline-twin", 1), row("a", 100), row("b", 50)]
    rows += [row("c", 200), row("wrong", 5, ranked=False)]
    loaded = {
        setting: [
            one["mode"] for one in rows if not why_not({"rows": rows}, "cpu", one["mode"], setting)
        ]
        for setting in ("quick", "full")
    }
    assert loaded["quick"] == ["baseline", "a", "b"]
    assert loaded["full"] == ["baseline", "a", "b", "c"]


class Simulated:
    """Passes of a mode that answers `most` a second on two cores, and slower the closer to it.

    Chance makes `chance` times the rate that is asked for in short passes.
    """

    def __init__(self, most: float, chance: float) -> None:
        self.all: list[SimpleNamespace] = []
        self._most, self._chance = most, chance

    def null(self, seconds: float) -> None:
        assert seconds > 0

    def clients(self, place, count, seconds):
        rate = self._most / (1 if place.split.instances > 1 else 1.2) / place.batch
        record = {"kind": "closed", "clients": count}
        return self._keep(place, record, rate, 100 * place.split.instances)

    def energy(self, place, count, seconds):
        raise UnavailableError("there is no counter.")

    def generate(self, place, purpose, scenario):
        arriving = scenario.rate * (self._chance if scenario.seconds < 30 else 1)
        p90 = 150 / max(0.01, 1 - arriving / self._most)
        record = {"kind": "loadgen", "purpose": purpose, **scenario._asdict()}
        record |= {"percentiles": {"p90": p90}, "scheduled_rps": arriving, "valid": True}
        return self._keep(place, record, arriving, p90)

    def _keep(self, place, record, rate, ms):
        latency = {"rate": rate, "percentile": lambda _: ms}
        self.all.append(SimpleNamespace(place=place, record=record, **latency))
        return self.all[-1]


@pytest.mark.parametrize("chance", [0.85, 1.0, 1.2])
def test_a_plan_ends_at_a_rate_that_keeps_the_bound_and_one_that_does_not(chance):
    passes = Simulated(10, chance)
    spread = placement.splits([(0,), (1,)], 2)
    Plan(passes, SETTINGS["quick"], spread).run([90, 500])
    asked = [one.record for one in passes.all if one.record["kind"] == "loadgen"]
    assert len(asked) < 12
    assert {one["bound_ms"] for one in asked} == {500}
    confirmed = [one for one in asked if one["purpose"] == "confirm"]
    best = max(one["scheduled_rps"] for one in confirmed if one["percentiles"]["p90"] <= 500)
    broke = [one["rate"] for one in asked if one["percentiles"]["p90"] > 500]
    # 500 ms are kept up to 7 a second
    assert 4.5 < best <= 7
    assert 1.1 * best < min(broke) < 1.5 * best


class Flattering(Simulated):
    """Two instances answer the most, and keep a high rate in short passes, but not in long ones.

    A request takes them nearly as long as the bound, so one instance is tried first.
    """

    def clients(self, place, count, seconds):
        two = place.split.instances == 2
        record = {"kind": "closed", "clients": count}
        return self._keep(place, record, 12 if two else 10, 450 if two else 100)

    def generate(self, place, purpose, scenario):
        two = place.split.instances == 2
        kept = scenario.rate <= (3 if two and purpose == "confirm" else 9 if two else 6)
        record = {"kind": "loadgen", "purpose": purpose, **scenario._asdict()}
        record |= {"percentiles": {"p90": 400 if kept else 600}, "valid": True}
        record |= {"scheduled_rps": scenario.rate}
        return self._keep(place, record, scenario.rate, 400)


def test_a_split_that_is_not_confirmed_gives_way_to_the_next():
    passes = Flattering(10, 1)
    Plan(passes, SETTINGS["quick"], placement.splits([(0,), (1,)], 2)).run([500])
    asked = [one for one in passes.all if one.record.get("purpose") == "confirm"]
    kept = [one for one in asked if one.record["percentiles"]["p90"] <= 500]
    assert {one.place.split.instances for one in asked} == {1, 2}
    assert [one.place.split.instances for one in kept] == [1]


def test_loadgen_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with pytest.raises(UnavailableError, match=r"pip install -e '\.\[load\]'"):
        loadgen.generator()
