"""Bugs planted in effdet_runtime are found by the gate, as those in any other engine."""

import numpy as np
import pytest
import torch

from effdet_bench.engines.base import Engine
from effdet_bench.engines.lean import Lean, model_of
from effdet_runtime import boxes, photos, pipeline
from planted_bench import Bench, make_bench
from planted_requests import INPUTS, TABLES
from tables import levels_of, table_of

CPU = torch.device("cpu")
PRECISIONS = ("fp32", "bf16")


class Recorded:
    """Networks of effdet_runtime that return what a network gave for the pixels before."""

    def __init__(self, bench: Bench, precision: str) -> None:
        self.outputs = bench.outputs[precision]

    def run(self, index, pixels):
        known = self.outputs[index]
        key = float(torch.from_numpy(pixels).double().square().sum())
        classes, regressions = known.get(key, next(iter(known.values())))
        return table_of(classes, 90), table_of(regressions, 4)


class RecordedLean(Lean):
    version = "recorded"

    def __init__(self, bench: Bench, precision: str) -> None:
        Engine.__init__(self, bench.models, CPU, {"precision": precision})
        models = [model_of(model) for model in bench.models]
        self.pipeline = pipeline.Pipeline(models, Recorded(bench, precision))


@pytest.fixture(scope="module")
def bench(lite0, tmp_path_factory) -> Bench:
    return make_bench([lite0], tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_is_valid_as_it_is(bench, precision, tmp_path, monkeypatch):
    judged = bench.judged(RecordedLean(bench, precision), tmp_path, monkeypatch)
    assert judged["verdict"] == "valid", judged["reason"]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bug", INPUTS)
def test_wrong_preprocessing_is_found(bench, bug, precision, tmp_path, monkeypatch):
    def prepare(image, *_):
        given = INPUTS[bug](image, bench.models[0], CPU)
        scale = np.float32(given.scale[0])
        return photos.Input(given.pixels.numpy(), scale, tuple(given.size[0].tolist()))

    monkeypatch.setattr(photos, "prepare", prepare)
    judged = bench.judged(RecordedLean(bench, precision), tmp_path, monkeypatch)
    assert (judged["verdict"], judged["failed"]) == ("invalid", "input"), judged["reason"]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bug", TABLES)
def test_wrong_postprocessing_is_found(bench, bug, precision, tmp_path, monkeypatch):
    engine, right = RecordedLean(bench, precision), boxes.detect

    def detect(classes, regressions, anchors, scale, size, rules):
        table = torch.from_numpy(right(classes, regressions, anchors, scale, size, rules))
        outputs = [levels_of(bench.models[0], table) for table in (classes, regressions)]
        given = torch.tensor([scale]), torch.tensor([size])
        return TABLES[bug](engine, 0, outputs, *given, table).numpy()

    monkeypatch.setattr(boxes, "detect", detect)
    judged = bench.judged(engine, tmp_path, monkeypatch)
    assert (judged["verdict"], judged["failed"]) == ("invalid", "wrong"), judged["reason"]
