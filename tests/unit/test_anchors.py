"""Which anchors are compared: corners always, others in each round, all of them in the pool."""

import numpy as np
import pytest
import torch

from effdet_bench.reference.anchors import CHOICES, Sampled, chosen, pool, sample_outputs

LEVELS = [(64, 64, 9), (40, 40, 9), (8, 8, 9), (5, 3, 6), (3, 3, 9), (2, 2, 9), (1, 1, 9)]


def cells(level, anchors) -> set[tuple[int, int]]:
    _, wide, per_cell = level
    return {divmod(int(anchor) // per_cell, wide) for anchor in anchors}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("number", [0, 1, CHOICES + 3])
def test_corners_and_borders_are_always_among_them(level, number):
    high, wide, per_cell = level
    anchors = chosen(level, number)
    assert (np.diff(anchors) > 0).all(), "in order, none twice"
    assert 0 <= anchors[0] <= anchors[-1] < high * wide * per_cell
    corners = {(row, column) for row in (0, high - 1) for column in (0, wide - 1)}
    found = [divmod(int(anchor) // per_cell, wide) for anchor in anchors]
    assert all(found.count(corner) == per_cell for corner in corners)
    border = {(r, c) for r, c in found if r in (0, high - 1) or c in (0, wide - 1)} - corners
    assert border or high * wide <= 4
    assert len(anchors) <= 128


def test_rounds_look_at_other_anchors():
    level = LEVELS[0]
    seen = [set(chosen(level, number)) for number in range(CHOICES)]
    corners = set.intersection(*seen)
    assert len(corners) == 4 * level[2]
    assert len(set.union(*seen)) == len(pool(level)) == 36 + CHOICES * (28 + 64)
    assert set(chosen(level, CHOICES)) == seen[0], "and begin again"


@pytest.mark.parametrize("number", [0, 5])
def test_the_anchors_of_a_round_are_found_in_the_pools(number):
    sampled = Sampled(tuple(LEVELS[:4]))
    together = np.concatenate(sampled.pools)
    np.testing.assert_array_equal(
        together[sampled.places(number)], np.concatenate(sampled.chosen(number))
    )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_sampled_outputs_are_those_of_the_anchors(layout):
    """Each value says which cell, anchor and class it is of."""
    high, wide, per_cell, classes = 5, 4, 3, 2
    row, column, anchor, value = torch.meshgrid(
        *map(torch.arange, (high, wide, per_cell, 4)), indexing="ij"
    )
    said = (1000 * row + 100 * column + 10 * anchor + value).float()

    def level(values):
        return (
            said[..., :values]
            .permute(2, 3, 0, 1)
            .reshape(1, -1, high, wide)
            .contiguous(memory_format=layout)
        )

    picked = chosen((high, wide, per_cell), 0)
    found = sample_outputs(([level(classes)], [level(4)]), [picked])
    expected = said.flatten(0, 2)[torch.from_numpy(picked)]
    assert torch.equal(found, torch.cat([expected[:, :classes], expected], dim=1))
