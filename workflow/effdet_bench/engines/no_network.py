"""Returns zeros instead of networks' outputs, to show what the rest of a request costs.

The answers of this mode are wrong by design, so the mode is INVALID and never ranked.
"""

import torch

from effdet_bench import __version__
from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs
from effdet_bench.engines.base import Engine

OPTIONS = {"channels_last": [False, True], "sparse_postprocess": [False, True]}


class NoNetwork(Engine):
    version = f"effdet-bench {__version__}"

    def __init__(
        self, models: list[Model], device: torch.device, options: Options | None = None
    ) -> None:
        super().__init__(models, device, options)
        layout = torch.contiguous_format
        if self.options.get("channels_last"):
            layout = torch.channels_last
        self._zeros = [_zeros(model, device, layout) for model in models]

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        return self._zeros[index]


def _zeros(model: Model, device: torch.device, layout: torch.memory_format) -> Outputs:
    classes, boxes = (
        [
            torch.empty(
                1, model.anchors_per_cell * values, *cell, device=device, memory_format=layout
            ).zero_()
            for cell in model.cells
        ]
        for values in (model.classes, 4)
    )
    return classes, boxes


def load(models: list[Model], device: torch.device, options: Options) -> Engine:
    return NoNetwork(models, device, options)
