"""Box decoding and NMS: effdet's own, and one that looks only at what can become a detection."""

import torch
from effdet.anchors import clip_boxes_xyxy, decode_box_outputs
from effdet.bench import _batch_detection, _post_process
from torchvision.ops import nms

from effdet_bench.detector.ensemble import Model

IOU_THRESHOLD = 0.5  # of effdet's NMS
FIRST_CANDIDATES = 500  # of which NMS usually leaves the 100 detections that are asked for

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
    classes, boxes, indices, labels = _post_process(
        *outputs, config.num_levels, config.num_classes, config.max_detection_points
    )
    # scores and boxes in fp32, whatever the network computed in
    tables: torch.Tensor = _batch_detection(
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
    """`detect`, by looking only at what can become a detection; for hard NMS.

    Exact for two reasons. The n best of all scores stand on the n anchors with the best maximum
    over classes: were one on another anchor, n anchors would each have a better score. And NMS goes
    from the best score down, so what it keeps of the n best is how its result for more candidates
    begins. n grows until enough detections are kept, or to the candidates that upstream takes.
    Equal scores may come in another order than in `detect`, which leaves theirs to `torch.topk`.
    """
    config = model.config
    classes, boxes = outputs
    best = torch.cat([_best_of_anchors(level, config.num_classes) for level in classes])
    most = min(config.max_detection_points, best.numel() * config.num_classes)
    count = min(FIRST_CANDIDATES, most)
    while True:
        found = best.topk(min(count, best.numel())).indices
        logits = _rows(classes, found, config.num_classes)
        scores, where = logits.flatten().topk(count)
        chosen, labels = found[where // config.num_classes], where % config.num_classes
        decoded = decode_box_outputs(
            _rows(boxes, chosen, 4).float(), anchors[chosen], output_xyxy=True
        )
        decoded = clip_boxes_xyxy(decoded, size[0] / scale[0])
        scores = scores.float().sigmoid()
        kept = _suppress(decoded, scores, labels)[: config.max_det_per_image]
        if len(kept) == config.max_det_per_image or count == most:
            break
        count = min(4 * count, most)
    parts = [decoded[kept] * scale[0], scores[kept, None], labels[kept, None] + 1.0]
    missing = config.max_det_per_image - len(kept)
    return torch.nn.functional.pad(torch.cat(parts, 1), (0, 0, 0, missing))


def _best_of_anchors(level: torch.Tensor, classes: int) -> torch.Tensor:
    """The largest logit of every anchor of a level [1, anchors * classes, height, width]."""
    # classes last, as they lie side by side in NHWC: three times as fast as where they are
    best: torch.Tensor = level[0].unflatten(0, (-1, classes)).permute(2, 3, 0, 1).amax(-1)
    return best.flatten()


def _rows(levels: list[torch.Tensor], anchors: torch.Tensor, values: int) -> torch.Tensor:
    """[len(anchors), values] out of levels of [1, anchors * values, height, width]."""
    rows = anchors.new_empty((len(anchors), values), dtype=levels[0].dtype)
    first = 0
    for level in levels:
        table = level[0].unflatten(0, (-1, values)).permute(2, 3, 0, 1)
        height, width, per_cell, _ = table.shape
        own = ((anchors >= first) & (anchors < first + height * width * per_cell)).nonzero()[:, 0]
        cell, anchor = (anchors[own] - first) // per_cell, (anchors[own] - first) % per_cell
        rows[own] = table[cell // width, cell % width, anchor]
        first += height * width * per_cell
    return rows


def _suppress(boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Indices that NMS of each class for itself keeps, by falling score."""
    by_label = labels.argsort(stable=True)
    counts = [count for count in labels.bincount().tolist() if count]
    each = (rows.split(counts) for rows in (by_label, boxes[by_label], scores[by_label]))
    kept = [
        own if len(own) == 1 else own[nms(their_boxes, their_scores, IOU_THRESHOLD)]
        for own, their_boxes, their_scores in zip(*each, strict=True)
    ]
    left = torch.cat(kept).sort().values
    return left[scores[left].sort(descending=True, stable=True).indices]
