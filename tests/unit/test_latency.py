"""Statistics of latencies, against published figures and by their properties."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effdet_bench.summary.latency import describe, needed_requests, percentile, percentile_intervals

latencies = st.lists(st.integers(min_value=1, max_value=10**12), min_size=1, max_size=60)

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
    found = describe([round(float(value) * 1e6) for value in APPLE_CPU_MS.split()])
    assert found["percentiles"]["p50"]["ms"] == pytest.approx(1459.285)
    assert found["mean_ms"] == pytest.approx(1465.6595)
    assert found["n"] == 20
    supported = {name: found["percentiles"][name]["supported"] for name in found["percentiles"]}
    assert supported == {"p50": True, "p90": False, "p95": False, "p99": False}


def test_one_request_has_no_standard_deviation():
    found = describe([5_000_000])
    assert found["sd_ms"] is None
    assert found["mean_ms"] == found["min_ms"] == found["max_ms"] == 5.0
    assert found["throughput_rps"] == 200.0


def test_no_request_is_refused():
    with pytest.raises(ValueError, match="no latency"):
        describe([])


@given(latencies)
def test_figures_do_not_depend_on_order(values):
    forward, backward = describe(values), describe(values[::-1])
    assert forward["percentiles"] == backward["percentiles"]
    assert forward["throughput_rps"] == backward["throughput_rps"]


@given(latencies, st.integers(min_value=2, max_value=1000))
def test_figures_scale_with_the_latencies(values, factor):
    once, scaled = describe(values), describe([value * factor for value in values])
    assert scaled["mean_ms"] == pytest.approx(once["mean_ms"] * factor)
    assert scaled["throughput_rps"] == pytest.approx(once["throughput_rps"] / factor)
    p90 = once["percentiles"]["p90"]["ms"]
    assert scaled["percentiles"]["p90"]["ms"] == pytest.approx(p90 * factor)


@given(latencies, st.floats(min_value=0.1, max_value=99.9))
def test_a_percentile_lies_between_the_extremes(values, percent):
    assert min(values) <= percentile(values, percent) <= max(values) * (1 + 1e-12)


rounds = st.lists(st.lists(st.integers(1, 10**9), min_size=1, max_size=12), min_size=2, max_size=4)


@settings(max_examples=25, deadline=None)
@given(rounds)
def test_intervals_lie_within_the_extremes_and_are_the_same_again(values):
    found = percentile_intervals(values, [50, 90])
    assert found == percentile_intervals(values, [50, 90])
    smallest, largest = min(map(min, values)), max(map(max, values))
    for low, high in found:
        assert smallest <= low <= high <= largest * (1 + 1e-12)


@settings(max_examples=25, deadline=None)
@given(rounds, st.integers(2, 1000))
def test_intervals_scale_with_the_latencies(values, factor):
    once = percentile_intervals(values, [50])[0]
    scaled = percentile_intervals([[factor * v for v in one] for one in values], [50])[0]
    assert scaled == pytest.approx((factor * once[0], factor * once[1]))


def test_one_round_has_no_interval():
    assert percentile_intervals([[1, 2, 3]], [50]) is None


@given(st.integers(1, 10**9), st.integers(1, 9))
@settings(max_examples=10, deadline=None)
def test_constant_data_have_an_interval_without_width(value, count):
    assert percentile_intervals([[value] * count] * 3, [50]) == [(value, value)]
