"""Bugs of networks to plant, by name."""

from collections.abc import Callable

import torch

# the gates that may find them
ARITHMETIC = {"errors", "photo_errors", "level_bias", "slopes", "offsets", "photo_bias"}


# What networks return, (levels of class logits, of box regressions) -> the same, wrong: each with
# the gates that may find it.


def _classes(edit):
    return ARITHMETIC, lambda classes, boxes: ([edit(level) for level in classes], boxes)


def _boxes(edit):
    return ARITHMETIC, lambda classes, boxes: (classes, [edit(level) for level in boxes])


def _both(edit, gates=ARITHMETIC):
    return gates, lambda *parts: tuple([edit(level) for level in levels] for levels in parts)


def _cells(values, edit):
    """`edit` of a level as [anchors of a cell, values, height, width]."""
    return lambda level: edit(level[0].unflatten(0, (-1, values))).flatten(0, 1)[None]


def _swap(values, first, second):
    order = list(range(values))
    order[first], order[second] = second, first
    return _cells(values, lambda cells: cells[:, order])


def _one_class(edit):
    return _cells(90, lambda x: torch.cat([x[:, :5], edit(x[:, 5:6]), x[:, 6:]], 1))


def _last_level(edit, of_classes):
    def wrong(*parts):
        chosen = parts[0 if of_classes else 1]
        changed = [*chosen[:-1], edit(chosen[-1])]
        return (changed, parts[1]) if of_classes else (parts[0], changed)

    return wrong


def _corner_cell(classes, boxes):
    finest = classes[0].clone()
    finest[..., 0, 0] = -6
    return [finest, *classes[1:]], boxes


def _wider(cells):
    return torch.cat([cells[:, :3], cells[:, 3:] * 1.01], 1)


def _half_stale(level):
    half = level.shape[3] // 2
    return torch.cat([level[..., :half], level[..., half:] * 0], 3)


def _other_anchors(*parts):
    return tuple(
        [_cells(values, lambda cells: cells.flip(0))(level) for level in levels]
        for levels, values in zip(parts, (90, 4), strict=True)
    )


OUTPUTS: dict[str, tuple[set[str], Callable]] = {
    "zeros": _both(lambda level: level * 0 + 0, {"stale"}),
    "no class logits": _classes(lambda level: level * 0),
    "two classes swapped": _classes(_swap(90, 2, 16)),
    "neighbouring classes swapped": _classes(_swap(90, 40, 41)),
    "classes shifted by one": _classes(_cells(90, lambda cells: cells.roll(1, 1))),
    "logits of one class too high": _classes(_one_class(lambda logits: logits + 0.5)),
    "logits of one class too large": _classes(_one_class(lambda logits: logits * 1.07)),
    "logits a tenth too large": _classes(lambda level: level * 1.1),
    "scores in place of logits": _classes(torch.sigmoid),
    "x and y of boxes swapped": _boxes(_cells(4, lambda cells: cells[:, [1, 0, 3, 2]])),
    "width and height swapped": _boxes(_swap(4, 2, 3)),
    "boxes a tenth too far": _boxes(lambda level: level * 1.1),
    "boxes of another anchor": _boxes(_cells(4, lambda cells: cells.roll(1, 0))),
    "anchors of a cell in another order": (ARITHMETIC, _other_anchors),
    "widths of boxes a hundredth too large": (
        ARITHMETIC,
        _boxes(_cells(4, _wider))[1],
    ),
    "one corner cell": (ARITHMETIC, _corner_cell),
    "features mirrored": _both(lambda level: level.flip(3)),
    "features transposed": _both(lambda level: level.transpose(2, 3)),
    "right half of features missing": _both(_half_stale),
    "last level left out": (ARITHMETIC, _last_level(lambda level: level * 0, True)),
    "last level's boxes a tenth off": (ARITHMETIC, _last_level(lambda level: level * 1.1, False)),
    "not finite": ({"not finite"}, _last_level(lambda level: level * float("nan"), False)),
    "a level missing": ({"shape"}, lambda classes, boxes: (classes[:-1], boxes[:-1])),
}


# Weights: network -> network.


def _convolutions(network, edit):
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.data = edit(layer.weight.data)
    return network


def _eight_bits(weight):
    step = weight.abs().max() / 127
    return (weight / step).round() * step


def _norms(network, edit):
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            edit(layer)
    return network


def _one_bias_lost(network):
    layer = [m for m in network.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)][20]
    layer.bias.data.zero_()
    return network


def _another_epsilon(layer):
    layer.eps *= 30


def _half_of_boxes_bias(network):
    network.box_net.predict.conv_pw.bias.data.mul_(0.5)
    return network


def _activation_lost(network):
    for name, module in list(network.class_net.named_modules()):
        if isinstance(module, torch.nn.ReLU6 | torch.nn.SiLU):
            network.class_net.set_submodule(name, torch.nn.Identity())
            break
    return network


def _activation_replaced(network):
    names = [
        n for n, module in network.backbone.named_modules() if isinstance(module, torch.nn.ReLU6)
    ]
    network.backbone.set_submodule(names[0], torch.nn.Hardswish())
    return network


def _no_padding(network):
    layer = network.backbone.conv_stem
    layer.register_forward_pre_hook(lambda _, given: (given[0].roll(1, 3),))
    return network


NETWORKS: dict[str, Callable] = {
    "weights rounded to 8 bits": lambda n: _convolutions(n, _eight_bits),
    "weights of 3 bits after the point": lambda n: _convolutions(
        n, lambda w: w.to(torch.float8_e4m3fn).float()
    ),
    "another epsilon of batch normalisation": lambda n: _norms(n, _another_epsilon),
    "a bias lost in fusing": _one_bias_lost,
    "an activation lost": _activation_lost,
    "an activation replaced": _activation_replaced,
    "input shifted by a pixel": _no_padding,
    "half of the boxes' bias": _half_of_boxes_bias,
}
