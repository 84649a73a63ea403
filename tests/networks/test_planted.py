"""Planted bugs are INVALID at every precision, each for its own reason; honest modes are valid."""

import copy

import pytest
import torch

from effdet_bench.detector import request
from effdet_bench.detector.rewrite import rewritten
from helpers import synthetic_model
from planted_bench import Bench, Recorded, make_bench, run
from planted_networks import ARITHMETIC, NETWORKS, OUTPUTS
from planted_requests import INPUTS, TABLES
from planted_serving import BETWEEN_TURNS, SERVING

PRECISIONS = ("fp32", "bf16")
MODEL = "tf_efficientdet_lite0"


@pytest.fixture(scope="module")
def bench(lite0, tmp_path_factory) -> Bench:
    return make_bench([lite0], tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def pair(lite0, tmp_path_factory) -> Bench:
    """Two networks whose outputs have equal shapes, so that no shape gives a swap away."""
    other = synthetic_model("other", architecture=MODEL)
    return make_bench([lite0, other], tmp_path_factory.mktemp("pair"))


def assert_found(judged: dict, gates: set[str]) -> None:
    assert judged["verdict"] == "invalid"
    assert judged["failed"] in gates, judged["reason"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_honest_mode_is_valid(bench, precision, tmp_path, monkeypatch):
    judged = bench.judged(Recorded(bench, precision), tmp_path, monkeypatch)
    assert judged["verdict"] == "valid", judged["reason"]
    (model,) = judged["models"]
    assert (model["wrong"], model["requests"]) == (0, 3)
    assert judged["unseen"]["requests"] == 1


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bug", OUTPUTS)
def test_wrong_outputs_are_found(bench, bug, precision, tmp_path, monkeypatch):
    gates, edit = OUTPUTS[bug]

    class Planted(Recorded):
        warm = False

        def forward(self, index, pixels):
            outputs = super().forward(index, pixels)
            if not self.warm:  # a wrong shape would show in the first request, a warm-up
                self.warm = True
                return outputs
            return edit(*outputs)

        def postprocess(self, index, outputs, *args):
            if len(outputs[0]) < 5:
                return torch.zeros(100, 6)
            return super().postprocess(index, outputs, *args)

    assert_found(bench.judged(Planted(bench, precision), tmp_path, monkeypatch), gates)


def test_a_single_wrong_class_is_named(bench, tmp_path, monkeypatch):
    edit = OUTPUTS["logits of one class too large"][1]

    class Planted(Recorded):
        def forward(self, index, pixels):
            return edit(*super().forward(index, pixels))

    judged = bench.judged(Planted(bench, "bf16"), tmp_path, monkeypatch)
    (model,) = judged["models"]
    assert "of logits of class 6" in judged["reason"]
    assert model["where"]["slopes"] == "logits of class 6"


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bug", NETWORKS)
def test_wrong_networks_are_found(bench, lite0, bug, precision, tmp_path, monkeypatch):
    network = NETWORKS[bug](copy.deepcopy(lite0.network))

    class Planted(Recorded):
        def forward(self, index, pixels):
            return run(network, pixels, precision)

    assert_found(bench.judged(Planted(bench, precision), tmp_path, monkeypatch), ARITHMETIC)


@pytest.mark.parametrize(
    ("claimed", "computed"), [("fp32", "tf32"), ("fp32", "fp16"), ("fp32", "bf16")]
)
def test_a_lower_precision_than_claimed_is_found(
    bench, lite0, claimed, computed, tmp_path, monkeypatch
):
    class Planted(Recorded):
        def forward(self, index, pixels):
            return run(lite0.network, pixels, computed)

    assert_found(bench.judged(Planted(bench, claimed), tmp_path, monkeypatch), ARITHMETIC)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_other_ways_to_compute_the_same_are_valid(bench, lite0, precision, tmp_path, monkeypatch):
    network = rewritten(lite0.network).to(memory_format=torch.channels_last)

    class Honest(Recorded):
        def forward(self, index, pixels):
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            return run(network, pixels, precision)

    judged = bench.judged(Honest(bench, precision), tmp_path, monkeypatch)
    assert judged["verdict"] == "valid", judged["reason"]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bug", INPUTS)
def test_wrong_preprocessing_is_found(bench, bug, precision, tmp_path, monkeypatch):
    monkeypatch.setattr(request, "preprocess", INPUTS[bug])
    judged = bench.judged(Recorded(bench, precision), tmp_path, monkeypatch)
    assert_found(judged, {"input"})


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bug", TABLES)
def test_wrong_tables_are_found(bench, bug, precision, tmp_path, monkeypatch):
    class Planted(Recorded):
        def postprocess(self, index, outputs, scale, size):
            right = super().postprocess(index, outputs, scale, size)
            return TABLES[bug](self, index, outputs, scale, size, right)

    assert_found(bench.judged(Planted(bench, precision), tmp_path, monkeypatch), {"wrong"})


def test_modes_that_sleep_between_turns_use_nothing(bench, tmp_path, monkeypatch):
    judged = bench.judged(Recorded(bench, "fp32"), tmp_path, monkeypatch, turns=4, pause=0.2)
    assert judged["verdict"] == "valid", judged["reason"]
    assert 0 <= judged["outside"] < 0.05


@pytest.mark.parametrize("bug", BETWEEN_TURNS)
def test_work_between_turns_is_found(bench, bug, tmp_path, monkeypatch):
    judged = bench.judged(bug(bench, "fp32"), tmp_path, monkeypatch, turns=4, pause=0.2)
    assert_found(judged, {"outside"})


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bug", SERVING)
def test_dishonest_serving_is_found(bench, bug, precision, tmp_path, monkeypatch):
    judged = bench.judged(bug(bench, precision), tmp_path, monkeypatch, turns=12, rounds=4)
    assert_found(judged, SERVING[bug])


class Swapped(Recorded):
    def forward(self, index, pixels):
        return super().forward(1 - index, pixels)


class FirstForAll(Recorded):
    def forward(self, index, pixels):
        return super().forward(0, pixels)


class NoAnswer(Recorded):
    def each_model(self, task):
        return []


class NoSecond(Recorded):
    def each_model(self, task):
        return super().each_model(task)[:1]


ENSEMBLE = {
    Swapped: ARITHMETIC,
    FirstForAll: ARITHMETIC,
    NoAnswer: {"no answer"},
    NoSecond: {"no answer"},
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bug", ENSEMBLE)
def test_models_mixed_up_are_found(pair, bug, precision, tmp_path, monkeypatch):
    assert_found(pair.judged(bug(pair, precision), tmp_path, monkeypatch), ENSEMBLE[bug])
