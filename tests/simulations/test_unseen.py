"""Unseen photos: honest modes are not called dishonest, kept answers are found, on real noise."""

import functools

import numpy as np
import pandas as pd
import pytest

from effdet_bench.config.names import UNSEEN_MARK
from effdet_bench.layout import Archive
from effdet_bench.records import RAW_COLUMNS, read_table
from effdet_bench.validity.gate import tolerance_of
from effdet_bench.validity.unseen import compare_unseen
from helpers import EXAMPLES

LIMIT = tolerance_of("fp32")["unseen"]
ARCHIVE = Archive(EXAMPLES / "amd-epyc-zen4-2-core")
MODES = ("baseline", "channels_last", "fused", "onnxruntime")


@functools.cache
def measured(mode: str) -> list[pd.DataFrame]:
    paths = [ARCHIVE.job("cpu", mode, k) / "requests.csv" for k in ARCHIVE.rounds("cpu", mode)]
    return [read_table(path, RAW_COLUMNS["requests.csv"]) for path in paths]


def rounds_of(
    mode: str, order: np.random.Generator, count: int = 6, kept: float = 1.0
) -> list[pd.DataFrame]:
    """`count` rounds of `mode` as measured, but that one request of each is called unseen.

    All others take `kept` of their time, so that more of them fit into it.
    """
    rounds = []
    for rows in measured(mode)[:count]:
        chosen = order.choice(rows.index[rows["phase"] == "timed"][1:])
        unseen = f"photo{UNSEEN_MARK}.jpg"
        again = rows["photo"].where(rows.index != chosen, unseen)
        # photos come back more often than in so few requests of a round
        again = again.where(again == unseen, "a.jpg")
        latency = rows["latency_ns"].where(rows.index == chosen, rows["latency_ns"] * kept)
        served = rows.assign(photo=again, latency_ns=latency)
        often = np.where(rows.index == chosen, 1, int(1 / kept))
        rounds.append(served.loc[rows.index.repeat(often)].reset_index(drop=True))
    return rounds


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [1, 2, 6])
def test_an_honest_mode_is_not_called_dishonest(mode, count):
    order = np.random.default_rng(0)
    found = [compare_unseen(rounds_of(mode, order, count)).at_least for _ in range(100)]
    wrong = [one for one in found if one is not None and one > LIMIT]
    assert len(wrong) <= 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [1, 2, 6])
def test_a_request_that_happens_to_be_slow_is_not_taken_for_dishonesty(mode, count):
    order = np.random.default_rng(0)
    found = []
    for _ in range(100):
        rounds = rounds_of(mode, order, count)
        for rows in rounds:
            slow = order.random(len(rows)) < 0.05
            rows["latency_ns"] = rows["latency_ns"].where(~slow, rows["latency_ns"] * 3)
        found.append(compare_unseen(rounds).at_least)
    wrong = [one for one in found if one is not None and one > LIMIT]
    assert len(wrong) <= 1


@pytest.mark.parametrize("mode", MODES)
def test_kept_answers_are_found_in_a_default_run(mode):
    order = np.random.default_rng(0)
    found = [compare_unseen(rounds_of(mode, order, kept=0.4)).at_least for _ in range(100)]
    assert np.mean([one is not None and one > LIMIT for one in found]) >= 0.99
