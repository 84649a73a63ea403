"""Outputs of a network as tables of effdet_runtime, and back."""

import numpy as np
import torch


def as_array(table: torch.Tensor) -> np.ndarray:
    """`table` as effdet_runtime takes it: float32, or the bits of bfloat16."""
    return (table.view(torch.int16) if table.dtype == torch.bfloat16 else table).numpy()


def table_of(levels: list[torch.Tensor], values: int) -> np.ndarray:
    """The table [1, anchors, values] of `levels`, as `Engine.forward` returns them."""
    parts = [level.permute(0, 2, 3, 1).reshape(1, -1, values) for level in levels]
    return as_array(torch.cat(parts, 1))


def levels_of(model, table: torch.Tensor | np.ndarray) -> list[torch.Tensor]:
    """`table` [anchors, values] as levels of `Engine.forward`."""
    if isinstance(table, np.ndarray):
        table = torch.from_numpy(table)
    if table.dtype == torch.int16:
        table = table.view(torch.bfloat16)
    cells = [high * wide * model.anchors_per_cell for high, wide in model.cells]
    return [
        part.reshape(high, wide, -1).permute(2, 0, 1)[None]
        for part, (high, wide) in zip(table.split(cells), model.cells, strict=True)
    ]
