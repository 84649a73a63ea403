"""How far two sets of detections agree: by one-to-one matches, and by COCO average precision.

Detections are float32 [n, 6]: x_min, y_min, x_max, y_max in pixels of the photo, score, class id.
"""

from typing import NamedTuple

import numpy as np

from effdet_bench.records import Record
from effdet_bench.validity.average_precision import MOST, coco_ap, xywh
from effdet_runtime.boxes import MATCH_IOU, overlap, solid

DUPLICATE_IOU = 0.6  # effdet's NMS leaves no overlap above 0.5; 0.1 is room for rounding
CUT = 1e-4  # of scores: between closer scores, rounding in fp32 decides which one is cut off


class Matches(NamedTuple):
    """How far two sets of detections agree.

    `size` is the number of detections in the smaller set, as a share of the larger set. `share` is
    the number of matched pairs, as a share of the larger set. `box_drift_px` is the largest
    difference of a coordinate over all matched pairs, in pixels of the photo, and `score_drift` the
    largest difference of a score; both are 0 without pairs.
    """

    size: float
    share: float
    box_drift_px: float
    score_drift: float


def duplicates(table: np.ndarray) -> float:
    """Share of solid detections that overlap a better one of their class, which NMS must remove."""
    rows = solid(table)
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    if len(rows) == 0:
        return 0.0
    same = (rows[:, 5, None] == rows[None, :, 5]) & (iou(rows, rows) >= DUPLICATE_IOU)
    return float(np.tril(same, -1).any(axis=1).mean())


def match(reference: np.ndarray, found: np.ndarray) -> Matches:
    """Matches solid detections one to one: equal class, IoU ≥ `MATCH_IOU`, best overlap first.

    Two empty sets agree in full. If both sets are full (`MOST`), a detection without a partner does
    not count if its score is within `CUT` of the last score of the other set.
    """
    full = len(reference) == len(found) == MOST
    last = reference[:, 4].min(initial=1), found[:, 4].min(initial=1)
    reference, found = solid(reference), solid(found)
    larger = max(len(reference), len(found))
    if larger == 0:
        return Matches(1.0, 1.0, 0.0, 0.0)
    count = min(len(reference), len(found)) / larger
    paired = pairs(reference, found)
    if not paired:
        return Matches(count, 0.0, 0.0, 0.0)
    rows, columns = (list(side) for side in zip(*paired, strict=True))
    if full:
        larger = max(
            len(reference) - _at_cut(np.delete(reference, rows, axis=0), last[1]),
            len(found) - _at_cut(np.delete(found, columns, axis=0), last[0]),
        )
    drift = np.abs(reference[rows, :5].astype(float) - found[columns, :5].astype(float))
    drifts = float(drift[:, :4].max()), float(drift[:, 4].max())
    return Matches(count, len(paired) / larger, *drifts)


def pairs(reference: np.ndarray, found: np.ndarray) -> list[tuple[int, int]]:
    """Indices (in `reference`, in `found`) of matched pairs of solid detections, see `match`."""
    near = iou(reference, found)
    near[reference[:, 5, None] != found[None, :, 5]] = 0
    paired: list[tuple[int, int]] = []
    # of equal overlaps, the closest scores match, so that each detection of an identical set
    # matches itself
    closeness = np.abs(reference[:, 4, None] - found[None, :, 4])
    for place in np.lexsort((closeness.ravel(), -near.ravel())):
        row, column = divmod(int(place), max(len(found), 1))
        if near[row, column] < MATCH_IOU:
            break
        if all(row != a and column != b for a, b in paired):
            paired.append((row, column))
    return paired


def _at_cut(unmatched: np.ndarray, last: float) -> int:
    """How many of `unmatched` have a score within `CUT` of `last`, the other set's last score."""
    return int((np.abs(unmatched[:, 4] - last) <= CUT).sum())


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union [n, m] of boxes [n, 4+] and [m, 4+] with areas above 0."""
    return overlap(first[:, None, :4].astype(float), second[None, :, :4].astype(float))


def agreement(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """COCO AP of found detections with the reference's as ground truth: 1 if all agree.

    `pairs` are (reference, found), one per image. AP is the mean over classes of the reference and
    over IoU 0.50 to 0.95, as pycocotools computes it. If the reference has no detection at all, AP
    has no meaning; the result is then 1 if nothing was found either, else 0.
    """
    pairs = [(solid(reference), solid(found)) for reference, found in pairs]
    expected = [(image, row) for image, (reference, _) in enumerate(pairs) for row in reference]
    truths: list[Record] = [
        {
            "id": number,
            "image_id": image,
            "category_id": int(row[5]),
            "bbox": xywh(row),
            "area": float((row[2] - row[0]) * (row[3] - row[1])),
            "iscrowd": 0,
        }
        for number, (image, row) in enumerate(expected, start=1)
    ]
    if not truths:
        return 0.0 if any(len(found) for _, found in pairs) else 1.0
    return coco_ap(
        {
            "images": [{"id": image} for image in range(len(pairs))],
            "categories": [{"id": k} for k in sorted({t["category_id"] for t in truths})],
            "annotations": truths,
        },
        {image: found for image, (_, found) in enumerate(pairs)},
    )
