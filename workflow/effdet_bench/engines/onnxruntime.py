"""ONNX Runtime, on networks exported to ONNX."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.rewrite import Flat, mean_by_rows
from effdet_bench.engines.base import ExportedEngine
from effdet_bench.errors import UnavailableError

OPTIONS = {
    "precision": ["fp32", "int8"],
    "rewritten": [False, True],
    "sparse_postprocess": [False, True],
}
EXPORTS = {"fp32": "fp32", "int8": "int8"}
PACKAGES = ["onnxruntime", "onnx", "onnxscript"]
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "mps": "CoreMLExecutionProvider",
}
FILE = "model.onnx"


class OnnxRuntime(ExportedEngine):
    version = f"onnxruntime {onnxruntime.__version__}"

    def __init__(self, models: list[Model], device: torch.device, options: Options) -> None:
        super().__init__(models, device, options)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        settings.inter_op_num_threads = 1
        # its threads would spin on after a request, into the next one of another mode
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        self._sessions = [
            onnxruntime.InferenceSession(
                model.exported / FILE, settings, providers=self._available(model)
            )
            for model in models
        ]

    def providers(self, model: Model) -> list[Any]:
        """What is to execute `model`: a name, or a name and settings."""
        return [PROVIDERS[self.device.type]]

    def _available(self, model: Model) -> list[Any]:
        wanted = self.providers(model)
        names = [one if isinstance(one, str) else one[0] for one in wanted]
        if missing := set(names) - set(onnxruntime.get_available_providers()):
            raise UnavailableError(
                f"the onnxruntime {onnxruntime.__version__} that is installed has no "
                f"{missing.pop()}: install a build of it that has."
            )
        return wanted

    def run(self, index: int, pixels: torch.Tensor) -> list[np.ndarray]:
        tables: list[np.ndarray] = self._sessions[index].run(None, {"pixels": pixels.cpu().numpy()})
        return tables


def export(
    model: Model, device: torch.device, options: Options, samples: list[torch.Tensor], folder: Path
) -> None:
    """Writes the network of `model` to `folder`; INT8 by ONNX Runtime's static quantisation."""
    torch.onnx.export(
        Flat(mean_by_rows(model.network)).eval(),
        (samples[0],),
        folder / FILE,
        input_names=["pixels"],
        output_names=["classes", "boxes"],
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    if options["precision"] == "int8":
        _quantise(folder / FILE, samples)


def _quantise(path: Path, samples: list[torch.Tensor]) -> None:
    # here, as it imports half of onnx, which no timing needs
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Samples(CalibrationDataReader):  # type: ignore[misc]
        left = iter(samples)

        def get_next(self) -> dict[str, np.ndarray] | None:
            pixels = next(self.left, None)
            return None if pixels is None else {"pixels": pixels.numpy()}

    quantize_static(
        path,
        path,
        Samples(),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def load(models: list[Model], device: torch.device, options: Options) -> ExportedEngine:
    return OnnxRuntime(models, device, options)
