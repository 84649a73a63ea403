"""effdet networks as PyTorch runs them. Without options, fp32 and untouched: `baseline`."""

from typing import Any

import torch

from effdet_bench.config import machine
from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs
from effdet_bench.detector.rewrite import rewritten
from effdet_bench.engines.base import TYPES, Engine
from effdet_bench.errors import UnavailableError

OPTIONS = {
    "precision": ["fp32", "bf16", "fp16"],
    "channels_last": [False, True],
    "rewritten": [False, True],
    "sparse_postprocess": [False, True],
    "parallel": [False, True],
    "graph": [False, True],
}


class Eager(Engine):
    version = f"torch {torch.__version__}"

    def __init__(
        self, models: list[Model], device: torch.device, options: Options | None = None
    ) -> None:
        super().__init__(models, device, options)
        if self.options.get("graph") and device.type != "cuda":
            raise UnavailableError(f"CUDA graphs need an NVIDIA GPU; this is a mode on {device}.")
        if self.precision == "fp16" and device.type == "cpu":
            raise UnavailableError("PyTorch only emulates fp16 on a CPU: take bf16 there.")
        if self.precision == "bf16" and device.type == "cpu" and not machine.computes_bf16():
            raise UnavailableError(
                "PyTorch only emulates bf16 on this processor, which lacks AVX-512."
            )
        # TF32 convolutions are torch's default on NVIDIA GPUs, and they are not fp32
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        self._dtype = TYPES[self.precision]
        self._layout = torch.contiguous_format
        if self.options.get("channels_last"):
            self._layout = torch.channels_last
        networks = [
            rewritten(m.network) if self.options.get("rewritten") else m.network for m in models
        ]
        placed = [network.to(device).to(memory_format=self._layout) for network in networks]
        self._networks: list[Any] = placed
        if self.options.get("graph"):
            self._networks = [
                self._graphed(network, model)
                for network, model in zip(self._networks, models, strict=True)
            ]

    def _graphed(self, network: torch.nn.Module, model: Model) -> Any:
        """`network` as one CUDA graph, launched at once in place of kernel by kernel."""
        pixels = torch.zeros(1, 3, *model.image_size, device=self.device)
        pixels = pixels.contiguous(memory_format=self._layout)
        with torch.no_grad(), torch.autocast("cuda", self._dtype, cache_enabled=False):
            return torch.cuda.make_graphed_callables(network, (pixels,))

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        pixels = pixels.contiguous(memory_format=self._layout)
        reduced = self._dtype != torch.float32
        with torch.autocast(self.device.type, self._dtype, enabled=reduced):
            outputs: Outputs = self._networks[index](pixels)
        return outputs


def load(models: list[Model], device: torch.device, options: Options) -> Engine:
    return Eager(models, device, options)
