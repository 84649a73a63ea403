"""Planted bugs are INVALID at every precision, each for its own reason; honest modes are valid."""

import copy
import subprocess
import sys
import threading
import time

import pytest
import torch

from effdet_bench.detector import request
from effdet_bench.detector.rewrite import rewritten
from helpers import synthetic_model
from planted_bench import Bench, Recorded, key_of, make_bench, run
from planted_networks import ARITHMETIC, NETWORKS, OUTPUTS
from planted_requests import INPUTS, TABLES

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
        def forward(self, index, pixels):
            return edit(*super().forward(index, pixels))

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


class AnswersKept(Recorded):
    """What was answered once is answered again."""

    seconds = 0.2  # so much that no other load hides it

    def begin_request(self):
        self.kept = getattr(self, "kept", {})

    def forward(self, index, pixels):
        key = index, key_of(pixels)
        if key not in self.kept:
            self.kept[key] = super().forward(index, pixels)
        return self.kept[key]


class KeptBySize(AnswersKept):
    """Photos of one size are taken for the same."""

    def forward(self, index, pixels):
        if index not in self.kept:
            self.kept[index] = Recorded.forward(self, index, pixels)
        return self.kept[index]


class EverySecondStale(Recorded):
    def forward(self, index, pixels):
        self.count = getattr(self, "count", 0) + 1
        if self.count % 2:
            self.last = super().forward(index, pixels)
        return self.last


class TableOfTheLast(Recorded):
    def postprocess(self, *args):
        found = super().postprocess(*args)
        last, self.last = getattr(self, "last", found), found
        return last


class LaterWrong(Recorded):
    """Right at first, for every photo."""

    def postprocess(self, *args):
        self.count = getattr(self, "count", 0) + 1
        return super().postprocess(*args) + (0.5 if self.count > 3 else 0)


class AnyTableLater(Recorded):
    """No two outputs are the same, and tables are wrong once each photo was answered."""

    def forward(self, index, pixels):
        self.count = getattr(self, "count", 0) + 1
        classes, boxes = super().forward(index, pixels)
        last = classes[-1].clone()
        # the last bit of another value each time
        last[0, self.count, 0, 0] *= 1 + torch.finfo(last.dtype).eps
        return [*classes[:-1], last], boxes

    def postprocess(self, *args):
        right = super().postprocess(*args)
        return right.flip(0) if self.count > 5 else right


class OnePhotoTooHigh(Recorded):
    """All class logits of one photo are higher by a fraction of what rounding does to each."""

    def forward(self, index, pixels):
        classes, boxes = super().forward(index, pixels)
        if key_of(pixels) == next(iter(self.outputs[index])):
            classes = [level + 0.05 for level in classes]
        return classes, boxes


class InputShiftedLater(Recorded):
    """From the eleventh request on, the network sees a copy of its input that is moved by 3 pixels.

    A pixel is less than what rounding does to these weights; docs/judgement.md has others.
    """

    def forward(self, index, pixels):
        self.count = getattr(self, "count", 0) + 1
        if self.count <= 10:
            return super().forward(index, pixels)
        moved = pixels.roll(3, 3)
        known = self.outputs[index]
        if (key := key_of(moved)) not in known:
            known[key] = run(self.models[index].network, moved, self.precision)
        return known[key]


class InputChangedLater(Recorded):
    """The network's input is another one than preprocessing made, from the eleventh request on."""

    def forward(self, index, pixels):
        outputs = super().forward(index, pixels)
        self.count = getattr(self, "count", 0) + 1
        if self.count > 10:
            pixels.copy_((pixels + pixels.roll(1, 3)) / 2)
        return outputs


class PreparedBetweenTurns(Recorded):
    """A thread works while other modes have their turn, as if on the next photo."""

    def forward(self, index, pixels):
        outputs = super().forward(index, pixels)
        threading.Thread(target=busy, args=(0.2,)).start()
        return outputs


class SpinsBetweenTurns(Recorded):
    """A thread that waits for work does so by looking for it all the time."""

    thread = None

    def forward(self, index, pixels):
        if self.thread is None:
            self.thread = threading.Thread(target=busy, args=(0.6,), daemon=True)
            self.thread.start()
        return super().forward(index, pixels)


class ChildBetweenTurns(Recorded):
    """The same in a process of its own."""

    def forward(self, index, pixels):
        code = "import time\nwhile time.process_time() < 0.2: pass"
        subprocess.Popen([sys.executable, "-c", code])
        return super().forward(index, pixels)


def busy(seconds: float) -> None:
    while time.thread_time() < seconds:
        pass


def test_modes_that_sleep_between_turns_use_nothing(bench, tmp_path, monkeypatch):
    judged = bench.judged(Recorded(bench, "fp32"), tmp_path, monkeypatch, turns=4, pause=0.2)
    assert judged["verdict"] == "valid", judged["reason"]
    assert 0 <= judged["outside"] < 0.05


@pytest.mark.parametrize("bug", [PreparedBetweenTurns, SpinsBetweenTurns, ChildBetweenTurns])
def test_work_between_turns_is_found(bench, bug, tmp_path, monkeypatch):
    judged = bench.judged(bug(bench, "fp32"), tmp_path, monkeypatch, turns=4, pause=0.2)
    assert_found(judged, {"outside"})


SERVING = {
    AnswersKept: {"unseen"},
    KeptBySize: {"stale"},
    EverySecondStale: {"stale"},
    TableOfTheLast: {"wrong"},
    LaterWrong: {"wrong"},
    AnyTableLater: {"wrong"},
    InputChangedLater: {"input"},
    InputShiftedLater: ARITHMETIC,
    OnePhotoTooHigh: ARITHMETIC,
}


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
