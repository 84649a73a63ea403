"""Whether a table of detections is what upstream's postprocessing makes of network outputs.

The network outputs are taken as given here; `validity.arithmetic` judges them. Postprocessing is
in fp32 for every mode, so the same narrow limits hold for every precision of the network.
"""

from typing import NamedTuple

import numpy as np
import torch
from effdet.anchors import clip_boxes_xyxy, decode_box_outputs
from torchvision.ops import box_iou

from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs

# Of effdet's NMS. Not imported from the code that is judged, so that a wrong threshold is found.
IOU_THRESHOLD = 0.5
# differences that rounding in fp32 can make on another device: of a coordinate in pixels of the
# photo, of a score, and of an overlap near the threshold of NMS
BOX, SCORE, OVERLAP = 0.01, 1e-5, 1e-4


class Logic(NamedTuple):
    """Numbers of detections in which a table differs from upstream's for the same outputs.

    `wrong` counts detections that upstream's rules forbid, and missing ones that they demand.
    `ties` counts differences that only a tie decides: the order of two equal scores, or an overlap
    within rounding of the threshold.
    """

    wrong: int
    ties: int


class Candidates(NamedTuple):
    """The input of NMS: boxes [n, 4] xyxy in pixels of the photo, scores [n], labels [n] from 1."""

    boxes: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor


def check_table(
    model: Model, outputs: Outputs, table: np.ndarray, scale: torch.Tensor, size: torch.Tensor
) -> Logic:
    """Compares `table` [detections, 6] with what upstream makes of `outputs` in fp32 on the CPU.

    `scale` [1] and `size` [1, 2] of the photo come from upstream's own transform. The check does
    not run upstream's NMS but tests its rules, which takes a tenth of the time: each row is a
    candidate; no row overlaps with a better row of its class; and each candidate that is missing
    overlaps with a better row of its class, or comes after the last row.
    """
    classes, boxes = ([level.float().cpu() for level in levels] for levels in outputs)
    rows = torch.from_numpy(table[table[:, 4] > 0])
    full = len(rows) == len(table)
    candidates = _candidates(model, (classes, boxes), scale, size, rows[:, 4] if full else None)
    return _against_rules(rows, candidates, full)


def _candidates(
    model: Model,
    outputs: Outputs,
    scale: torch.Tensor,
    size: torch.Tensor,
    scores: torch.Tensor | None,
) -> Candidates:
    """Upstream's candidates; with the `scores` of a full table, only those that could be in it."""
    most = model.config.max_detection_points
    # upstream would not put a candidate into a full table that scores less than its last row
    least = -torch.inf if scores is None else float((scores.min() - SCORE).logit(eps=1e-12))
    logits, boxes, anchors, labels = _above(model, outputs, least, most)
    if scores is None or len(logits) > most:
        logits, best = logits.topk(min(most, len(logits)))
        boxes, anchors, labels = boxes[best], anchors[best], labels[best]
    decoded = decode_box_outputs(boxes, model.anchors[anchors], output_xyxy=True)
    clipped = clip_boxes_xyxy(decoded, size[0] / scale) * scale
    return Candidates(clipped, logits.sigmoid(), labels + 1)


def _above(
    model: Model, outputs: Outputs, least: float, most: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits [n] of at least `least`, with their box regressions [n, 4], anchors and labels [n].

    Returns at most the `most` highest of each level, because `_candidates` keeps no more in all.
    """
    cells, first, parts = model.anchors_per_cell, 0, []
    for logits, boxes in zip(*outputs, strict=True):
        split = logits[0].unflatten(0, (cells, -1))
        above = split >= least
        # millions, if all scores are equal or the table is not full
        if int(above.count_nonzero()) > most:
            best = torch.where(above, split, -torch.inf).flatten().topk(most).indices
            places = torch.unravel_index(best, split.shape)
        else:
            places = above.nonzero(as_tuple=True)
        anchor, label, row, column = places
        high, wide = split.shape[2:]
        place = first + (row * wide + column) * cells + anchor
        of_box = boxes[0].unflatten(0, (cells, 4))[anchor, :, row, column]
        parts.append((split[anchor, label, row, column], of_box, place, label))
        first += high * wide * cells
    found = [torch.cat(part) for part in zip(*parts, strict=True)]
    return found[0], found[1], found[2], found[3]


def _alike(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Whether detections are the same: bool [rows, others]."""
    apart = (rows[:, None] - others[None]).abs()
    near: torch.Tensor = (apart[..., :4] <= BOX).all(-1) & (apart[..., 4] <= SCORE)
    return near & (apart[..., 5] == 0)


def _against_rules(rows: torch.Tensor, candidates: Candidates, full: bool) -> Logic:
    """Counts `rows` that NMS would not return, and missing `candidates` that it would return.

    For example, a candidate with a score of 0.8 is missing. If a row of its class with a score of
    0.9 overlaps with it by 0.7, NMS suppressed it. If the overlap is 0.50005, rounding decides, so
    this is a tie. If no row overlaps with it, it is wrong.
    """
    boxes, scores, labels = candidates
    same = _alike(rows, torch.cat([boxes, scores[:, None], labels[:, None]], 1))
    of_class = labels[:, None] == rows[None, :, 5]
    overlap = box_iou(boxes, rows[:, :4])
    # [candidates]: whether a row suppresses a candidate if every tie falls that way, and surely
    better, surely_better = (
        scores[:, None] <= rows[None, :, 4] + SCORE,
        scores[:, None] < rows[None, :, 4] - SCORE,
    )
    possibly = (of_class & better & (overlap > IOU_THRESHOLD - OVERLAP)).any(1)
    surely = (of_class & surely_better & (overlap > IOU_THRESHOLD + OVERLAP)).any(1)
    last = rows[:, 4].min() if full else scores.min()
    missing = ~same.any(0)
    demanded = missing & (scores > last + SCORE)
    wrong = demanded & ~possibly
    tied = demanded & possibly & ~surely
    # candidates beside the last row, and rows whose place any of them could take
    beside = missing & ~surely & ((scores - last).abs() <= SCORE)
    at_cut = ((rows[:, 4] - last).abs() <= SCORE).sum().clamp(max=beside.sum())
    forbidden = _forbidden(rows, same, None if full else scores.min())
    return Logic(int(forbidden + wrong.sum()), int(tied.sum() + at_cut * full))


def _forbidden(rows: torch.Tensor, same: torch.Tensor, least: torch.Tensor | None) -> torch.Tensor:
    """The number of `rows` that are no candidate, out of order, or suppressed by a better row.

    `same` [rows, candidates] says which are the same. `least` is the lowest score of a candidate if
    the number of candidates is limited: then a row with an equal score may stand in its place.
    """
    invented = ~same.any(1)
    if least is not None:
        invented &= (rows[:, 4] - least).abs() > SCORE
    unordered = rows[1:, 4] > rows[:-1, 4] + SCORE
    same_class = rows[:, None, 5] == rows[None, :, 5]
    overlap = box_iou(rows[:, :4], rows[:, :4])
    doubled = ((overlap > IOU_THRESHOLD + OVERLAP) & same_class).triu(1).any(0)
    count: torch.Tensor = invented.sum() + unordered.sum() + doubled.sum()
    return count
