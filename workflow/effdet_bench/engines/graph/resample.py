"""Pillow's bilinear resize in numbers: the input values and weights of every output value.

Pillow resizes bytes in fixed point, along rows and along columns, with bytes in between
(libImaging/Resample.c). Integers have the same sum in any order, so a GPU with these weights gets
the result of a CPU, to the last bit.
"""

import math
from collections.abc import Sequence

import numpy as np
import PIL

WEIGHT_BITS = 22  # bits after the point of Pillow's weights for bytes
# from version 13 on, Pillow resizes columns first where that spares most work
COLUMNS_MAY_BE_FIRST = int(PIL.__version__.split(".")[0]) >= 13


def columns_first(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Whether Pillow resizes columns first from size `before` to `after`, as (height, width)."""
    spared, narrower = before[0] - after[0], max(before[1] - after[1], 0)
    return COLUMNS_MAY_BE_FIRST and spared > 2 * narrower


def taps(axes: Sequence[tuple[int, int]]) -> np.ndarray:
    """The taps of every output value along each of `axes`, (length before, length after).

    Returns:
        int32 [sum of lengths after, 1 + taps]: the index of the first input value, then the weights
        of this value and of those after it; unused weights are 0.
    """
    scales = np.concatenate([np.full(after, before / after) for before, after in axes])
    lengths = np.concatenate([np.full(after, before) for before, after in axes])
    numbers = np.concatenate([np.arange(after) for _, after in axes])
    support = np.maximum(scales, 1.0)
    centers = (numbers + 0.5) * scales
    # truncated, as by a cast to `int` in C
    first = np.maximum((centers - support + 0.5).astype(np.int32), 0)
    counts = np.minimum((centers + support + 0.5).astype(np.int32), lengths) - first
    number = np.arange(math.ceil(support.max()) * 2 + 1)[:, None]
    shares = np.maximum(1.0 - np.abs((number + first - centers + 0.5) * (1.0 / support)), 0.0)
    shares[number >= counts] = 0.0
    # added one after the other, as in C; NumPy's `sum` takes another order
    total = shares[0].copy()
    for share in shares[1:]:
        total += share
    weights = (0.5 + shares / total * (1 << WEIGHT_BITS)).astype(np.int32)
    used = int(weights.any(1).nonzero()[0].max()) + 1
    return np.concatenate([first[None], weights[:used]]).T
