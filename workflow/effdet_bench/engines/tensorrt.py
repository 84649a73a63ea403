"""TensorRT in fp16, through ONNX Runtime's provider for it, on networks exported to ONNX.

The top-k of postprocessing stays outside the graph, because TensorRT allows at most k = 3,840.
"""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.engines import onnxruntime
from effdet_bench.engines.base import ExportedEngine
from effdet_bench.errors import UnavailableError

OPTIONS = {
    "precision": ["fp16"],
    "rewritten": [False, True],
    "sparse_postprocess": [False, True],
}
EXPORTS = {"fp16": "fp32"}
PACKAGES = ["onnxruntime-gpu", "onnx", "onnxscript", "tensorrt"]


class TensorRt(onnxruntime.OnnxRuntime):
    version = f"{onnxruntime.OnnxRuntime.version}, TensorRT"

    def provider(self, model: Model) -> tuple[str, dict[str, Any]]:
        cache = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(model.export)}
        return "TensorrtExecutionProvider", {"trt_fp16_enable": True, **cache}


def export(
    model: Model, device: torch.device, options: Options, samples: list[torch.Tensor], folder: Path
) -> None:
    """Writes the fp32 network of `model` to `folder`, and builds TensorRT's engine of it there."""
    _refuse_other_devices(device)
    onnxruntime.export(model, device, options, samples, folder)
    load([replace(model, export=folder)], device, options)


def load(models: list[Model], device: torch.device, options: Options) -> ExportedEngine:
    _refuse_other_devices(device)
    import_module("tensorrt")  # loads the libraries that ONNX Runtime looks for
    # always fp16: the check of an export passes the export's precision, fp32
    return TensorRt(models, device, {**options, "precision": "fp16"})


def _refuse_other_devices(device: torch.device) -> None:
    if device.type != "cuda":
        raise UnavailableError(f"TensorRT needs an NVIDIA GPU, and this is a mode on {device}.")
