"""COCO's figures are pycocotools' own, and a resample is an evaluation of the photos it draws."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from effdet_bench.validity import average_precision
from effdet_bench.validity.average_precision import coco_ap, coco_figures, results_of
from helpers import annotated, many_annotated

# places of figures in COCOeval.stats
STATS = {"ap": 0, "ap50": 1, "ap_small": 3, "ap_medium": 4, "ap_large": 5, "ar": 8}


def coco_stats(folder, known: dict, results: list, photos: list[int] | None = None) -> np.ndarray:
    """What pycocotools says of files, as anyone would call it."""
    truths, found = folder / "instances.json", folder / "results.json"
    truths.write_text(json.dumps({"info": {}, **known}))
    found.write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truths))
        evaluation = COCOeval(truth, truth.loadRes(str(found)), "bbox")
        evaluation.params.imgIds = photos or evaluation.params.imgIds
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def test_annotations_found_again_have_an_average_precision_of_one():
    known, tables = annotated()
    assert coco_ap(known, tables) == pytest.approx(1)
    shifted = {image: rows + np.array([30, 30, 30, 30, 0, 0]) for image, rows in tables.items()}
    assert coco_ap(known, shifted) < 0.5


def test_figures_are_those_of_pycocotools_to_the_last_digit(tmp_path):
    known, tables = many_annotated(60)
    stats = coco_stats(tmp_path, known, results_of(tables))
    found = coco_figures(known, tables)
    assert {name: found[name] for name in STATS} == {k: stats[place] for k, place in STATS.items()}
    assert found["ap"] == coco_ap(known, tables)


def test_only_photos_with_an_answer_count(tmp_path):
    known, tables = many_annotated(60)
    part = {image: tables[image] for image in list(tables)[::2]}
    stats = coco_stats(tmp_path, known, results_of(part), list(part))
    assert coco_figures(known, part)["ap"] == stats[0]


def test_a_resample_is_an_evaluation_of_the_photos_that_it_draws(tmp_path):
    """The photos are evaluated once more as pycocotools would, each as often as it is drawn."""
    known, tables = many_annotated(40)
    found = coco_figures(known, tables)["resampled"]
    ids = [image["id"] for image in known["images"]]
    drawn = np.random.default_rng(0).integers(40, size=(average_precision.AT_ONCE, 40))
    for resample in range(3):
        again: dict = {"images": [], "annotations": [], "categories": known["categories"]}
        results = []
        for copy, place in enumerate(drawn[resample]):
            of_photo = [one for one in known["annotations"] if one["image_id"] == ids[place]]
            again["images"].append({"id": copy})
            for one in of_photo:
                number = len(again["annotations"]) + 1
                again["annotations"].append(one | {"id": number, "image_id": copy})
            results += results_of({copy: tables[ids[place]]})
        assert found[resample] == pytest.approx(coco_stats(tmp_path, again, results)[0], abs=1e-12)


def test_resamples_of_two_evaluations_draw_the_same_photos():
    """Two sets of detections on the same photos get easy photos in the same resamples."""
    known, tables = many_annotated(40)
    worse = {image: rows * (rows[:, 5:] != 5) for image, rows in tables.items()}
    drawn = []
    for found in (tables, worse):
        one, two = coco_figures(known, found)["resampled"], coco_figures(known, found)["resampled"]
        assert one == two
        drawn.append(np.array(one))
    assert np.corrcoef(*drawn)[0, 1] > 0.5


def test_nothing_found_is_no_precision_and_no_such_object_no_figure():
    known, tables = many_annotated(10)
    nothing = coco_figures(known, {image: table[:0] for image, table in tables.items()})
    assert nothing["ap"] == nothing["ar"] == 0
    assert set(nothing["resampled"]) == {0.0}
    large = [one for one in known["annotations"] if one["area"] > 96**2]
    found = coco_figures(known | {"annotations": large}, tables)
    assert found["ap_small"] is None
    assert found["ap_large"] > 0
