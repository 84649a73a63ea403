"""Verdicts on the steps of the ablation."""

from effdet_bench.report.ladder import ablation_lines


def verdict_of_a_step(control: dict | None) -> str:
    """The verdict on a step of 1.20x (1.15x to 1.25x), with the comparison of the control."""
    latency = {"percentiles": {"p50": {"ms": 10.0, "supported": True}}}
    mode = {"device": "cpu", "mode": "fast", "floor": False, "twin": False, "latency": latency}
    twin = mode | {"mode": "baseline-twin", "twin": True, "comparison": control}
    step = {"ratio": 1.2, "low": 1.15, "high": 1.25, "half_width": 0.04, "rounds": 4}
    ablation = [{"device": "cpu", "mode": "fast", "p50_ms": 10.0, "step": step, "over_first": 1.2}]
    (line,) = ablation_lines({"rows": [mode, twin], "ablation": ablation})
    return line["verdict"]


def test_a_step_counts_only_above_the_noise():
    assert verdict_of_a_step({"half_width": 0.02}) == "FASTER"
    assert verdict_of_a_step({"half_width": 0.3}) == "AMBIGUOUS"


def test_a_step_is_ambiguous_where_the_control_gave_no_noise():
    """It did not complete, or ran in one round alone."""
    assert verdict_of_a_step(None) == "AMBIGUOUS"
    assert verdict_of_a_step({"half_width": None}) == "AMBIGUOUS"
