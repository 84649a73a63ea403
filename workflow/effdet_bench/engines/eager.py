"""Upstream effdet networks as PyTorch runs them: fp32, untouched. The engine of `baseline`."""

import torch

from effdet_bench.engine import Engine
from effdet_bench.ensemble import Model
from effdet_bench.postprocess import Outputs


class Eager(Engine):
    version = f"torch {torch.__version__}"

    def __init__(self, models: list[Model], device: torch.device) -> None:
        super().__init__(models, device)
        # TF32 convolutions are torch's default on NVIDIA GPUs, and they are not fp32
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        self._networks = [model.network.to(device) for model in models]

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        return self._networks[index](pixels)


def load(models: list[Model], device: torch.device) -> Engine:
    return Eager(models, device)
