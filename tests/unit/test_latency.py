"""Statistics of latencies, against published figures and by their properties."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from effdet_bench.summary.latency import describe, needed_requests, percentile, percentile_interval

latency = st.integers(min_value=1, max_value=10**12)
turn = st.lists(latency, min_size=1, max_size=4)
turns = st.lists(turn, min_size=1, max_size=20)

# 20 CPU latencies of a published Apple M4 Pro report, whose own percentiles do not follow from them
APPLE_CPU_MS = """1426.16 1432.89 1441.23 1448.56 1451.12 1452.34 1453.21 1454.67 1456.89 1458.12
1460.45 1463.78 1467.23 1471.56 1478.90 1485.34 1491.67 1498.23 1506.78 1514.06"""


@pytest.mark.parametrize(("percent", "needs"), [(50, 11), (90, 64), (95, 130), (99, 662)])
def test_needed_requests_are_those_that_mlperf_publishes(percent, needs):
    assert needed_requests(percent) == needs


@pytest.mark.parametrize("percent", [0, 100, -1])
def test_a_percentile_outside_the_open_interval_is_refused(percent):
    with pytest.raises(ValueError, match="inside"):
        needed_requests(percent)


def test_figures_of_published_raw_values():
    found = describe([[round(float(value) * 1e6)] for value in APPLE_CPU_MS.split()])
    assert found["percentiles"]["p50"]["ms"] == pytest.approx(1459.285)
    assert found["mean_ms"] == pytest.approx(1465.6595)
    assert found["n"] == 20
    supported = {name: found["percentiles"][name]["supported"] for name in found["percentiles"]}
    assert supported == {"p50": True, "p90": False, "p95": False, "p99": False}


def test_one_request_has_no_standard_deviation():
    found = describe([[5_000_000]])
    assert found["sd_ms"] is None
    assert found["mean_ms"] == found["min_ms"] == found["max_ms"] == 5.0
    assert found["throughput_rps"] == 200.0


def test_no_request_is_refused():
    with pytest.raises(ValueError, match="no latency"):
        describe([])


@given(turns)
def test_figures_do_not_depend_on_order(values):
    forward, backward = describe(values), describe([turn[::-1] for turn in values[::-1]])
    assert forward["percentiles"] == backward["percentiles"]
    assert forward["throughput_rps"] == backward["throughput_rps"]


@given(turns, st.integers(min_value=2, max_value=1000))
def test_figures_scale_with_the_latencies(values, factor):
    once, scaled = describe(values), describe([[one * factor for one in turn] for turn in values])
    assert scaled["mean_ms"] == pytest.approx(once["mean_ms"] * factor)
    assert scaled["throughput_rps"] == pytest.approx(once["throughput_rps"] / factor)
    p90 = once["percentiles"]["p90"]["ms"]
    assert scaled["percentiles"]["p90"]["ms"] == pytest.approx(p90 * factor)


@given(turns, st.floats(min_value=0.1, max_value=99.9))
def test_a_percentile_lies_between_the_extremes(values, percent):
    every = [one for turn in values for one in turn]
    assert min(every) * (1 - 1e-12) <= percentile(values, percent) <= max(every) * (1 + 1e-12)


@given(st.lists(latency, min_size=1, max_size=60), st.floats(min_value=0.1, max_value=99.9))
def test_turns_of_one_request_give_the_usual_percentile(values, percent):
    found = percentile([[value] for value in values], percent)
    assert found == pytest.approx(np.percentile(values, percent), rel=1e-9)


@pytest.mark.parametrize("slow_turns", [45, 55])
def test_a_slow_machine_moves_fast_and_slow_modes_alike(slow_turns):
    """The machine runs at half speed in some of 100 turns, where fewer requests fit in."""
    slow = [[200.0] if k < slow_turns else [100.0] for k in range(100)]
    fast = [[20.0] * 5 if k < slow_turns else [10.0] * 10 for k in range(100)]
    assert percentile(slow, 50) / percentile(fast, 50) == pytest.approx(10)


rounds = st.lists(st.lists(turn, min_size=1, max_size=12), min_size=2, max_size=4)


@settings(max_examples=25, deadline=None)
@given(rounds, st.sampled_from([50, 90]))
def test_an_interval_holds_its_percentile_and_lies_within_the_extremes(values, percent):
    every = [one for turns in values for turn in turns for one in turn]
    low, high = percentile_interval(values, percent)
    value = percentile([turn for turns in values for turn in turns], percent)
    assert min(every) * (1 - 1e-12) <= low <= value <= high <= max(every) * (1 + 1e-12)


@settings(max_examples=25, deadline=None)
@given(rounds, st.integers(2, 1000))
@example([[[7714] * 3], [[1, 1, 6353, 7757]], [[1], [1, 7713], [7712], [1, 7752, 7755, 7735]]], 17)
def test_intervals_scale_with_the_latencies(values, factor):
    once = percentile_interval(values, 50)
    longer = [[[factor * one for one in turn] for turn in turns] for turns in values]
    assert percentile_interval(longer, 50) == pytest.approx([factor * end for end in once])


def test_one_round_has_no_interval():
    assert percentile_interval([[[1], [2, 3]]], 50) is None


def test_an_interval_has_a_width_even_if_all_rounds_have_the_same_share_below():
    low, high = percentile_interval([[[one] for one in range(1, 31)]] * 3, 90)
    assert low < 27 < high


def test_constant_data_have_an_interval_without_width():
    assert percentile_interval([[[7], [7, 7]]] * 3, 50) == (7, 7)
