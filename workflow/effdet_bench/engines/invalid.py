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

    def __init__(
        self, models: list[Model], device: torch.device, options: dict | None = None
    ) -> None:
        super().__init__(models, device, options)
        self._zeros = [_zeros(model, device) for model in models]

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        return self._zeros[index]


def _zeros(model: Model, device: torch.device) -> Outputs:
    return tuple(
        [torch.zeros(1, model.anchors_per_cell * n, *cell, device=device) for cell in model.cells]
        for n in (model.network.config.num_classes, 4)
    )


def load(models: list[Model], device: torch.device, options: dict) -> Engine:
    return Invalid(models, device, options)
