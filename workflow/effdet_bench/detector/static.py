"""Postprocessing in which every shape is known beforehand, so that a CUDA graph can hold it.

`detect_statically` reads no value from the device, so the CPU does not wait for the device.
"""

import torch
from effdet.anchors import clip_boxes_xyxy, decode_box_outputs

from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs, detect
from effdet_runtime.boxes import IOU_THRESHOLD

CANDIDATES = 1024  # NMS keeps the 100 wanted detections of these on every shipped photo
STEPS = 16  # of suppression, twice as many as the shipped photos take


def detect_statically(
    model: Model, outputs: Outputs, anchors: torch.Tensor, scale: torch.Tensor, size: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """`nms.detect` of the best `CANDIDATES`, and whether all candidates surely give the same.

    Takes what `nms.detect` takes. `nms.detect_sparingly` explains why the table is then exact.

    Returns:
        The table of `nms.detect`, and a bool tensor without dimensions: whether the table is exact.
    """
    asked = model.config.max_det_per_image
    logits, boxes = (
        torch.cat([level[0].movedim(0, -1).reshape(-1, values) for level in levels])
        for levels, values in zip(outputs, (model.classes, 4), strict=True)
    )
    found = logits.amax(1).topk(min(CANDIDATES, len(logits))).indices
    near = logits[found].flatten()
    best, where = near.topk(min(CANDIDATES, len(near)))
    found, labels = found[where // model.classes], where % model.classes
    decoded = decode_box_outputs(boxes[found].float(), anchors[found], output_xyxy=True)
    decoded = clip_boxes_xyxy(decoded, size[0] / scale[0])
    kept, settled = suppress_in_steps(decoded, labels)
    # kept boxes first, by falling score; then all others
    chosen = torch.where(kept, 0, 1).sort(stable=True).indices[:asked]
    parts = [
        decoded[chosen] * scale[0],
        best[chosen, None].float().sigmoid(),
        labels[chosen, None] + 1.0,
    ]
    table = torch.cat(parts, 1) * kept[chosen, None]
    return table, settled & (kept.sum() >= asked)


def detect_at_once(
    model: Model, outputs: Outputs, anchors: torch.Tensor, scale: torch.Tensor, size: torch.Tensor
) -> torch.Tensor:
    """`nms.detect`, by `detect_statically` where the table of that is exact."""
    table, certain = detect_statically(model, outputs, anchors, scale, size)
    return table if certain else detect(model, outputs, anchors, scale, size)


def suppress_in_steps(
    boxes: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which of `boxes`, sorted by falling score, NMS within each class keeps, and if it is certain.

    In every step, a box stays if it overlaps with no better box that stayed in the step before.
    After n steps, the first n boxes of every chain of overlaps are right. Once a step changes
    nothing, the result is certain, because no later step would change anything.
    """
    left, top, right, bottom = boxes.unbind(1)
    area = (right - left) * (bottom - top)
    wide = torch.minimum(right[:, None], right) - torch.maximum(left[:, None], left)
    high = torch.minimum(bottom[:, None], bottom) - torch.maximum(top[:, None], top)
    shared = wide.clamp(min=0) * high.clamp(min=0)
    over = shared / (area[:, None] + area - shared) > IOU_THRESHOLD
    over &= labels[:, None] == labels
    better = over.tril(-1).to(torch.float32)
    kept = torch.ones_like(area)
    for _ in range(STEPS):
        before = kept
        kept = (better @ kept == 0).to(torch.float32)
    return kept > 0, (kept == before).all()
