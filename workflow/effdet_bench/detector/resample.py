"""Pillow's bilinear resize in numbers: which values count for each, and by what weight.

Pillow resizes bytes in fixed point, along rows and along columns, with bytes in between
(libImaging/Resample.c). Integers add up to the same in any order, so that a GPU that takes these
weights finds what a CPU does, to the last bit.
"""

import math
from collections.abc import Sequence

import numpy as np
import PIL

WEIGHT_BITS = 22  # of Pillow's weights of bytes
# from that version on, Pillow resizes columns first where that spares it most
COLUMNS_MAY_BE_FIRST = int(PIL.__version__.split(".")[0]) >= 13


def columns_first(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Whether Pillow resizes columns first, of `before` to `after`, both (height, width)."""
    spared, narrower = before[0] - after[0], max(before[1] - after[1], 0)
    return COLUMNS_MAY_BE_FIRST and spared > 2 * narrower


def taps(axes: Sequence[tuple[int, int]]) -> np.ndarray:
    """What every value of each of `axes`, (length before, length after), is made of.

    Returns:
        int32 [sum of lengths after, 1 + taps]: the first of the values that count, which stand side
        by side, and the weight of each; 0 of those beyond.
    """
    scales = np.concatenate([np.full(after, before / after) for before, after in axes])
    lengths = np.concatenate([np.full(after, before) for before, after in axes])
    numbers = np.concatenate([np.arange(after) for _, after in axes])
    support = np.maximum(scales, 1.0)
    centers = (numbers + 0.5) * scales
    # `int` of C, which cuts off
    first = np.maximum((centers - support + 0.5).astype(np.int32), 0)
    counts = np.minimum((centers + support + 0.5).astype(np.int32), lengths) - first
    number = np.arange(math.ceil(support.max()) * 2 + 1)[:, None]
    shares = np.maximum(1.0 - np.abs((number + first - centers + 0.5) * (1.0 / support)), 0.0)
    shares[number >= counts] = 0.0
    # added up one after the other, as C does
    total = shares[0].copy()
    for share in shares[1:]:
        total += share
    weights = (0.5 + shares / total * (1 << WEIGHT_BITS)).astype(np.int32)
    used = int(weights.any(1).nonzero()[0].max()) + 1
    return np.concatenate([first[None], weights[:used]]).T
