"""PyTorch's inductor: the networks compiled ahead of time, so that no timing job compiles."""

import copy
import os
import shutil
from pathlib import Path

import torch
from torch._inductor import aoti_compile_and_package, aoti_load_package

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs
from effdet_bench.detector.rewrite import mean_by_blocks
from effdet_bench.engines.base import TYPES, Engine, check_triton
from effdet_bench.errors import UnavailableError

OPTIONS = {
    "precision": ["fp32", "bf16", "fp16"],
    "rewritten": [False, True],
    "sparse_postprocess": [False, True],
}
EXPORTS = {"fp32": "fp32", "bf16": "bf16", "fp16": "fp16"}
FILE = "model.pt2"
COMPILERS = (os.environ.get("CXX", "g++"), "clang++")


class Compiled(Engine):
    version = f"torch {torch.__version__} inductor"

    def __init__(self, models: list[Model], device: torch.device, options: Options) -> None:
        super().__init__(models, device, options)
        self._networks = [aoti_load_package(str(model.exported / FILE)) for model in models]

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        outputs: Outputs = self._networks[index](pixels)
        return outputs


def export(
    model: Model, device: torch.device, options: Options, samples: list[torch.Tensor], folder: Path
) -> None:
    """Compiles the network of `model` for `device` to `folder`."""
    if not any(map(shutil.which, COMPILERS)):
        raise UnavailableError("inductor needs a C++ compiler: install g++.")
    if device.type == "cuda":
        _check_cuda()
    pixels = samples[0].to(device)
    dtype = TYPES[str(options["precision"])]
    reduced = dtype != torch.float32
    network = copy.deepcopy(model.network) if reduced else mean_by_blocks(model.network)
    network = network.to(device).to(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast(device.type, dtype, enabled=reduced):
        exported = torch.export.export(network, (pixels,))
        aoti_compile_and_package(
            exported,
            package_path=str(folder / FILE),
            # not `freezing`: in torch 2.14 it makes errors of a third of the outputs' spread
            inductor_configs={"compile_threads": 1},
        )


def _check_cuda() -> None:
    """Raises UnavailableError where inductor cannot build for an NVIDIA GPU."""
    from torch.utils.cpp_extension import CUDA_HOME

    check_triton("the engine compile")
    if CUDA_HOME is None:
        raise UnavailableError(
            "inductor needs NVIDIA's CUDA toolkit to build for a GPU ahead of time: install it, or "
            "set CUDA_HOME to where it is."
        )


def load(models: list[Model], device: torch.device, options: Options) -> Engine:
    return Compiled(models, device, options)
