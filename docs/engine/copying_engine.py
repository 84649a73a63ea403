"""PyTorch's networks in channels-last memory, with a copy of the pixels that nobody asked for."""

import torch

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs
from effdet_bench.engines.base import Engine

COPIES = [1, 2]
OPTIONS = {"copies": COPIES, "sparse_postprocess": [False, True]}


class Copying(Engine):
    version = f"torch {torch.__version__}"

    def __init__(self, models: list[Model], device: torch.device, options: Options) -> None:
        super().__init__(models, device, options)
        self.networks = [model.network.to(device) for model in models]

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        for _ in range(int(self.options.get("copies", 1))):
            pixels = pixels.clone()
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        outputs: Outputs = self.networks[index](pixels)
        return outputs


def load(models: list[Model], device: torch.device, options: Options) -> Engine:
    return Copying(models, device, options)
