"""MNN on the CPU, on networks converted from ONNX."""

import contextlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import MNN
import numpy as np
import torch

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.engines.base import INPUTS, OUTPUTS, ExportedEngine, refuse_gpus, write_onnx
from effdet_bench.errors import BenchError

OPTIONS = {"rewritten": [False, True], "sparse_postprocess": [False, True]}
EXPORTS = {"fp32": "fp32"}
PACKAGES = ["MNN", "onnx", "onnxscript"]
FILE = "model.mnn"


class Mnn(ExportedEngine):
    version = f"mnn {version('MNN')}"

    def __init__(self, models: list[Model], device: torch.device, options: Options) -> None:
        super().__init__(models, device, options)
        refuse_gpus("MNN", device)
        # without `high`, MNN computes in fp16 on processors that have fp16
        settings = {"backend": "CPU", "numThread": self.threads, "precision": "high"}
        self._manager = MNN.nn.create_runtime_manager((settings,))
        self._networks = [
            MNN.nn.load_module_from_file(
                str(model.exported / FILE), INPUTS, OUTPUTS, runtime_manager=self._manager
            )
            for model in models
        ]
        self._pixels = [
            MNN.expr.placeholder([1, 3, *model.image_size], MNN.expr.NCHW, MNN.expr.float)
            for model in models
        ]
        self._outputs: list[Any] = [None for _ in models]

    def run(self, index: int, pixels: torch.Tensor) -> list[np.ndarray]:
        self._pixels[index].write(pixels.numpy())
        # kept, because the arrays read from them are views that do not keep them alive
        self._outputs[index] = self._networks[index].onForward([self._pixels[index]])
        return [output.read() for output in self._outputs[index]]


def export(
    model: Model, device: torch.device, options: Options, samples: list[torch.Tensor], folder: Path
) -> None:
    """Writes the network of `model` to `folder`, converted from an ONNX file that it deletes."""
    # the converter itself, because MNN.tools around it installs a package and reports its use
    import _tools as tools

    refuse_gpus("MNN", device)
    source, file = folder / "model.onnx", folder / FILE
    write_onnx(model, samples[0], source)
    given = {"-f": "ONNX", "--modelFile": source.name, "--MNNModel": file.name}
    given["--bizCode"] = "effdet-bench"
    with contextlib.chdir(folder):  # for its temporary file, which always has the same name
        tools.mnnconvert(["mnnconvert", *(word for pair in given.items() for word in pair)])
    if not file.exists():
        raise BenchError(
            f"MNN cannot convert the network of {model.name}: see the log of this job, and install "
            "versions that work together, those of constraints.txt."
        )
    source.unlink()


def load(models: list[Model], device: torch.device, options: Options) -> ExportedEngine:
    return Mnn(models, device, options)
