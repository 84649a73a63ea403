"""Errors of network outputs against the reference's: by feature level, class and coordinate."""

from typing import Any, NamedTuple

import numpy as np
import torch


class Errors(NamedTuple):
    """Errors of one photo's outputs, out - ref, relative to the spread of the reference.

    `class_error` is ‖out - ref‖ / ‖ref - mean(ref)‖ of all class logits at the compared anchors,
    and `box_error` is the same of all box regressions. The divisor is the spread of the reference
    and not its size, because class logits have a large common offset: relative to their size,
    outputs of another photo would seem only 25 % off.

    `sizes`, `slopes` and `offsets` are by group, in this order: class logits of each feature level,
    box regressions of each level, logits of each class, and the four coordinates of boxes. A size
    is the same quotient as above, within the group. For slopes and offsets, the mean of every class
    and coordinate at its level is subtracted from ref. A slope is that of a regression of
    out - ref on ref, 0.01 if outputs are 1 % too large. An offset is the mean of out - ref, divided
    by the standard deviation of ref.
    """

    class_error: float
    box_error: float
    sizes: tuple[float, ...]
    slopes: tuple[float, ...]
    offsets: tuple[float, ...]


def relative_errors(
    sampled: torch.Tensor, expected: np.ndarray, anchors: list[np.ndarray]
) -> Errors:
    """The errors of `sampled` against `expected`, both [anchors, classes + 4] of `sample_outputs`.

    `anchors` are the compared ones of each feature level.
    """
    counts = [len(one) for one in anchors]
    # torch and not NumPy, because threads of NumPy's BLAS would still spin during the next request
    reference = torch.from_numpy(np.array(expected)).double()
    apart = sampled.double() - reference
    centred = torch.cat([level - level.mean(0) for level in reference.split(counts)])
    wholes, by_level, by_column = [], [], []
    for part in (slice(-4), slice(-4, None)):
        off, of, around = apart[:, part], reference[:, part], centred[:, part]
        wholes.append(float(off.norm() / (of - of.mean()).norm()))
        split = zip(*(one.split(counts) for one in (off, of, around)), strict=True)
        by_level += [_group(*(one.flatten()[:, None] for one in level)) for level in split]
        by_column.append(_group(off, of, around))
    # [size, slope and offset, groups]
    groups = torch.cat([*by_level, *by_column], dim=1)
    sizes, slopes, offsets = (tuple(row) for row in groups.tolist())
    return Errors(wholes[0], wholes[1], sizes, slopes, offsets)


def _group(apart: torch.Tensor, reference: torch.Tensor, centred: torch.Tensor) -> torch.Tensor:
    """Size, slope and offset [3, columns] of each column of [values, columns]."""
    squares = centred.square().sum(0)
    sizes = apart.norm(dim=0) / (reference - reference.mean(0)).norm(dim=0)
    slopes = (centred * apart).sum(0) / squares
    offsets = apart.mean(0) / (squares / len(apart)).sqrt()
    return torch.stack([sizes, slopes, offsets])


def row_of(errors: Errors) -> dict[str, Any]:
    """`errors` as columns of a CSV file; values of groups share a column, separated by blanks."""
    return {
        key: " ".join(f"{value:.4g}" for value in part) if isinstance(part, tuple) else part
        for key, part in errors._asdict().items()
    }
