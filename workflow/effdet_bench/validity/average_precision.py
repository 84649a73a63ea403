"""COCO's average precision by pycocotools, and how far chance in the choice of photos moves it."""

import contextlib
import io
from typing import Any, NamedTuple

import numpy as np

from effdet_bench.records import Record

MOST = 100  # detections that effdet returns, and that COCO counts
RESAMPLES = 1000
RECALLS = np.linspace(0, 1, 101)  # at which COCO reads the precision
AT_ONCE = 100  # resamples that are computed together; a multiple of the memory that one takes


def results_of(tables: dict[int, np.ndarray]) -> list[Record]:
    """`tables` [n, 6] by image id in COCO's results format, without rows that fill a table up."""
    return [
        {"image_id": image, "category_id": int(row[5]), "bbox": xywh(row), "score": float(row[4])}
        for image, table in tables.items()
        for row in table[table[:, 4] > 0]
    ]


def coco_ap(annotations: Record, tables: dict[int, np.ndarray]) -> float:
    """COCO AP (IoU 0.50 to 0.95, at most 100 detections) of `tables` by image id, by pycocotools.

    `annotations` are in COCO's instances format; only the images of `tables` count.
    """
    evaluated = evaluate(annotations, tables, sizes=False)
    return _mean(evaluated.eval["precision"]) if evaluated else 0.0


def coco_figures(annotations: Record, tables: dict[int, np.ndarray]) -> Record:
    """COCO's figures of `tables` by image id, and AP in resamples of the photos.

    Returns:
        Shares from 0 to 1: `ap`, `ap50`, `ap_small`, `ap_medium`, `ap_large`, and `ar` with 100
        detections. A figure is `None` if no photo has an object of its kind. Without any detection
        all are 0. `resampled` has the AP of `RESAMPLES` resamples, as `resampled_ap` says.
    """
    evaluated = evaluate(annotations, tables, sizes=True)
    if evaluated is None:
        figures = dict.fromkeys(("ap", "ap50", "ap_small", "ap_medium", "ap_large", "ar"), 0.0)
        return figures | {"resampled": [0.0] * RESAMPLES}
    # axes: IoU, recall, class, size (all, small, medium, large), number of detections
    precision, recall = evaluated.eval["precision"][..., 0], evaluated.eval["recall"][..., 0]
    found = {
        "ap": precision[:, :, :, 0],
        "ap50": precision[0, :, :, 0],
        "ap_small": precision[..., 1],
        "ap_medium": precision[..., 2],
        "ap_large": precision[..., 3],
        "ar": recall[..., 0],
    }
    means = {name: _mean(part) for name, part in found.items()}
    known = {name: mean if mean >= 0 else None for name, mean in means.items()}
    return known | {"resampled": resampled_ap(evaluated, len(tables)).tolist()}


def evaluate(annotations: Record, tables: dict[int, np.ndarray], sizes: bool) -> Any:
    """pycocotools' evaluation of `tables`, accumulated; `None` without any detection.

    With `sizes`, it has small, medium and large objects beside all objects.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rows = results_of(tables)
    if not rows:
        return None
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"info": {}, **annotations}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
        given = evaluation.params
        given.imgIds, given.maxDets = sorted(tables), [MOST]
        if not sizes:
            given.areaRng, given.areaRngLbl = given.areaRng[:1], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _mean(values: np.ndarray) -> float:
    """The mean of the `values` of classes that have objects; -1 if there is none, as in COCO."""
    known = values[values > -1]
    return float(known.mean()) if len(known) else -1.0


class _Found(NamedTuple):
    """The detections of one class by falling score, and its objects in each photo.

    `photo` [n] is the index of each detection's photo. `matched` and `counted` are bool
    [IoU thresholds, n]: whether a detection found an object, and whether it counts. `objects`
    [photos] are numbers of objects.
    """

    photo: np.ndarray
    matched: np.ndarray
    counted: np.ndarray
    objects: np.ndarray


def resampled_ap(evaluation: Any, photos: int) -> np.ndarray:
    """AP in each of `RESAMPLES` bootstrap resamples of the `photos` of a COCOeval.

    A resample draws as many photos as there are, with replacement (Efron and Tibshirani, "An
    Introduction to the Bootstrap", 1993). Resamples depend on the number of photos alone, so
    evaluations of the same photos share their resamples. A photo that is drawn twice counts twice:
    so each resample is a weight of each photo, and the matches of detections stay as they are.

    Returns:
        float64 [`RESAMPLES`].
    """
    order = np.random.default_rng(0)
    areas = len(evaluation.params.areaRng)
    matches = np.empty(len(evaluation.evalImgs), object)
    matches[:] = evaluation.evalImgs
    classes = [_found(of_class) for of_class in matches.reshape(-1, areas, photos)[:, 0]]
    parts = []
    for _ in range(0, RESAMPLES, AT_ONCE):
        drawn = order.integers(photos, size=(AT_ONCE, photos))
        weights = np.array([np.bincount(one, minlength=photos) for one in drawn], np.int32).T
        parts.append(_ap_of(classes, np.ascontiguousarray(weights)))
    return np.concatenate(parts)


def _found(of_photos: np.ndarray) -> _Found | None:
    """The detections of a class, from COCOeval's matches in each photo; `None` for no objects."""
    known = [(photo, one) for photo, one in enumerate(of_photos) if one is not None]
    objects = np.zeros(len(of_photos), np.int32)
    for photo, one in known:
        objects[photo] = (one["gtIgnore"] == 0).sum()
    if not objects.any():
        return None
    scores = np.concatenate([one["dtScores"] for _, one in known])
    order = np.argsort(-scores, kind="mergesort")
    counts = [len(one["dtScores"]) for _, one in known]
    photos = np.repeat([photo for photo, _ in known], counts)
    matched, ignored = (
        np.concatenate([one[key] for _, one in known], axis=1)[:, order].astype(bool)
        for key in ("dtMatches", "dtIgnore")
    )
    return _Found(photos[order], matched & ~ignored, ~ignored, objects)


def _ap_of(classes: list[_Found | None], weights: np.ndarray) -> np.ndarray:
    """AP [resamples] of `classes`, if photos have the `weights` int32 [photos, resamples]."""
    total, number = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
    for found in classes:
        if found is None:
            continue
        objects = found.objects @ weights
        own = weights[found.photo]
        cases = zip(found.matched, found.counted, strict=True)
        of_class = sum(_area(own, objects, *one) for one in cases) / len(found.matched)
        total += np.where(objects > 0, of_class, 0)
        number += objects > 0
    return total / np.maximum(number, 1)


def _area(
    weights: np.ndarray, objects: np.ndarray, matched: np.ndarray, counted: np.ndarray
) -> np.ndarray:
    """AP [resamples] of one class at one IoU threshold: the mean precision at `RECALLS`.

    `weights` [detections, resamples] are those of the detections' photos, and `objects` [resamples]
    is the number of objects. COCO takes the highest precision at or above each recall, and a
    detection without an object only lowers the precision. So the function computes the precision
    only at detections that found an object.
    """
    if not matched.any():
        return np.zeros(len(objects))
    positives = np.cumsum(weights[matched], axis=0)
    every = np.cumsum(weights if counted.all() else weights * counted[:, None], axis=0)[matched]
    precision = positives / np.maximum(every, 1)
    precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    # how many of COCO's recalls are reached with each object that is found
    reached = np.searchsorted(RECALLS, positives / np.maximum(objects, 1), side="right")
    first = np.diff(reached, axis=0, prepend=0)
    area: np.ndarray = (precision * first).sum(axis=0) / len(RECALLS)
    return area


def xywh(row: np.ndarray) -> list[float]:
    """The box of a detection as COCO has it: its corner, width and height."""
    x_min, y_min, x_max, y_max = map(float, row[:4])
    return [x_min, y_min, x_max - x_min, y_max - y_min]
