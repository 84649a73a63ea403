"""Detections over the reference's: agreed ones are quiet, others loud and named."""

import numpy as np

from effdet_bench.layout import COCO_NAMES
from effdet_bench.report.figures.detections import _boxes


def test_what_one_side_alone_found_is_loud_and_named():
    both, cat, unsure = [10, 10, 50, 50, 0.9, 1], [99, 99, 140, 150, 0.8, 17], [0, 0, 9, 9, 0.1, 3]
    dog = [200, 100, 240, 150, 0.7, 18]
    reference, found = np.float32([both, cat, unsure]), np.float32([both, dog])
    drawn = _boxes(reference, found, 0.5, COCO_NAMES.read_text().splitlines())
    assert [(box["found"], box["label"]) for box in drawn] == [
        ("both", ""),
        ("reference", "cat 0.80"),
        ("mode", "dog 0.70"),
    ]
    assert [drawn[0][key] for key in ("x", "y", "width", "height")] == [5, 5, 20, 20]


def test_a_photo_that_the_mode_did_not_serve_shows_the_reference_alone():
    reference = np.float32([[10, 10, 50, 50, 0.9, 91]])
    (box,) = _boxes(reference, None, 1, [])
    assert (box["found"], box["label"]) == ("both", "")
