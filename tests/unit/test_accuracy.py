"""The accuracy of a mode: COCO's figures, the share that is kept, and where answers differ."""

import numpy as np
import pandas as pd
import pytest

from effdet_bench.accuracy.measure import difference, most_different
from effdet_bench.records import RAW_COLUMNS
from effdet_bench.reference.annotations import is_val2017
from effdet_bench.validity.accuracy import compared, figures_of, timed_accuracy
from effdet_bench.validity.answers import Answers
from effdet_bench.validity.gate import tolerance_of
from effdet_bench.validity.usefulness import judge_usefulness
from helpers import annotated, many_annotated

ENTRY = {"model": "mine", "architecture": "tf_efficientdet_d0", "weights": "file", "classes": 90}


@pytest.mark.parametrize("weights", ["release", "synthetic"])
def test_accuracy_is_of_trained_weights_alone(weights):
    known, by_id = annotated()
    names = {image["id"]: image["file_name"] for image in known["images"]}
    rows = pd.DataFrame(
        [[i, names[image], "mine", "", 0.0, 0.0, 0, 0, i, i] for i, image in enumerate(by_id)],
        columns=RAW_COLUMNS["outputs.csv"],
    )
    unseen = rows[:1].assign(photo="another+unseen-1-2-3-4-90.jpg")  # which has no annotations
    answers = Answers(pd.concat([unseen, rows]), dict(enumerate(by_id.values())), None, None)
    upstream = {names[image]: table for image, table in by_id.items()}
    ensemble = [{"model": "mine", "architecture": "tf_efficientdet_d0", "weights": weights}]
    found = timed_accuracy([answers], ensemble, known, {"mine": upstream})
    if weights == "synthetic":
        assert found == []
    else:
        (one,) = found
        assert one["ap"] == pytest.approx(100)
        assert one["photos"] == 8
        assert one["share"] == one["low"] == one["high"] == 1
        assert one["ap50"] == pytest.approx(100)
        assert one["published"] is None, "8 photos are not val2017"


def test_models_that_know_half_of_the_classes_each_know_all_together():
    """By the merged table, which the gate does not judge."""
    known, by_id = annotated()
    names = {image["id"]: image["file_name"] for image in known["images"]}
    halves = {
        f"half {half}": {image: rows[rows[:, 5] % 2 == half] for image, rows in by_id.items()}
        for half in (0, 1)
    }
    rows, tables = [], {}
    for model, of_model in halves.items():
        for image, table in of_model.items():
            rows.append([len(rows), names[image], model, "", 0.0, 0.0, 0, 0, 0, len(tables)])
            tables[len(tables)] = table
    answers = Answers(pd.DataFrame(rows, columns=RAW_COLUMNS["outputs.csv"]), tables, None, None)
    upstream = {
        model: {names[image]: table for image, table in of_model.items()}
        for model, of_model in halves.items()
    }
    entry = {"architecture": "tf_efficientdet_d0", "weights": "file", "classes": 90}
    found = timed_accuracy(
        [answers], [entry | {"model": model} for model in halves], known, upstream
    )
    assert [one["model"] for one in found] == [*halves, "merged"]
    assert all(one["ap"] < 80 for one in found[:2])
    assert 98 < found[2]["ap"] < 100  # NMS takes objects that overlap by half for one
    assert found[2]["share"] == 1
    lost = [one | {"high": 0.1, "low": 0.1, "share": 0.1} for one in found[2:]]
    models = [{"model": model, "agreement": 1.0} for model in halves]
    assert judge_usefulness(models, lost, tolerance_of("int8")) is None


def quantised(table: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """As INT8 everywhere does it: boxes drift by a tenth of their size, scores by a tenth."""
    sides = np.tile(table[:, 2:4] - table[:, :2], 2)
    found = table.copy()
    found[:, :4] += 0.1 * sides * generator.normal(size=sides.shape)
    found[:, 4] = np.clip(found[:, 4] + 0.1 * generator.normal(size=len(found)), 0.001, 1)
    return found


def rounded(table: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """As bfloat16 does it: boxes drift by a thousandth of their size, scores by a hundredth."""
    sides = np.tile(table[:, 2:4] - table[:, :2], 2)
    found = table.copy()
    found[:, :4] += 1e-3 * sides * generator.normal(size=sides.shape)
    found[:, 4] = np.clip(found[:, 4] * (1 + 0.01 * generator.normal(size=len(found))), 0.001, 1)
    return found


def small_dropped(table: np.ndarray, _generator: np.random.Generator) -> np.ndarray:
    return table[(table[:, 2:4] - table[:, :2]).prod(axis=1) >= 32**2]


def cut(table: np.ndarray, _generator: np.random.Generator) -> np.ndarray:
    return table[table[:, 4] >= 0.05]


def same(table: np.ndarray, _generator: np.random.Generator) -> np.ndarray:
    return table


@pytest.mark.parametrize(
    ("planted", "valid"),
    [(quantised, False), (small_dropped, False), (cut, False), (rounded, True), (same, True)],
)
def test_a_planted_loss_of_accuracy_is_invalid_and_rounding_is_not(planted, valid):
    """By all photos of a pass, where nothing but accuracy is judged."""
    known, by_id = many_annotated(400)
    names = {image["id"]: image["file_name"] for image in known["images"]}
    generator = np.random.default_rng(2)
    expected = {names[image]: table for image, table in by_id.items()}
    found = {photo: planted(table, generator) for photo, table in expected.items()}
    figures = (figures_of([ENTRY], known, {"mine": one}) for one in (found, expected))
    (one,) = accuracy = compared([ENTRY], known, *figures)
    models = [{"model": "mine", "agreement": 1.0}]
    for precision in ("fp32", "bf16", "int8"):
        failed = judge_usefulness(models, accuracy, tolerance_of(precision))
        if valid:
            assert failed is None, one
        else:
            assert failed[:2] == ("invalid", "accuracy"), one
            assert f"{one['share']:.1%} of the reference's average precision is kept" in failed[2]
            assert f"({one['low']:.1%} to {one['high']:.1%})" in failed[2]


def test_the_published_accuracy_stands_beside_that_of_the_whole_val2017_alone():
    known, by_id = annotated()
    tables = {image["file_name"]: by_id[image["id"]] for image in known["images"]}
    entry = ENTRY | {"weights": "release"}
    figures = figures_of([entry], known, {"mine": tables})
    for whole in (False, True):
        (one,) = compared([entry], known | {"val2017": whole}, figures, figures)
        assert one["published"] == (34.2 if whole else None)
    (one,) = compared([ENTRY], known | {"val2017": True}, figures, figures)
    assert one["published"] is None, "these are other weights"


@pytest.mark.parametrize("wrong", [None, "photo", "annotation", "content"])
def test_val2017_is_known_by_its_numbers_and_by_the_photos_that_are_shipped(wrong):
    from effdet_bench import layout
    from effdet_bench.facts.photos import describe_photos

    shipped = [*layout.SHIPPED_PHOTOS.glob("*.jpg"), *layout.CALIBRATION_PHOTOS.glob("*.jpg")]
    photos = describe_photos(shipped)
    known = {"images": [{}] * 5000, "annotations": [{}] * 36_781}
    if wrong == "photo":
        known["images"] = known["images"][1:]
    elif wrong == "annotation":
        known["annotations"] = known["annotations"][1:]
    elif wrong == "content":
        photos[3] |= {"sha256": "0" * 64}
    assert is_val2017(known, photos) == (wrong is None)


def row(x: float, score: float, kind: int = 1) -> list[float]:
    return [x, 10, x + 40, 50, score, kind]


def test_a_photo_differs_by_the_scores_of_what_one_side_alone_found():
    expected = np.float32([row(0, 0.9), row(100, 0.5), row(200, 0.1)])
    found = np.float32([row(0, 0.8), row(300, 0.75)])
    assert difference(expected, found) == pytest.approx(0.5 + 0.75)
    assert difference(expected, expected) == 0
    unsure = np.float32([row(0, 0.9), row(100, 0.2)])
    assert difference(expected, unsure) == 0, "the partner has a lower score"
    nothing = np.zeros((1, 6), np.float32)
    assert difference(nothing, nothing) == 0
    assert difference(nothing, found) == pytest.approx(0.8 + 0.75)


def test_the_photos_that_differ_most_come_first():
    theirs = {"mine": {f"{n}.jpg": np.float32([row(0, 0.9)]) for n in range(20)}}
    ours = {
        "mine": {
            f"{n}.jpg": np.float32([row(0, 0.9), *([row(100, 0.3 + n / 100)] if n % 2 else [])])
            for n in range(20)
        }
    }
    shown = most_different(ours, theirs)
    assert [one["photo"] for one in shown] == [f"{n}.jpg" for n in range(19, 0, -2)]
    assert most_different(theirs, theirs) == []
