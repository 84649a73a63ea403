"""effdet networks as PyTorch runs them. Without options, fp32 and untouched: `baseline`."""

import torch

from effdet_bench.engine import TYPES, Engine
from effdet_bench.ensemble import Model
from effdet_bench.errors import UnavailableError
from effdet_bench.postprocess import Outputs
from effdet_bench.rewrite import fuse

OPTIONS = {
    "precision": ["fp32", "bf16", "fp16"],
    "channels_last": [False, True],
    "fused": [False, "network", True],
    "parallel": [False, True],
    "graph": [False, True],
}


class Eager(Engine):
    version = f"torch {torch.__version__}"

    def __init__(
        self, models: list[Model], device: torch.device, options: dict | None = None
    ) -> None:
        super().__init__(models, device, options)
        if self.options.get("graph") and device.type != "cuda":
            raise UnavailableError(f"CUDA graphs need an NVIDIA GPU; this is a mode on {device}.")
        if self.precision == "fp16" and device.type == "cpu":
            raise UnavailableError("PyTorch only emulates fp16 on a CPU: take bf16 there.")
        # TF32 convolutions are torch's default on NVIDIA GPUs, and they are not fp32
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        self._dtype = TYPES[self.precision]
        self._layout = torch.contiguous_format
        if self.options.get("channels_last"):
            self._layout = torch.channels_last
        networks = [fuse(m.network) if self.options.get("fused") else m.network for m in models]
        self._networks = [one.to(device, memory_format=self._layout) for one in networks]
        if self.options.get("graph"):
            self._networks = [
                self._graphed(network, model)
                for network, model in zip(self._networks, models, strict=True)
            ]

    def _graphed(self, network: torch.nn.Module, model: Model) -> torch.nn.Module:
        """`network` as one CUDA graph, launched at once in place of kernel by kernel."""
        pixels = torch.zeros(1, 3, *model.image_size, device=self.device)
        pixels = pixels.contiguous(memory_format=self._layout)
        with torch.no_grad(), torch.autocast("cuda", self._dtype, cache_enabled=False):
            return torch.cuda.make_graphed_callables(network, (pixels,))

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        pixels = pixels.contiguous(memory_format=self._layout)
        reduced = self._dtype != torch.float32
        with torch.autocast(self.device.type, self._dtype, enabled=reduced):
            return self._networks[index](pixels)


def load(models: list[Model], device: torch.device, options: dict) -> Engine:
    return Eager(models, device, options)
