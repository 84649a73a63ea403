"""Which modes are called FASTER: noise, biased controls, slow starts of turns, other devices."""

import numpy as np
import pytest

from effdet_bench.config.names import BASELINE, CONTROL
from effdet_bench.summary.latency import describe
from effdet_bench.summary.verdicts import Pairs, ablation_steps, add_verdicts

LEVELS = (1.0, 1.02, 0.97, 1.01, 0.99, 1.03)  # the machine's speed in each round


def rounds_of(ms: float, requests: int = 1, turns: int = 4, jitter=(0,) * 6) -> dict:
    """Latencies by round and turn, which follow the machine's speed."""
    return {
        k: {t: [1e6 * ms * level * (1 + extra)] * requests for t in range(turns)}
        for k, (level, extra) in enumerate(zip(LEVELS, jitter, strict=True), start=1)
    }


def row_of(device: str, mode: str, rounds: dict, first: dict | None = None) -> dict:
    turns = [turn for one in rounds.values() for turn in one.values()]
    return {
        "device": device,
        "mode": mode,
        "twin": mode == CONTROL,
        "ranked": mode != CONTROL,
        "floor": False,
        "effort": {"first_of_turn": first},
        "latency": describe(turns) if turns else None,
        "rounds": [{"round": number} for number in rounds],
        "doubts": [],
        "comparison": None,
        "behind": None,
        "over_tuned": None,
    }


def judged(rounds: dict, first: dict | None = None) -> tuple[dict, Pairs]:
    """Rows by device and mode, with their verdicts; modes are compared with the first one.

    `first` has comparisons of the first requests of turns with the others, by device and mode.
    """
    rows = {key: row_of(*key, one, (first or {}).get(key)) for key, one in rounds.items()}
    pairs = Pairs(list(rows.values()), rounds)
    add_verdicts(list(rows.values()), next(iter(rows.values())), pairs)
    return rows, pairs


def on_cpu(twin: dict, mode: dict, first: dict | None = None) -> dict:
    """Rows of `baseline`, its control and one mode, by mode."""
    rounds = {("cpu", BASELINE): rounds_of(100), ("cpu", CONTROL): twin, ("cpu", "mode"): mode}
    return {mode: row for (_, mode), row in judged(rounds, first)[0].items()}


@pytest.mark.parametrize("bias", [0, 0.01, 0.03])
def test_no_mode_is_faster_by_what_the_control_is_faster(bias):
    """In 20 runs: both lack a sleep that `baseline` has in each request."""
    generator = np.random.default_rng(8)
    for _ in range(20):
        twin, mode = (
            rounds_of(100 / (1 + bias), jitter=generator.normal(0, 0.003, 6)) for _ in range(2)
        )
        rows = on_cpu(twin, mode)
        assert rows["mode"]["comparison"]["verdict"] in ("SAME", "AMBIGUOUS")
        kinds = {doubt["kind"] for doubt in rows["mode"]["doubts"]}
        control = rows[CONTROL]["comparison"]
        assert ("control" in kinds) == (not control["low"] <= 1 <= control["high"])
        assert bias != 0.03 or kinds == {"control"}


def test_a_mode_that_is_faster_than_the_biased_control_is_faster():
    rows = on_cpu(rounds_of(97), rounds_of(80))
    assert rows["mode"]["comparison"]["verdict"] == "FASTER"


def test_a_slow_start_of_turns_hides_differences_of_its_size():
    """The first request of a turn takes 8 % longer; the mode has several requests in a turn."""
    slow = {("cpu", "mode"): {"ratio": 1.08, "low": 1.06, "high": 1.1}}
    unsure = {("cpu", "mode"): {"ratio": 1.08, "low": 1.0, "high": 1.16}}
    twin = rounds_of(100)
    found = on_cpu(twin, rounds_of(95, 5), slow)["mode"]
    assert found["comparison"]["verdict"] == "AMBIGUOUS"
    assert [doubt["kind"] for doubt in found["doubts"]] == ["slow_start"]
    assert on_cpu(twin, rounds_of(90, 5), slow)["mode"]["comparison"]["verdict"] == "FASTER"
    assert on_cpu(twin, rounds_of(95, 5), unsure)["mode"]["comparison"]["verdict"] == "FASTER"


def test_a_step_is_ambiguous_where_the_control_gave_no_noise():
    """The control did not complete, or ran in one round alone."""
    modes = {("cpu", BASELINE): rounds_of(100), ("cpu", "mode"): rounds_of(50)}

    def step(control: dict) -> str:
        rows, pairs = judged(modes | {("cpu", CONTROL): control})
        return ablation_steps(list(rows.values()), pairs, "cpu", [BASELINE, "mode"])[1]["step"]

    assert step(rounds_of(100))["verdict"] == "FASTER"
    assert step({})["verdict"] == "AMBIGUOUS"
    assert step({1: rounds_of(100)[1]})["verdict"] == "AMBIGUOUS"


def test_modes_that_share_one_round_of_several_are_compared_through_baseline():
    """As after a retry; one common round would give no interval."""
    first, second = rounds_of(50), rounds_of(25)
    rounds = {
        ("cpu", BASELINE): rounds_of(100),
        ("cpu", "first"): {k: first[k] for k in (1, 2)},
        ("cpu", "second"): {k: second[k] for k in (2, 3)},
    }
    found = Pairs([], rounds).compared(*({"device": "cpu", "mode": m} for m in ("second", "first")))
    assert found.ratio == pytest.approx(2)
    assert found.rounds == 2


def test_devices_are_compared_by_all_turns_of_their_rounds():
    """The GPU runs at half speed in its first six turns, which tell nothing of the CPU's six."""
    gpu = {k: {t: [2e6 if t < 6 else 1e6] * 5 for t in range(100)} for k in range(1, 7)}
    rows, _ = judged({("cpu", BASELINE): rounds_of(160, turns=6), ("cuda", BASELINE): gpu})
    found = rows["cuda", BASELINE]["comparison"]
    assert found["ratio"] == pytest.approx(160, rel=0.01)
    assert found["low"] < 160 < found["high"]


def test_a_mode_of_a_second_memory_group_is_compared_with_another_device():
    """The group has turns of its own, with numbers that the CPU's `baseline` does not have."""
    gpu = {k: {t: [1e6] for t in range(100, 104)} for k in range(1, 7)}
    rows, _ = judged({("cpu", BASELINE): rounds_of(160), ("cuda", "mode"): gpu})
    assert rows["cuda", "mode"]["comparison"]["ratio"] == pytest.approx(160, rel=0.01)
