"""The validity gate: the reference passes exactly, every planted bug fails at every precision."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from effdet.bench import _batch_detection, _post_process

from effdet_bench import records
from effdet_bench.config import machine
from effdet_bench.config.photos import list_photos
from effdet_bench.detector.request import Answer, serve
from effdet_bench.engines.base import load_engine
from effdet_bench.engines.eager import Eager
from effdet_bench.errors import BenchError
from effdet_bench.layout import TOLERANCES
from effdet_bench.reference.outputs import check_reference, read_reference
from effdet_bench.timing.capture import Capture
from effdet_bench.validity.gate import GATES, judge, read_answers, tolerance_of
from helpers import SHIPPED, make_references, synthetic_model

CPU = torch.device("cpu")
MODEL, OTHER = "tf_efficientdet_lite0", "other"
PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "int8")


class Zeros(Eager):
    def forward(self, index, pixels):
        return tuple(
            [torch.zeros_like(one) for one in part] for part in super().forward(index, pixels)
        )


class Stale(Eager):
    def forward(self, index, pixels):
        self.kept = getattr(self, "kept", {})
        return self.kept.setdefault(index, super().forward(index, pixels))


class Swapped(Eager):
    def forward(self, index, pixels):
        return super().forward(1 - index, pixels)


class YxForXy(Eager):
    def postprocess(self, *args):
        return super().postprocess(*args)[:, [1, 0, 3, 2, 4, 5]]


class ClassOffByOne(Eager):
    def postprocess(self, *args):
        return super().postprocess(*args) + torch.tensor([0, 0, 0, 0, 0, 1])


class NoNms(Eager):
    def postprocess(self, index, outputs, scale, size):
        config = self.models[index].config
        found = _post_process(*outputs, config.num_levels, config.num_classes, 5000)
        classes, boxes, indices, labels = (one[:, : config.max_det_per_image] for one in found)
        # one by one, there is nothing that NMS could suppress
        rows = [
            _batch_detection(
                1, *(one[:, k : k + 1] for one in (classes, boxes)), self._anchors[index],
                *(one[:, k : k + 1] for one in (indices, labels)), scale, size, max_det_per_image=1,
            )[0]
            for k in range(config.max_det_per_image)
        ]  # fmt: skip
        return torch.cat(rows)


class NotNormalised(Eager):
    def forward(self, index, pixels):
        model = self.models[index]
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (model.mean, model.std))
        return super().forward(index, pixels * std + mean)


class NotFinite(Eager):
    def forward(self, index, pixels):
        classes, boxes = super().forward(index, pixels)
        return classes, [*boxes[:-1], boxes[-1] * float("nan")]


class FewerDetections(Eager):
    def postprocess(self, *args):
        return super().postprocess(*args)[:50]


class Emptied(Eager):
    def postprocess(self, *args):
        return super().postprocess(*args) * torch.arange(100)[:, None].lt(50)


class FewerLevels(Eager):
    def forward(self, index, pixels):
        classes, boxes = super().forward(index, pixels)
        return classes[:-1], boxes[:-1]

    def postprocess(self, *args):
        return torch.zeros(100, 6)


BUGS = {
    Zeros: "class_error",
    Stale: "class_error",
    Swapped: "class_error",
    YxForXy: "matched",
    ClassOffByOne: "matched",
    NoNms: "duplicates",
    NotNormalised: "class_error",
    NotFinite: "not finite",
    FewerDetections: "shape",
    Emptied: "count",
    FewerLevels: "shape",
}


@pytest.fixture(scope="module")
def models(lite0):
    """Two networks whose outputs have equal shapes, so that no shape gives a swap away."""
    return [lite0, synthetic_model(OTHER, architecture=MODEL)]


@pytest.fixture(scope="module")
def references(models, tmp_path_factory) -> list[Path]:
    return make_references(models, tmp_path_factory.mktemp("reference"))


def answers(engine, references: list[Path], folder: Path, count: int = 3, shift: int = 0):
    """What `count` requests to `engine` answered, through the files that a timing job leaves.

    With `shift`, each answer is taken for that to a photo so many places later.
    """
    for name in ("outputs.csv", "detections.csv"):
        (folder / f".{name}").write_text(",".join(records.RAW_COLUMNS[name]) + "\n")
    capture = Capture(folder, [read_reference(path) for path in references])
    photos = list_photos(SHIPPED)
    with torch.inference_mode():
        for request in range(count):
            answer = serve(engine, photos[request % 8].read_bytes())
            capture(request, photos[(request + shift) % 8].name, answer)
    for name in ("outputs.csv", "detections.csv"):
        (folder / f".{name}").replace(folder / name)
    return read_answers(folder, {"requests": count, "ensemble": [None] * len(references)})


def judged(found, references: list[Path], precision: str) -> dict:
    tables = {
        path.stem: records.read_detections(path.with_suffix(".csv"), "photo") for path in references
    }
    return judge([found], tables, tolerance_of(precision))


def test_the_unmodified_reference_passes_exactly(models, references, tmp_path):
    found = answers(load_engine("eager", models, CPU), references, tmp_path, count=8)
    result = judged(found, references, "fp32")
    assert result["verdict"] == "valid"
    for model in result["models"]:
        assert model["class_error"] == model["box_error"] == 0
        assert model["box_drift_px"] == model["score_drift"] == 0
        assert model["matched"] == 1
        assert model["agreement"] == pytest.approx(1, abs=1e-12)
        assert len(model["photos"]) == 8


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_every_planted_bug_fails_at_every_precision(models, references, tmp_path, bug):
    found = answers(bug(models, CPU), references, tmp_path)
    for precision in PRECISIONS:
        result = judged(found, references, precision)
        assert result["verdict"] == "invalid", precision
        assert result["failed"] == BUGS[bug], precision
        assert result["models"][0]["model"] in result["reason"] or OTHER in result["reason"]


def test_an_answer_to_another_photo_fails_at_every_precision(models, references, tmp_path):
    found = answers(load_engine("eager", models, CPU), references, tmp_path, shift=1)
    for precision in PRECISIONS:
        assert judged(found, references, precision)["failed"] == "class_error"


def test_one_stale_answer_among_right_ones_is_seen(models, references, tmp_path):
    class Late(Eager):
        """Right until its last request, which gets the answer to the one before."""

        def forward(self, index, pixels):
            self.calls = getattr(self, "calls", 0) + 1
            outputs = self.kept if self.calls == 12 else super().forward(index, pixels)
            self.kept = self.kept if self.calls == 11 else outputs
            return outputs

    found = answers(Late(models, CPU), references, tmp_path, count=6)
    result = judged(found, references, "bf16")
    assert result["failed"] == "class_error"
    wrong = [photo for photo in result["models"][1]["photos"] if photo["class_error"] > 0]
    assert len(wrong) == 1


def test_invalid_fails_by_design(models, references, tmp_path):
    found = answers(load_engine("invalid", models, CPU), references, tmp_path)
    for precision in PRECISIONS:
        assert judged(found, references, precision)["verdict"] == "invalid"


def test_a_model_without_an_answer_is_a_failure(models, references, tmp_path):
    for name in ("outputs.csv", "detections.csv"):
        (tmp_path / f".{name}").write_text(",".join(records.RAW_COLUMNS[name]) + "\n")
    Capture(tmp_path, [read_reference(path) for path in references])(0, "x.jpg", Answer([], []))
    rows = (tmp_path / ".outputs.csv").read_text().splitlines()
    assert [row.split(",")[3] for row in rows[1:]] == ["no answer", "no answer"]


def test_a_model_that_no_row_speaks_of_is_a_failure(models, references, tmp_path):
    found = answers(load_engine("invalid", models, CPU), references, tmp_path, count=1)
    kept = found._replace(rows=found.rows[found.rows["model"] == MODEL])
    assert judged(kept, references, "int8")["failed"] == "answers"


def test_a_request_without_a_row_is_noticed(models, references, tmp_path):
    answers(load_engine("invalid", models, CPU), references, tmp_path)
    path = tmp_path / "outputs.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(BenchError, match=r"has 5 rows, but 3 timed requests of 2 models make 6"):
        read_answers(tmp_path, {"requests": 3, "ensemble": [None, None]})


def test_tables_survive_their_file_to_the_last_bit(models, references, tmp_path):
    found = answers(load_engine("eager", models, CPU), references, tmp_path, count=1)
    photo = list_photos(SHIPPED)[0]
    with torch.inference_mode():
        table = serve(load_engine("eager", models, CPU), photo.read_bytes()).tables[0]
    expected = table[table[:, 4] > 0]
    np.testing.assert_array_equal(found.tables[0], expected)
    kept = records.read_detections(references[0].with_suffix(".csv"), "photo")[photo.name]
    np.testing.assert_array_equal(kept, expected)


def test_a_reference_of_something_else_is_refused(references):
    reference = read_reference(references[0])
    sha256 = reference.record["sha256"]
    photos = {photo["file"]: photo["sha256"] for photo in reference.record["photos"]}
    check_reference(reference, sha256, photos)
    for wrong in (("0" * 64, photos), (sha256, {"new.jpg": "0" * 64})):
        with pytest.raises(BenchError, match="of another checkpoint or of other photos"):
            check_reference(reference, *wrong)


def test_tolerances_cover_every_gate_and_loosen_with_precision():
    table = yaml.safe_load(TOLERANCES.read_text())
    assert list(table) == ["fp32", "tf32", "16-bit", "int8"]
    for tight, loose in zip(table.values(), list(table.values())[1:], strict=False):
        for gate in GATES:
            assert set(tight) == {gate.name for gate in GATES}
            assert (tight[gate.name] <= loose[gate.name]) == gate.at_most or (
                tight[gate.name] == loose[gate.name]
            )


def test_rounding_to_a_lower_precision_fails_the_higher_one(
    lite0, references, tmp_path, monkeypatch
):
    monkeypatch.setattr(machine, "computes_bf16", lambda: True)  # emulated is as good here
    engine = load_engine("eager", [lite0], CPU, {"precision": "bf16"})
    found = answers(engine, references[:1], tmp_path, count=1)
    verdicts = {p: judged(found, references[:1], p)["verdict"] for p in ("fp32", "tf32", "bf16")}
    assert verdicts == {"fp32": "invalid", "tf32": "invalid", "bf16": "valid"}


def test_the_step_needs_no_torch():
    code = "import effdet_bench.validity.gate, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "effdet"} & set(json.loads(done.stdout))
