"""effdet's networks, run by PyTorch. Without options this is `baseline`: unchanged, in fp32."""

import torch

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs
from effdet_bench.detector.rewrite import rewritten
from effdet_bench.engines.base import TYPES, Engine
from effdet_bench.errors import UnavailableError
from effdet_bench.facts import machine

OPTIONS = {
    "precision": ["fp32", "tf32", "bf16", "fp16"],
    "channels_last": [False, True],
    "rewritten": [False, True],
    "sparse_postprocess": [False, True],
    "parallel": [False, True],
}


class Eager(Engine):
    version = f"torch {torch.__version__}"

    def __init__(
        self, models: list[Model], device: torch.device, options: Options | None = None
    ) -> None:
        super().__init__(models, device, options)
        if self.precision == "tf32" and device.type != "cuda":
            raise UnavailableError(f"TF32 is of NVIDIA GPUs; this is a mode on {device}.")
        if self.precision == "fp16" and device.type == "cpu":
            raise UnavailableError("PyTorch only emulates fp16 on a CPU: take bf16 there.")
        if self.precision == "bf16" and device.type == "cpu" and not machine.computes_bf16():
            raise UnavailableError(
                "PyTorch only emulates bf16 on this processor, which lacks AVX-512."
            )
        self._dtype = TYPES[self.precision]
        self._layout = torch.contiguous_format
        if self.options.get("channels_last"):
            self._layout = torch.channels_last
        networks = [
            rewritten(m.network) if self.options.get("rewritten") else m.network for m in models
        ]
        self._networks = [network.to(device).to(memory_format=self._layout) for network in networks]

    def accept(self, photos: int) -> None:
        """Does nothing, because PyTorch takes any number of photos."""

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        pixels = pixels.contiguous(memory_format=self._layout)
        reduced = self._dtype != torch.float32
        with torch.autocast(self.device.type, self._dtype, enabled=reduced):
            outputs: Outputs = self._networks[index](pixels)
        return outputs


def load(models: list[Model], device: torch.device, options: Options) -> Engine:
    return Eager(models, device, options)
