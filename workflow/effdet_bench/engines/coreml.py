"""Core ML on Apple devices, on networks converted by coremltools."""

import platform
from pathlib import Path

import coremltools
import numpy as np
import torch

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.rewrite import Flat, mean_by_blocks
from effdet_bench.engines.base import ExportedEngine
from effdet_bench.errors import UnavailableError

OPTIONS = {
    "precision": ["fp32", "fp16"],
    "rewritten": [False, True],
    "sparse_postprocess": [False, True],
}
EXPORTS = {"fp32": "fp32", "fp16": "fp16"}
PACKAGES = ["coremltools"]
FILE = "model.mlpackage"


class CoreMl(ExportedEngine):
    version = f"coremltools {coremltools.__version__}"

    def __init__(self, models: list[Model], device: torch.device, options: Options) -> None:
        super().__init__(models, device, options)
        units = coremltools.ComputeUnit
        chosen = units.CPU_ONLY if device.type == "cpu" else units.ALL
        self._networks = [
            coremltools.models.MLModel(str(model.exported / FILE), compute_units=chosen)
            for model in models
        ]

    def run(self, index: int, pixels: torch.Tensor) -> list[np.ndarray]:
        found = self._networks[index].predict({"pixels": pixels.cpu().numpy()})
        return [found[name].astype(np.float32, copy=False) for name in ("classes", "boxes")]


def convert(network: torch.nn.Module, pixels: torch.Tensor, precision: str, path: Path) -> None:
    """Writes `network`, in `precision` (fp32 or fp16), to `path`; this runs on Linux too."""
    with torch.no_grad():
        exported = torch.export.export(Flat(mean_by_blocks(network)).eval(), (pixels,))
    kept = coremltools.precision.FLOAT16 if precision == "fp16" else coremltools.precision.FLOAT32
    coremltools.convert(
        exported.run_decompositions({}),
        inputs=[coremltools.TensorType(name="pixels", shape=pixels.shape)],
        outputs=[coremltools.TensorType(name=name) for name in ("classes", "boxes")],
        minimum_deployment_target=coremltools.target.macOS13,
        compute_precision=kept,
        skip_model_load=True,
    ).save(str(path))


def export(
    model: Model, device: torch.device, options: Options, samples: list[torch.Tensor], folder: Path
) -> None:
    """Writes the network of `model` to `folder`."""
    _refuse_other_systems(device)
    convert(model.network, samples[0], str(options["precision"]), folder / FILE)


def load(models: list[Model], device: torch.device, options: Options) -> ExportedEngine:
    _refuse_other_systems(device)
    return CoreMl(models, device, options)


def _refuse_other_systems(device: torch.device) -> None:
    if platform.system() != "Darwin":
        raise UnavailableError("Core ML runs on macOS alone.")
    if device.type == "cuda":
        raise UnavailableError("Core ML knows no NVIDIA GPU.")
