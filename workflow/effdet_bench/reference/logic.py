"""Whether a table of detections is what upstream's postprocessing makes of a network's outputs.

The arithmetic of the network is judged elsewhere: here its outputs are given, so that the limits of
fp32 hold for every mode, whatever its network computed in.
"""

from typing import NamedTuple

import numpy as np
import torch
from effdet.anchors import clip_boxes_xyxy, decode_box_outputs
from effdet.bench import _post_process
from torchvision.ops import box_iou

from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import IOU_THRESHOLD, Outputs, detect

# what fp32 may round otherwise on another device: of a coordinate in pixels of the photo, of a
# score, of an overlap beside the threshold of NMS
BOX, SCORE, OVERLAP = 0.01, 1e-5, 1e-4


class Logic(NamedTuple):
    """In how many detections a table is not upstream's of the same outputs.

    `wrong` are those that its rules do not allow, or demand. `ties` differ by which of two equals
    came first, or by an overlap within rounding of the threshold.
    """

    wrong: int
    ties: int


class Candidates(NamedTuple):
    """What NMS chooses from: boxes [n, 4] xyxy in pixels of the photo, scores, labels from 1."""

    boxes: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor


def check_table(
    model: Model, outputs: Outputs, table: np.ndarray, scale: torch.Tensor, size: torch.Tensor
) -> Logic:
    """Holds `table` [detections, 6] against what upstream makes of `outputs` in fp32 on the CPU.

    `scale` [1] and `size` [1, 2] are what upstream's own transform says of the photo. A table that
    differs is judged by what NMS means: each row is a candidate, none overlaps with a better one of
    its class, and each candidate that is missing overlaps with a better one, or comes after the
    last.
    """
    classes, boxes = ([level.float().cpu() for level in levels] for levels in outputs)
    expected = detect(model, (classes, boxes), model.anchors, scale, size)
    rows = torch.from_numpy(table[table[:, 4] > 0])
    expected = expected[expected[:, 4] > 0]
    if rows.shape == expected.shape and bool(_alike(rows, expected, paired=True).all()):
        return Logic(0, 0)
    same = _alike(rows, expected)
    apart = max(len(rows), len(expected)) - int(min(same.any(0).sum(), same.any(1).sum()))
    if model.config.soft_nms:
        return Logic(max(apart, 1), 0)
    wrong = _against_rules(rows, _candidates(model, (classes, boxes), scale, size), len(table))
    return Logic(wrong, max(0, apart - wrong))


def _candidates(
    model: Model, outputs: Outputs, scale: torch.Tensor, size: torch.Tensor
) -> Candidates:
    config = model.config
    classes, boxes, indices, labels = _post_process(
        *outputs, config.num_levels, config.num_classes, config.max_detection_points
    )
    decoded = decode_box_outputs(boxes[0], model.anchors[indices[0]], output_xyxy=True)
    clipped = clip_boxes_xyxy(decoded, size[0] / scale) * scale
    return Candidates(clipped, classes[0, :, 0].sigmoid(), labels[0] + 1)


def _alike(rows: torch.Tensor, others: torch.Tensor, paired: bool = False) -> torch.Tensor:
    """Whether detections are the same: bool [rows, others], or [rows] where they are `paired`."""
    first, second = (rows, others) if paired else (rows[:, None], others[None])
    apart = (first - second).abs()
    near: torch.Tensor = (apart[..., :4] <= BOX).all(-1) & (apart[..., 4] <= SCORE)
    return near & (apart[..., 5] == 0)


def _against_rules(rows: torch.Tensor, candidates: Candidates, most: int) -> int:
    """Rows that NMS would not have returned, and candidates that it would have."""
    boxes, scores, labels = candidates
    known = _alike(rows, torch.cat([boxes, scores[:, None], labels[:, None]], 1))
    # where candidates are cut off, equals of the last one may have come in its place
    invented = ~known.any(1) & ((rows[:, 4] - scores.min()).abs() > SCORE)
    unordered = rows[1:, 4] > rows[:-1, 4] + SCORE
    within = box_iou(rows[:, :4], rows[:, :4]) > IOU_THRESHOLD + OVERLAP
    doubled = (within & (rows[:, None, 5] == rows[None, :, 5])).triu(1).any(0)
    suppressed = (
        (box_iou(boxes, rows[:, :4]) > IOU_THRESHOLD - OVERLAP)
        & (labels[:, None] == rows[None, :, 5])
        & (scores[:, None] <= rows[None, :, 4] + SCORE)
    ).any(1)
    full = len(rows) == most
    missing = ~suppressed & ~known.any(0)
    if full:
        missing &= scores > rows[:, 4].min() + SCORE
    return int(invented.sum() + unordered.sum() + doubled.sum() + missing.sum())
