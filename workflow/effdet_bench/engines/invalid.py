"""Constant zeros of the right shapes and no network: what a request costs without its forward.

Its answers are wrong by design. It shows the harness's own floor and is never ranked.
"""

import torch

from effdet_bench import __version__
from effdet_bench.engine import Engine
from effdet_bench.ensemble import Model
from effdet_bench.postprocess import Outputs


class Invalid(Engine):
    version = f"effdet-bench {__version__}"

    def __init__(self, models: list[Model], device: torch.device) -> None:
        super().__init__(models, device)
        self._zeros = [_zeros(model, device) for model in models]

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        return self._zeros[index]


def _zeros(model: Model, device: torch.device) -> Outputs:
    config = model.network.config
    levels = range(config.min_level, config.max_level + 1)
    cells = [tuple(-(-side // 2**level) for side in model.image_size) for level in levels]
    return tuple(
        [torch.zeros(1, model.anchors_per_cell * values, *cell, device=device) for cell in cells]
        for values in (config.num_classes, 4)
    )


def load(models: list[Model], device: torch.device) -> Engine:
    return Invalid(models, device)
