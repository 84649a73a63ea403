"""Box decoding and NMS, as effdet's `DetBenchPredict` does them after the network."""

import torch
from effdet.bench import _batch_detection, _post_process

from effdet_bench.ensemble import Model

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
    config = model.network.config
    classes, boxes, indices, labels = _post_process(
        *outputs, config.num_levels, config.num_classes, config.max_detection_points
    )
    return _batch_detection(
        1,
        classes,
        boxes,
        anchors,
        indices,
        labels,
        scale,
        size,
        max_det_per_image=config.max_det_per_image,
        soft_nms=config.soft_nms,
    )[0]
