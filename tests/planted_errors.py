"""Systematic errors to plant in any size, by name: of outputs and of networks.

Each has the unit of its size, the sizes to try, and an edit.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

STEP = 1.25
# (outputs [anchors, classes + 4], places, size, whether it is the first photo) -> outputs
Edit = Callable[[torch.Tensor, "Place", float, bool], torch.Tensor]
# (network, pixels, size) -> network and pixels
NetworkEdit = Callable[[torch.nn.Module, torch.Tensor, float], tuple[torch.nn.Module, torch.Tensor]]


def _sizes(first: float, last: float) -> list[float]:
    count = int(np.log(last / first) / np.log(STEP)) + 1
    return [first * STEP**number for number in range(count)]


class Place(NamedTuple):
    """Where each sampled anchor is: its feature level, and whether on a border, in a corner."""

    level: torch.Tensor
    border: torch.Tensor
    cell: torch.Tensor

    @classmethod
    def of(cls, levels: list[tuple[tuple[int, int, int], np.ndarray]]) -> "Place":
        """`levels` are (height, width, anchors of a cell), each with its sampled anchors."""
        numbers, borders, cells = [], [], []
        for number, ((high, wide, per_cell), anchors) in enumerate(levels):
            cell = anchors // per_cell
            row, column = cell // wide, cell % wide
            numbers.append(np.full(len(cell), number))
            borders.append((row == 0) | (row == high - 1) | (column == 0) | (column == wide - 1))
            cells.append(cell)
        parts = (np.concatenate(one) for one in (numbers, borders, cells))
        return cls(*map(torch.from_numpy, parts))


LOGITS, BOXES, WIDTHS, CLASS = slice(-4), slice(-4, None), slice(-1, None), slice(5, 6)


def _everywhere(place):
    return torch.ones(len(place.level), dtype=torch.bool)


def _edit(part: slice, change: Callable, where: Callable, one_photo: bool) -> Edit:
    def edit(outputs, place, size, first):
        if first or not one_photo:
            rows = where(place)
            outputs[rows, part] = change(outputs[rows, part], size)
        return outputs

    return edit


def _add(part: slice, where: Callable = _everywhere, one_photo: bool = False) -> Edit:
    return _edit(part, lambda values, size: values + size, where, one_photo)


def _scale(part: slice, where: Callable = _everywhere, one_photo: bool = False) -> Edit:
    return _edit(part, lambda values, size: values * (1 + size), where, one_photo)


def _widen(outputs, place, size, first):
    """Boxes are as wide as their anchor times the exponential of what the network says."""
    return _add(WIDTHS)(outputs, place, float(np.log1p(size)), first)


def _last(place):
    return place.level == place.level.max()


def _finest(place):
    return place.level == 0


def _corner(place):
    return (place.level == 0) & (place.cell == 0)


SHARES, LOGIT = _sizes(1e-6, 1), _sizes(1e-6, 10)
OUTPUTS: dict[str, tuple[str, list[float], Callable]] = {
    "all boxes too wide by": (
        "",
        SHARES,
        _widen,
    ),
    "regressions of widths too large by": ("", SHARES, _scale(WIDTHS)),
    "all box regressions too large by": ("", SHARES, _scale(BOXES)),
    "all class logits too large by": ("", SHARES, _scale(LOGITS)),
    "all class logits too high by": ("of a logit", LOGIT, _add(LOGITS)),
    "logits of one class too large by": ("", SHARES, _scale(CLASS)),
    "logits of one class too high by": ("of a logit", LOGIT, _add(CLASS)),
    "logits of one photo too large by": ("", SHARES, _scale(LOGITS, one_photo=True)),
    "logits of one photo too high by": ("of a logit", LOGIT, _add(LOGITS, one_photo=True)),
    "logits of the finest level too high by": ("of a logit", LOGIT, _add(LOGITS, _finest)),
    "logits of the coarsest level too high by": ("of a logit", LOGIT, _add(LOGITS, _last)),
    "boxes of the coarsest level too large by": ("", SHARES, _scale(BOXES, _last)),
    "logits along all borders too high by": ("of a logit", LOGIT, _add(LOGITS, lambda p: p.border)),
    "logits of one corner cell too high by": ("of a logit", LOGIT, _add(LOGITS, _corner)),
}


def _layer(name: str):
    def edit(network, pixels, size):
        layer = network.get_submodule(name)
        layer.weight.data *= 1 + size
        return network, pixels

    return edit


def _hardswish(network, pixels, count):
    """The first `count` activations, from the outputs on."""
    found = [n for n, module in network.named_modules() if isinstance(module, torch.nn.SiLU)]
    found = found or [n for n, m in network.named_modules() if type(m).__name__ == "Swish"]
    for name in found[::-1][: int(count)]:
        network.set_submodule(name, torch.nn.Hardswish())
    return network, pixels


def _shifted(network, pixels, size):
    shift = torch.tensor([[1.0, 0, -2 * size / pixels.shape[3]], [0, 1, 0]])[None]
    grid = torch.nn.functional.affine_grid(shift, pixels.shape, align_corners=False)
    moved = torch.nn.functional.grid_sample(
        pixels, grid, padding_mode="border", align_corners=False
    )
    return network, moved


NETWORKS: dict[str, tuple[str, list[float], Callable]] = {
    "weights of the stem too large by": ("", SHARES, _layer("backbone.conv_stem")),
    "weights of the last class layer too large by": (
        "",
        SHARES,
        _layer("class_net.predict.conv_pw"),
    ),
    "SiLU replaced by Hardswish in": ("places", [1, 2, 4, 8], _hardswish),
    "input moved to the right by": ("pixels", _sizes(1e-5, 4), _shifted),
}
