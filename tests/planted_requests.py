"""Bugs of what is around networks to plant, by name: preprocessing and postprocessing."""

from collections.abc import Callable

import numpy as np
import torch
from effdet.anchors import clip_boxes_xyxy, decode_box_outputs
from PIL import Image
from torchvision.ops import batched_nms, nms

from effdet_bench.detector import request
from effdet_bench.detector.request import ModelInput
from effdet_bench.detector.upstream import post_process

# Preprocessing: (image, model, device) -> ModelInput.

_right = request.preprocess


def _resized(method):
    def preprocess(image, model, device):
        given = _right(image, model, device)
        scale = 1 / float(given.scale)
        small = image.resize((int(image.width * scale), int(image.height * scale)), method)
        values = torch.from_numpy(np.array(small)).permute(2, 0, 1).float()
        mean, std = (255 * torch.tensor(v).view(3, 1, 1) for v in (model.mean, model.std))
        given.pixels[0, :, : small.height, : small.width] = (values - mean) / std
        return given

    return preprocess


def _then(edit):
    return lambda image, model, device: edit(_right(image, model, device), image, model)


def _denormalised(given, image, model):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (model.mean, model.std))
    return given._replace(pixels=given.pixels * std + mean)


def _by_256(given, image, model):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (model.mean, model.std))
    return given._replace(pixels=((given.pixels * std + mean) * 255 / 256 - mean) / std)


def _black_border(given, image, model):
    pixels = given.pixels.clone()
    pixels[..., int(image.height / float(given.scale)) :, :] = -2
    return given._replace(pixels=pixels)


def _centred(given, image, model):
    rows = given.pixels.shape[2] - int(image.height / float(given.scale))
    columns = given.pixels.shape[3] - int(image.width / float(given.scale))
    return given._replace(pixels=given.pixels.roll((rows // 2, columns // 2), (2, 3)))


def _stretched(image, model, device):
    square = image.resize(model.image_size[::-1], Image.Resampling.BILINEAR)
    given = _right(square, model, device)
    return ModelInput(given.pixels, _right(image, model, device).scale, given.size)


INPUTS: dict[str, Callable] = {
    "not normalised": _then(_denormalised),
    "blue and red swapped": _then(lambda given, *_: given._replace(pixels=given.pixels.flip(1))),
    "divided by 256": _then(_by_256),
    "nearest neighbour": _resized(Image.Resampling.NEAREST),
    "bicubic": _resized(Image.Resampling.BICUBIC),
    "black border": _then(_black_border),
    "photo in the centre": _then(_centred),
    "stretched": _stretched,
    "mirrored": _then(lambda given, *_: given._replace(pixels=given.pixels.flip(3))),
    "scale rounded": _then(lambda given, *_: given._replace(scale=given.scale.round())),
    "size is (height, width)": _then(lambda given, *_: given._replace(size=given.size.flip(1))),
}


# Postprocessing: (engine, index, outputs, scale, size, the right table) -> table.


def _again(iou=0.5, by_class=True, clip=True, most=100, candidates=5000, squash=1, least=0.0):
    """Postprocessing from the outputs on, with one thing otherwise than upstream."""

    def detect(engine, index, outputs, scale, size, table):
        model = engine.models[index]
        config = model.config
        classes, boxes, indices, labels = post_process(
            *outputs, config.num_levels, config.num_classes, candidates
        )
        decoded = decode_box_outputs(boxes[0].float(), model.anchors[indices[0]], output_xyxy=True)
        if clip:
            decoded = clip_boxes_xyxy(decoded, size[0] / scale)
        scores = classes[0, :, 0].float()
        for _ in range(squash):
            scores = scores.sigmoid()
        if by_class:
            kept = batched_nms(decoded, scores, labels[0], iou)
        else:
            kept = nms(decoded, scores, iou)
        kept = kept[scores[kept] >= least][:most]
        rows = [decoded[kept] * scale, scores[kept, None], labels[0][kept, None] + 1.0]
        return torch.nn.functional.pad(torch.cat(rows, 1), (0, 0, 0, 100 - len(kept)))

    return detect


def _table(edit):
    return lambda engine, index, outputs, scale, size, table: edit(table.clone())


def _small_ones_dropped(table):
    area = (table[:, 2:4] - table[:, :2]).prod(1)
    kept = table[area > area.quantile(0.05)]
    return torch.nn.functional.pad(kept, (0, 0, 0, 100 - len(kept)))


def _over(table, scale):
    return torch.cat([table[:, :4] / scale, table[:, 4:]], 1)


def _width_for_x_max(table):
    return torch.cat([table[:, :2], table[:, 2:4] - table[:, :2], table[:, 4:]], 1)


def _best_doubled(table):
    return torch.cat([table[:1], table[:-1]])


def _moved(column, by):
    def edit(table):
        table[:, column] += by
        return table

    return edit


def _one_moved(table):
    table[50, :4] += 1
    return table


def _one_class_wrong(table):
    table[70, 5] = table[70, 5] % 90 + 1
    return table


def _rounded(columns, digits):
    def edit(table):
        table[:, columns] = table[:, columns].round(decimals=digits)
        return table

    return edit


def _two_swapped(table):
    return table[[1, 0, *range(2, 100)]]


TABLES: dict[str, Callable] = {
    "NMS at 0.45": _again(iou=0.45),
    "NMS at 0.55": _again(iou=0.55),
    "no NMS": _again(iou=1.0),
    "NMS across classes": _again(by_class=False),
    "no clipping": _again(clip=False),
    "score squashed twice": _again(squash=2),
    "no score": _again(squash=0),
    "half of the detections": _again(most=50),
    "one detection fewer": _again(most=99),
    "too few candidates": _again(candidates=110),
    "a least score": _again(least=0.4),
    "boxes of the network's input": lambda *given: _over(given[-1], given[3]),
    "y before x": _table(lambda t: t[:, [1, 0, 3, 2, 4, 5]]),
    "width in place of x_max": _table(_width_for_x_max),
    "classes from 0": _table(_moved(5, -1)),
    "small detections dropped": _table(_small_ones_dropped),
    "the best one twice": _table(_best_doubled),
    "boxes in whole pixels": _table(_rounded(slice(0, 4), 0)),
    "scores of two digits": _table(_rounded(4, 2)),
    "half a pixel off": _table(_moved(slice(0, 4), 0.5)),
    "one box moved": _table(_one_moved),
    "one class wrong": _table(_one_class_wrong),
    "worst first": _table(lambda t: t.flip(0)),
    "table in 16 bits": _table(lambda t: t.bfloat16().float()),
}
