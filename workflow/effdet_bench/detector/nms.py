"""Box decoding and NMS: effdet's own, and one that skips boxes that cannot become detections."""

import itertools
from typing import NamedTuple

import torch
from effdet.anchors import clip_boxes_xyxy, decode_box_outputs
from torchvision.ops import nms

from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.upstream import batch_detection, post_process
from effdet_runtime.boxes import FIRST_CANDIDATES, IOU_THRESHOLD, kept_of_classes

Outputs = tuple[list[torch.Tensor], list[torch.Tensor]]


def detect(
    model: Model,
    outputs: Outputs,
    anchors: torch.Tensor,
    scale: torch.Tensor,
    size: torch.Tensor,
) -> torch.Tensor:
    """Turns one photo's network outputs into its detections.

    Args:
        outputs: class logits and box regressions, each a list over feature levels of
            [1, channels, height, width].
        anchors: [anchors, 4], on the device of `outputs`.
        scale: [1], from the network's input to the photo.
        size: [1, 2], the photo's (width, height) in pixels.

    Returns:
        float32 [detections, 6]: x_min, y_min, x_max, y_max in pixels of the photo, score, class
        id from 1.
    """
    config = model.config
    classes, boxes, indices, labels = post_process(
        *outputs, config.num_levels, config.num_classes, config.max_detection_points
    )
    # scores and boxes in fp32, whatever the network computed in
    tables: torch.Tensor = batch_detection(
        1,
        classes.float(),
        boxes.float(),
        anchors,
        indices,
        labels,
        scale,
        size,
        max_det_per_image=config.max_det_per_image,
        soft_nms=config.soft_nms,
    )
    return tables[0]


def detect_sparingly(
    model: Model,
    outputs: Outputs,
    anchors: torch.Tensor,
    scale: torch.Tensor,
    size: torch.Tensor,
) -> torch.Tensor:
    """`detect` with hard NMS, on those boxes only that can become detections.

    The result is exact, for two reasons. First, the n best scores lie in the n cells with the best
    maxima over anchors and classes: if one lay in another cell, each of these n cells would have a
    better score. The same holds for the anchors of these cells. Second, NMS goes down from the best
    score, so what it keeps of the n best candidates is how its result for more candidates begins. n
    grows until NMS keeps enough detections, or until n is upstream's number of candidates. Equal
    scores may come in another order than in `detect`, where `torch.topk` decides their order.
    """
    config = model.config
    asked = config.max_det_per_image
    maxima = [_largest(level[0]).flatten() for level in outputs[0]]
    scored = sum(map(len, maxima)) * model.anchors_per_cell * model.classes
    most = min(config.max_detection_points, scored)
    count = min(FIRST_CANDIDATES, most)
    while True:
        best = _best(model, outputs, maxima, count)
        decoded = decode_box_outputs(best.boxes, anchors[best.anchors], output_xyxy=True)
        decoded = clip_boxes_xyxy(decoded, size[0] / scale[0])
        scores = best.logits.sigmoid()
        kept = suppress(decoded, scores, best.labels)[:asked]
        if len(kept) == asked or count == most:
            break
        count = min(4 * count, most)
    parts = [decoded[kept] * scale[0], scores[kept, None], best.labels[kept, None] + 1.0]
    return torch.nn.functional.pad(torch.cat(parts, 1), (0, 0, 0, asked - len(kept)))


def _largest(level: torch.Tensor) -> torch.Tensor:
    """The largest values over the first dimension of `level`, which has no NaN.

    16-bit floats are compared by their bits as integers, in a quarter of the time that torch takes
    for floats. Integers of positive values are in order; those of negative values are in reversed
    order, and smaller than those of positive values.
    """
    if level.dtype.itemsize != 2:
        return level.amax(0)
    bits = level.view(torch.int16)
    largest = bits.amax(0)
    return torch.where(largest < 0, bits.amin(0), largest).view(level.dtype)


class Best(NamedTuple):
    """The best candidates by falling score: logits and box regressions in fp32, labels from 0."""

    logits: torch.Tensor
    boxes: torch.Tensor
    anchors: torch.Tensor
    labels: torch.Tensor


def _best(model: Model, outputs: Outputs, maxima: list[torch.Tensor], count: int) -> Best:
    """The `count` best candidates of `outputs`; `maxima` has the largest logit of each cell."""
    per_cell, classes = model.anchors_per_cell, model.classes
    of_cells = torch.cat(maxima)
    cells = of_cells.topk(min(count, len(of_cells)), sorted=False).indices.sort().values
    begins = [0, *itertools.accumulate(map(len, maxima))]
    bounds = torch.searchsorted(cells, torch.tensor(begins, device=cells.device)).tolist()
    places = [
        cells[low:high] - begin
        for begin, (low, high) in zip(begins[:-1], itertools.pairwise(bounds), strict=True)
    ]
    logits, boxes = (
        torch.cat([level[0].flatten(1).t()[at] for level, at in zip(levels, places, strict=True)])
        for levels in outputs
    )
    of_anchors = logits.view(-1, classes)
    found = of_anchors.amax(1).topk(min(count, len(of_anchors))).indices
    logits, where = of_anchors[found].flatten().topk(count)
    found, labels = found[where // classes], where % classes
    anchors = cells[found // per_cell] * per_cell + found % per_cell
    return Best(logits.float(), boxes.view(-1, 4)[found].float(), anchors, labels)


def suppress(boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Indices of the boxes that NMS within each class keeps, by falling score.

    The result equals that of torchvision's `nms` for each class, to the last bit. For few
    candidates, NumPy computes all overlaps at once, in a third of the time. For many, `nms` itself
    runs class by class, because all overlaps would fill the memory.
    """
    order = scores.argsort(descending=True, stable=True)
    order = order[labels[order].argsort(stable=True)]
    if len(order) > FIRST_CANDIDATES:
        parts = order.split([count for count in labels.bincount().tolist() if count])
        kept = torch.cat([own[nms(boxes[own], scores[own], IOU_THRESHOLD)] for own in parts])
    else:
        flags = kept_of_classes(boxes[order].cpu().numpy(), labels[order].cpu().numpy())
        kept = order[torch.tensor(flags, device=order.device)]
    kept = kept.sort().values
    return kept[scores[kept].sort(descending=True, stable=True).indices]
