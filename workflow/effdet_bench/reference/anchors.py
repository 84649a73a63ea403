"""The anchors at which outputs are compared: corners, borders and inner cells of each level.

Each round compares other anchors. An anchor has a number within its feature level: row by row,
cell by cell, and within a cell in the order of the network's channels.
"""

import functools
from typing import NamedTuple

import numpy as np
import torch

from effdet_bench.detector.nms import Outputs

CHOICES = 8  # so many rounds in sequence have different anchors; then the choices repeat
# anchors of each level in a round, besides all anchors of the four corner cells
BORDER, INSIDE = 28, 64
Level = tuple[int, int, int]  # height and width in cells, and anchors of a cell


@functools.cache
def chosen(level: Level, number: int) -> np.ndarray:
    """The anchors of a `level` that the round `number` compares, in ascending order."""
    high, wide, per_cell = level
    cells = np.arange(high * wide).reshape(high, wide)
    corners = np.unique(cells[[0, 0, -1, -1], [0, -1, 0, -1]])
    border = np.setdiff1d(cells, [*cells[1:-1, 1:-1].flat, *corners])
    inside = cells[1:-1, 1:-1].ravel()
    generator, found = np.random.default_rng(0), [_anchors(corners, per_cell)]
    for part, most in ((border, BORDER), (inside, INSIDE)):
        anchors = generator.permutation(_anchors(part, per_cell))
        count = min(most, len(anchors))
        found.append(np.roll(anchors, -(number % CHOICES) * count)[:count])
    return np.sort(np.concatenate(found))


@functools.cache
def pool(level: Level) -> np.ndarray:
    """All anchors of a `level` that any round compares, in ascending order."""
    return np.unique(np.concatenate([chosen(level, number) for number in range(CHOICES)]))


def _anchors(cells: np.ndarray, per_cell: int) -> np.ndarray:
    return (cells[:, None] * per_cell + np.arange(per_cell)).ravel()


class Sampled(NamedTuple):
    """The feature levels of a network; the reference keeps the outputs at each level's pool."""

    levels: tuple[Level, ...]

    @property
    def pools(self) -> list[np.ndarray]:
        return [pool(level) for level in self.levels]

    def chosen(self, number: int) -> list[np.ndarray]:
        """The anchors of each level that the round `number` compares."""
        return [chosen(level, number) for level in self.levels]

    def places(self, number: int) -> np.ndarray:
        """Positions int [anchors] of the round's anchors in the concatenated pools of levels."""
        found, before = [], 0
        for kept, some in zip(self.pools, self.chosen(number), strict=True):
            found.append(before + np.searchsorted(kept, some))
            before += len(kept)
        return np.concatenate(found)


def sample_outputs(outputs: Outputs, anchors: list[np.ndarray]) -> torch.Tensor:
    """Class logits and box regressions at some `anchors` of each feature level, on the host.

    Returns:
        float32 [anchors, classes + 4].
    """
    per_cell = outputs[1][0].shape[1] // 4
    parts = []
    for levels in outputs:
        # [cells' anchors, values, cells] without a copy, in either memory format
        split = [level[0].unflatten(0, (per_cell, -1)).flatten(2) for level in levels]
        picked = [
            one[places % per_cell, :, places // per_cell]
            for one, choice in zip(split, anchors, strict=True)
            for places in [torch.from_numpy(choice).to(one.device)]
        ]
        parts.append(torch.cat(picked).float().cpu())
    return torch.cat(parts, dim=1)
