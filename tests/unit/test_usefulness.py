"""Whether accuracy is kept: what is equal keeps all, and few photos decide little."""

import numpy as np
import pytest

from effdet_bench.validity.average_precision import coco_figures
from effdet_bench.validity.gate import tolerance_of
from effdet_bench.validity.usefulness import Kept, judge_usefulness, kept_accuracy
from helpers import annotated

INT8, FP32 = tolerance_of("int8"), tolerance_of("fp32")


def judged(kept, tolerance, agreement: float = 1.0):
    models = [{"model": "mine", "agreement": agreement}]
    accuracy = [{"model": "mine", "photos": 8, **kept._asdict()}] if kept else []
    return judge_usefulness(models, accuracy, tolerance)


def kept_of(known, reference, found) -> Kept | None:
    return kept_accuracy(coco_figures(known, found), coco_figures(known, reference))


def test_equal_detections_keep_all():
    known, tables = annotated()
    kept = kept_of(known, tables, tables)
    assert kept == (1, 1, 1)
    assert judged(kept, INT8) is judged(kept, FP32) is None


@pytest.mark.parametrize("tolerance", [INT8, FP32])
def test_detections_of_half_of_the_classes_do_not_suffice_at_any_precision(tolerance):
    known, tables = annotated()
    half = {image: rows * (rows[:, 5:] % 2) for image, rows in tables.items()}
    kept = kept_of(known, tables, half)
    assert 0.2 < kept.low < kept.share < kept.high < 0.9
    verdict, figure, reason = judged(kept, tolerance)
    assert (verdict, figure) == ("invalid", "accuracy")
    assert "mine: " in reason
    assert "but at least 99% is valid" in reason


def test_what_few_photos_leave_open_is_not_decided_where_nothing_else_is_known():
    known, tables = annotated()
    first = next(iter(tables))
    worse = {**tables, first: tables[first] + np.float32([9, 9, 9, 9, 0, 0])}
    kept = kept_of(known, tables, worse)
    assert kept.low < 0.99 <= kept.high
    verdict, figure, reason = judged(kept, INT8)
    assert (verdict, figure) == ("not decided", "accuracy")
    assert "8 photos do not decide" in reason
    assert judged(kept, FP32) is None, "there arithmetic and rules are judged"


def test_a_model_that_is_not_decided_hides_no_model_that_is_invalid():
    open_ = {"model": "a", "photos": 8, **Kept(0.985, 0.96, 1.01)._asdict()}
    lost = {"model": "b", "photos": 8, **Kept(0.92, 0.90, 0.94)._asdict()}
    models = [{"model": name, "agreement": 1.0} for name in "ab"]
    for accuracy in ([open_, lost], [lost, open_]):
        verdict, _, reason = judge_usefulness(models, accuracy, INT8)
        assert verdict == "invalid"
        assert reason.startswith("b: ")


@pytest.mark.parametrize(("agreement", "decided"), [(0.75, True), (0.55, False)])
def test_without_annotations_int8_has_to_agree(agreement, decided):
    found = judged(None, INT8, agreement)
    assert (found is None) == decided
    assert decided or (found[0] == "not decided" and "`annotations`" in found[2])


def test_a_reference_that_finds_nothing_decides_nothing():
    known, tables = annotated()
    nothing = {image: rows[:0] for image, rows in tables.items()}
    assert kept_of(known, nothing, tables) is None
