"""How far a network's outputs lie from the reference's: pooled, by feature level, by class."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch

from effdet_bench.detector.nms import Outputs

ANCHORS_PER_LEVEL = 128  # of each feature level that outputs are compared at


class Errors(NamedTuple):
    """Relative errors of one photo's outputs: ‖out − ref‖ / ‖ref − mean(ref)‖ at sampled anchors.

    `class_error` of all class logits, `box_error` of all box regressions; `class_levels` and
    `box_levels` of those of each feature level, `classes` of the logits of each class.

    Against the spread of the reference and not its size: class logits have a large common offset,
    beside which outputs of another photo would seem 25 % off.
    """

    class_error: float
    box_error: float
    class_levels: tuple[float, ...]
    box_levels: tuple[float, ...]
    classes: tuple[float, ...]


def sample_outputs(outputs: Outputs, anchors_per_cell: int) -> torch.Tensor:
    """Class logits and box regressions of a fixed choice of anchors, on the host.

    Up to `ANCHORS_PER_LEVEL` of every feature level, so that each level counts although most
    anchors are of the finest, and so that comparing takes milliseconds.

    Returns:
        float32 [anchors, classes + 4].
    """
    parts = []
    for levels in outputs:
        # [cells' anchors, values, cells] without a copy, in either memory format
        split = [level[0].unflatten(0, (anchors_per_cell, -1)).flatten(2) for level in levels]
        counts = tuple(anchors_per_cell * one.shape[2] for one in split)
        chosen = [
            one[picked % anchors_per_cell, :, picked // anchors_per_cell]
            for one, choice in zip(split, _choices(counts), strict=True)
            for picked in [choice.to(one.device)]
        ]
        parts.append(torch.cat(chosen).float().cpu())
    return torch.cat(parts, dim=1)


@functools.cache
def _choices(counts: tuple[int, ...]) -> list[torch.Tensor]:
    """For each feature level of so many anchors, which of them are sampled."""
    generator = np.random.default_rng(0)
    return [
        torch.from_numpy(
            np.sort(generator.choice(count, min(count, ANCHORS_PER_LEVEL), replace=False))
        )
        for count in counts
    ]


def sampled_anchors(cells: Iterable[tuple[int, int]], anchors_per_cell: int) -> list[int]:
    """How many anchors `sample_outputs` takes of each feature level of (height, width) cells."""
    return [min(anchors_per_cell * high * wide, ANCHORS_PER_LEVEL) for high, wide in cells]


def relative_errors(sampled: torch.Tensor, expected: np.ndarray, counts: list[int]) -> Errors:
    """The errors of `sampled` against `expected`, both [anchors, classes + 4] of `sample_outputs`.

    `counts` are the anchors of each feature level among them.
    """
    # torch and not numpy, whose BLAS has threads of its own that spin on into the next request
    reference = torch.from_numpy(np.array(expected)).double()
    apart = sampled.double() - reference
    classes, boxes = ((apart[:, part], reference[:, part]) for part in (slice(-4), slice(-4, None)))
    levels = [
        tuple(_relative(*level) for level in zip(*(one.split(counts) for one in part), strict=True))
        for part in (classes, boxes)
    ]
    logits = classes[1]
    of_each = classes[0].norm(dim=0) / (logits - logits.mean(0)).norm(dim=0)
    class_levels, box_levels = levels
    return Errors(
        class_error=_relative(*classes),
        box_error=_relative(*boxes),
        class_levels=class_levels,
        box_levels=box_levels,
        classes=tuple(of_each.tolist()),
    )


def _relative(apart: torch.Tensor, reference: torch.Tensor) -> float:
    return float(apart.norm() / (reference - reference.mean()).norm())
