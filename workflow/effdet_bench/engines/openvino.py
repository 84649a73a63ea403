"""OpenVINO on the CPU, on networks converted to its own representation."""

from pathlib import Path

import numpy as np
import openvino
import torch

from effdet_bench.engine import ExportedEngine
from effdet_bench.ensemble import Model
from effdet_bench.errors import BenchError, UnavailableError
from effdet_bench.rewrite import Flat

OPTIONS = {"precision": ["fp32", "bf16", "int8"], "fused": [False, True]}
EXPORTS = {"fp32": "fp32", "bf16": "fp32", "int8": "int8"}
PACKAGES = ["openvino", "nncf"]
FILE = "model.xml"


class OpenVino(ExportedEngine):
    version = f"openvino {openvino.__version__}"

    def __init__(self, models: list[Model], device: torch.device, options: dict) -> None:
        super().__init__(models, device, options)
        core = openvino.Core()
        if device.type != "cpu":
            raise UnavailableError(f"OpenVINO runs on the CPU here, not on {device.type}.")
        able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if self.precision == "bf16" and "BF16" not in able:
            raise UnavailableError("this processor has no bfloat16 instructions for OpenVINO.")
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
        }
        compiled = [core.compile_model(m.export / FILE, "CPU", settings) for m in models]
        for one in compiled:
            used = one.get_property("INFERENCE_NUM_THREADS")
            if used != torch.get_num_threads():
                raise BenchError(
                    f"OpenVINO uses {used} threads instead of {torch.get_num_threads()}: "
                    "set `threads` in config.yaml to what this machine allows."
                )
        self._requests = [one.create_infer_request() for one in compiled]

    def run(self, index: int, pixels: torch.Tensor) -> list[np.ndarray]:
        request = self._requests[index]
        request.infer([pixels.numpy()], share_inputs=True)
        # not copied: they hold until this network is asked again, and answers are looked at before
        return [request.get_output_tensor(number).data for number in range(2)]


def export(
    model: Model, device: torch.device, options: dict, samples: list[torch.Tensor], folder: Path
) -> None:
    """Writes the network of `model` to `folder`; INT8 by NNCF's post-training quantisation."""
    pixels = samples[0]
    with torch.inference_mode():
        converted = openvino.convert_model(
            Flat(model.network).eval(), example_input=pixels, input=[pixels.shape]
        )
    if options["precision"] == "int8":
        import nncf  # takes seconds, and no timing needs it

        calibration = nncf.Dataset(samples, lambda sample: sample.numpy())
        converted = nncf.quantize(converted, calibration, subset_size=len(samples))
    openvino.save_model(converted, folder / FILE, compress_to_fp16=False)


def load(models: list[Model], device: torch.device, options: dict) -> ExportedEngine:
    return OpenVino(models, device, options)
