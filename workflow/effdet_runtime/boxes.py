"""From the outputs of a network to its table of detections, with NumPy.

As effdet's postprocessing with hard NMS, on those candidates only that can become detections.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

IOU_THRESHOLD = 0.5  # of effdet's NMS
MATCH_IOU = 0.9  # from which two boxes match
SLIVER = 1.0  # square pixels; smaller boxes match none: rounding decides their overlap
MERGED = 100  # rows of a merged table, as many as of effdet's tables
FIRST_CANDIDATES = 500  # NMS usually keeps the 100 wanted detections of these


class Rules(NamedTuple):
    """`detections` is the number of rows of a table, `candidates` the most boxes NMS may take.

    `anchors_per_cell` consecutive anchors belong to one cell of a feature map.
    """

    detections: int
    candidates: int
    anchors_per_cell: int


def detect(
    classes: np.ndarray,
    boxes: np.ndarray,
    anchors: np.ndarray,
    scale: np.float32,
    size: tuple[float, float],
    rules: Rules,
) -> np.ndarray:
    """The detections of one photo, by falling score; rows of zeros fill the table up.

    The n best scores lie in the n cells with the best maxima, and there in the n anchors with the
    best maxima. NMS goes down from the best score. So the table is exact if NMS keeps enough of n
    candidates; n grows until it does, or until n is `rules.candidates`. Equal scores may come in
    any order.

    Args:
        classes: logits [anchors, classes], float32, or int16 with the bits of bfloat16.
        boxes: regressions [anchors, 4], of the same type.
        anchors: float32 [anchors, 4], yxyx in pixels of the network's input.
        scale: from pixels of the network's input to pixels of the photo.
        size: the photo's (width, height).

    Returns:
        float32 [detections, 6]: x_min, y_min, x_max, y_max in pixels of the photo, score, class id
        from 1.
    """
    per_cell = rules.anchors_per_cell
    maxima = _largest(classes.reshape(-1, per_cell * classes.shape[1]))
    most = min(rules.candidates, classes.size)
    count = min(FIRST_CANDIDATES, most)
    while True:
        anchor, label, logits = _best(classes, maxima, per_cell, count)
        decoded = _decode(widen(boxes[anchor]), anchors[anchor])
        limits = np.array([*size, *size], np.float32) / scale
        decoded = np.clip(decoded, 0, limits, dtype=np.float32)
        kept = suppress(decoded, label, rules.detections)
        if len(kept) == rules.detections or count == most:
            break
        count = min(4 * count, most)
    table = np.zeros((rules.detections, 6), np.float32)
    rows = table[: len(kept)]
    rows[:, :4] = decoded[kept] * scale
    rows[:, 4] = 1 / (1 + np.exp(-logits[kept]))
    rows[:, 5] = label[kept] + 1
    return table


def widen(table: np.ndarray) -> np.ndarray:
    """`table` as float32; int16 are the bits of bfloat16, a type that NumPy does not have."""
    if table.dtype == np.float32:
        return table
    return (table.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def _largest(rows: np.ndarray) -> np.ndarray:
    """The largest logit of each of `rows`, in float32.

    Floats are compared by their bits as integers, in half of the time that NumPy takes for floats.
    Integers of positive values are in order; those of negative values are in reversed order, and
    smaller than those of positive values.
    """
    bits = rows.view(np.int16 if rows.dtype.itemsize == 2 else np.int32).ravel()
    # reduceat takes three quarters of the time of max(1)
    begins = np.arange(0, bits.size, rows.shape[1])
    largest, least = (one.reduceat(bits, begins) for one in (np.maximum, np.minimum))
    return widen(np.where(largest < 0, least, largest).view(rows.dtype))


def _best(
    classes: np.ndarray, maxima: np.ndarray, per_cell: int, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Anchors, labels from 0 and logits of the `count` best candidates, by falling logit.

    `maxima` has the largest logit of each cell, which has `per_cell` anchors.
    """
    cells = _top(maxima, count)
    near = (cells[:, None] * per_cell + np.arange(per_cell)).ravel()
    anchors = near[_top(_largest(classes[near]), count)]
    logits = widen(classes[anchors]).ravel()
    found = _top(logits, count)
    found = found[np.argsort(-logits[found], kind="stable")]
    return anchors[found // classes.shape[1]], found % classes.shape[1], logits[found]


def _top(values: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` largest `values`, in rising order."""
    count = min(count, len(values))
    return np.sort(np.argpartition(values, len(values) - count)[len(values) - count :])


def _decode(regressions: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Boxes [n, 4], xyxy in pixels of the network's input, of `regressions` and yxyx `anchors`."""
    low, high = anchors[:, :2], anchors[:, 2:]
    centre = regressions[:, :2] * (high - low) + (low + high) / 2
    half = np.exp(regressions[:, 2:]) * (high - low) / 2
    return np.concatenate([(centre - half)[:, ::-1], (centre + half)[:, ::-1]], 1)


def suppress(boxes: np.ndarray, labels: np.ndarray, most: int) -> np.ndarray:
    """Places of the first `most` of `boxes` that NMS within each class keeps.

    `boxes` [n, 4] are sorted by falling score. The result equals that of torchvision's `nms` for
    each class. Few boxes are compared all at once. Many are compared one by one, because all pairs
    would fill the memory.
    """
    if len(boxes) > FIRST_CANDIDATES:
        return _suppressed_one_by_one(boxes, labels, most)
    order = np.argsort(labels, kind="stable")
    return np.sort(order[kept_of_classes(boxes[order], labels[order])])[:most]


def merge(tables: Sequence[np.ndarray]) -> np.ndarray:
    """One table of several models: their detections by falling score, after NMS within each class.

    `tables` are as `detect` returns them. The result has at most `MERGED` rows, the best ones, and
    no rows of zeros.
    """
    every = np.concatenate([table[table[:, 4] > 0] for table in tables])
    every = every[np.argsort(-every[:, 4], kind="stable")]
    merged: np.ndarray = every[suppress(every[:, :4], every[:, 5], MERGED)]
    return merged


def kept_of_classes(boxes: np.ndarray, labels: np.ndarray) -> list[bool]:
    """Whether NMS keeps each of `boxes`, which are sorted by class, then by falling score."""
    number = np.arange(len(labels))
    later = np.searchsorted(labels, labels, side="right") - number - 1  # later ones of its class
    first = np.repeat(number, later)
    begins = np.cumsum(later) - later
    second = first + 1 + np.arange(len(first)) - begins[first]
    over = overlap(boxes[first], boxes[second]) > IOU_THRESHOLD
    kept = [True] * len(labels)
    for better, worse in zip(first[over].tolist(), second[over].tolist(), strict=True):
        if kept[better]:
            kept[worse] = False
    return kept


def _suppressed_one_by_one(boxes: np.ndarray, labels: np.ndarray, most: int) -> np.ndarray:
    kept: list[int] = []
    left = np.arange(len(boxes))
    while len(left) and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(best)
        over = overlap(boxes[best], boxes[left]) > IOU_THRESHOLD
        left = left[~(over & (labels[left] == labels[best]))]
    return np.array(kept, int)


def solid(table: np.ndarray) -> np.ndarray:
    """The solid detections of `table`: rows that are not padding and whose box is no sliver."""
    area = (table[:, 2:4] - table[:, :2]).prod(axis=1)
    rows: np.ndarray = table[(table[:, 4] > 0) & (area >= SLIVER)]
    return rows


def overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of `boxes` [..., 4] and `others`, pair by pair; NaN without area."""
    left, top, right, bottom = np.moveaxis(boxes, -1, 0)
    other_left, other_top, other_right, other_bottom = np.moveaxis(others, -1, 0)
    wide = np.minimum(right, other_right) - np.maximum(left, other_left)
    high = np.minimum(bottom, other_bottom) - np.maximum(top, other_top)
    shared = np.maximum(wide, 0) * np.maximum(high, 0)
    area = (right - left) * (bottom - top)
    other_area = (other_right - other_left) * (other_bottom - other_top)
    with np.errstate(invalid="ignore"):  # 0 / 0
        share: np.ndarray = shared / (area + other_area - shared)
    return share
