"""The files of the gate: what requests leave, what the reference is, what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from effdet_bench import layout, records
from effdet_bench.detector.request import Answer, serve
from effdet_bench.engines.loading import load_engine
from effdet_bench.errors import BenchError
from effdet_bench.facts.photos import list_photos
from effdet_bench.reference.outputs import check_reference, read_reference
from effdet_bench.validity.answers import read_answers
from effdet_bench.validity.arithmetic import Measured, Rounding
from effdet_bench.validity.capture import Capture
from effdet_bench.validity.checks import Checks
from effdet_bench.validity.gate import GATES, judge, tolerance_of
from helpers import SHIPPED, make_references, synthetic_model

CPU = torch.device("cpu")
MODEL, OTHER = "tf_efficientdet_lite0", "other"
PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "int8")


@pytest.fixture(scope="module")
def models(lite0):
    return [lite0, synthetic_model(OTHER, architecture=MODEL)]


@pytest.fixture(scope="module")
def references(models, tmp_path_factory) -> list[Path]:
    return make_references(models, tmp_path_factory.mktemp("reference"))


def capture_in(folder: Path, models: list, references: list[Path]) -> Capture:
    for name, columns in records.RAW_COLUMNS.items():
        layout.hidden(folder / name).write_text(",".join(columns) + "\n")
    checks = {
        model.name: Checks(model, [read_reference(path)])
        for model, path in zip(models, references, strict=True)
    }
    return Capture(folder, checks)


def answers(engine, models: list, references: list[Path], folder: Path, count: int = 3):
    """What `count` requests to `engine` answered, through the files that a timing job leaves."""
    capture = capture_in(folder, models, references)
    photos = list_photos(SHIPPED)
    with torch.inference_mode():
        for request in range(count):
            photo = photos[request % 8]
            answer = serve(engine, photo.read_bytes())
            capture(request, photo.name, answer)
    for name in records.RAW_COLUMNS:
        layout.hidden(folder / name).replace(folder / name)
    return read_answers(folder, {"requests": count, "ensemble": models, "conditions": {}})


def judged(found, references: list[Path], precision: str) -> dict:
    tables = {
        path.stem: records.read_detections(path.with_suffix(".csv"), "photo") for path in references
    }
    # as if nothing were rounded at all
    photos = [path.name for path in list_photos(SHIPPED)]
    tiny = Measured(*np.full((3, len(photos), 2 * 5 + 90 + 4), 1e-30))
    nothing = Rounding(photos, levels=5, emulations=[tiny])
    return judge([found], tables, tolerance_of(precision), dict.fromkeys(tables, nothing))


def test_the_unmodified_reference_passes_exactly(models, references, tmp_path):
    found = answers(load_engine("eager", models, CPU), models, references, tmp_path, count=8)
    result = judged(found, references, "fp32")
    assert result["verdict"] == "valid"
    for model in result["models"]:
        assert model["class_error"] == model["box_error"] == 0
        assert model["box_drift_px"] == model["score_drift"] == 0
        assert model["matched"] == 1
        assert model["agreement"] == pytest.approx(1, abs=1e-12)
        assert len(model["photos"]) == 8


def test_invalid_fails_by_design(models, references, tmp_path):
    found = answers(load_engine("no_network", models, CPU), models, references, tmp_path)
    for precision in PRECISIONS:
        assert judged(found, references, precision)["verdict"] == "invalid"


def test_a_model_without_an_answer_is_a_failure(models, references, tmp_path):
    capture_in(tmp_path, models, references)(0, "x.jpg", Answer([], [], []))
    rows = (tmp_path / ".outputs.csv").read_text().splitlines()
    assert [row.split(",")[3] for row in rows[1:]] == ["no answer", "no answer"]


def test_a_model_that_no_row_speaks_of_is_a_failure(models, references, tmp_path):
    found = answers(load_engine("no_network", models, CPU), models, references, tmp_path, count=1)
    kept = found._replace(rows=found.rows[found.rows["model"] == MODEL])
    assert judged(kept, references, "int8")["failed"] == "answers"


@pytest.mark.parametrize(("seconds", "found"), [(1e6, 3), (0.0, 2)])
def test_tables_of_new_outputs_cost_a_hundredth_of_processor_time(
    models, references, monkeypatch, seconds, found
):
    """The first of a photo and one more are always checked, others as the time allows."""
    checks = Checks(models[0], [read_reference(references[0])])
    photo = list_photos(SHIPPED)[0]
    with torch.inference_mode():
        answer = serve(load_engine("eager", models[:1], CPU), photo.read_bytes())
    clock = iter(seconds + 0.001 * number for number in range(100))
    monkeypatch.setattr("effdet_bench.validity.checks.time.process_time", lambda: next(clock))
    logic = []
    for number in range(3):
        classes, boxes = answer.outputs[0]
        outputs = [level + 1e-3 * number for level in classes], boxes
        compared = checks.compare(photo.name, answer.inputs[0], outputs, answer.tables[0])
        logic.append(compared.logic)
    assert sum(one is not None for one in logic) == found


def test_a_request_without_a_row_is_noticed(models, references, tmp_path):
    answers(load_engine("no_network", models, CPU), models, references, tmp_path)
    path = tmp_path / "outputs.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(BenchError, match=r"has 5 rows, but 3 timed requests of 2 models make 6"):
        read_answers(tmp_path, {"requests": 3, "ensemble": [None, None]})


def test_tables_survive_their_file_to_the_last_bit(models, references, tmp_path):
    found = answers(load_engine("eager", models, CPU), models, references, tmp_path, count=1)
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


def test_limits_are_of_known_figures_for_every_precision_and_before():
    for old, path in ((True, layout.TOLERANCES_5), (False, layout.TOLERANCES)):
        table = yaml.safe_load(path.read_text())
        assert set(table) - {"every"} == {"fp32", "tf32", "16-bit", "int8"}
        known = {*GATES} | {"unseen", "outside", "accuracy", "decided"}
        for precision in PRECISIONS:
            limits = tolerance_of(precision, old)
            assert {"wrong", "unseen"} <= set(limits) <= known


def test_the_step_needs_no_torch():
    code = "import effdet_bench.validity.gate, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "effdet"} & set(json.loads(done.stdout))
