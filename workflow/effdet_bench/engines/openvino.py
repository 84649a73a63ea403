"""OpenVINO on the CPU, on networks converted to its own representation."""

from pathlib import Path

import numpy as np
import openvino
import torch
from openvino import opset13 as opset

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.rewrite import Flat
from effdet_bench.engines.base import ExportedEngine
from effdet_bench.errors import BenchError, UnavailableError

OPTIONS = {
    "precision": ["fp32", "bf16", "int8"],
    "rewritten": [False, True],
    "sparse_postprocess": [False, True],
    "parallel": [False, True],
}
EXPORTS = {"fp32": "fp32", "bf16": "fp32", "int8": "int8"}
PACKAGES = ["openvino", "nncf"]
FILE = "model.xml"
# Layers that INT8 leaves in 16 bit, at no cost of speed where it was measured. D0's class error is
# 0.20 then, and about 0.35 with everything in 8 bit; D1 and D2 stay above 0.3 all the same.
KEPT = [r".*class_net\..*", r".*box_net\..*", r".*\.fpn\..*", r".*\.se\..*", r".*\.conv_dw/.*"]


class OpenVino(ExportedEngine):
    version = f"openvino {openvino.__version__}"

    def __init__(self, models: list[Model], device: torch.device, options: Options) -> None:
        super().__init__(models, device, options)
        if device.type != "cpu":
            raise UnavailableError(f"OpenVINO runs on the CPU here, not on {device.type}.")
        core = openvino.Core()
        able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if self.precision == "bf16" and "BF16" not in able:
            raise UnavailableError("this processor has no bfloat16 instructions for OpenVINO.")
        reduced = self.precision != "fp32"
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": self.threads,
            # networks side by side would be pinned to the same cores
            "ENABLE_CPU_PINNING": not self.options.get("parallel"),
            "INFERENCE_PRECISION_HINT": "bf16" if reduced and "BF16" in able else "f32",
        }
        compiled = [core.compile_model(m.exported / FILE, "CPU", settings) for m in models]
        for one in compiled:
            used = one.get_property("INFERENCE_NUM_THREADS")
            if used != self.threads:
                raise BenchError(
                    f"OpenVINO uses {used} threads instead of {self.threads}: "
                    "set `threads` in config.yaml to what this machine allows."
                )
        self._requests = [one.create_infer_request() for one in compiled]

    def run(self, index: int, pixels: torch.Tensor) -> list[np.ndarray]:
        request = self._requests[index]
        request.infer([pixels.numpy()], share_inputs=True)
        # not copied: they hold until this network is asked again, and answers are looked at before
        return [request.get_output_tensor(number).data for number in range(2)]


def export(
    model: Model, device: torch.device, options: Options, samples: list[torch.Tensor], folder: Path
) -> None:
    """Writes the network of `model` to `folder`; INT8 by NNCF's post-training quantisation."""
    pixels = samples[0]
    with torch.inference_mode():
        # not by torch.export, from which OpenVINO 2026.4 makes a graph that is a quarter slower
        traced = torch.jit.trace(Flat(model.network).eval(), pixels, check_trace=False)
    converted = openvino.convert_model(traced, input=[pixels.shape])
    if options["precision"] == "int8":
        converted = _quantise(converted, samples)
    _mean_by_rows(converted)
    openvino.save_model(converted, folder / FILE, compress_to_fp16=False)


def _mean_by_rows(network: openvino.Model) -> None:
    """Has `network` take means over a layer as `rewrite.MeanByRows` does, which OpenVINO undoes.

    Where layers lie in blocks of channels (AVX2), OpenVINO 2026.4 adds all values of a channel one
    after another: over 16,384 of them its mean is 2e-4 off, and what follows 14 to 167 times as far
    from PyTorch's as in another order of sums. It merges two means into one, but not this pooling
    of rows, which takes no longer.
    """
    for mean in network.get_ordered_ops():
        if mean.get_type_name() == "ReduceMean":
            layer = mean.input_value(0)
            row = [1, layer.get_shape()[3]]
            rows = opset.avg_pool(layer, [1, 1], [0, 0], [0, 0], row, exclude_pad=True)
            added = opset.reduce_mean(rows, opset.constant([2]), keep_dims=True)
            mean.output(0).replace(added.output(0))


def _quantise(network: openvino.Model, samples: list[torch.Tensor]) -> openvino.Model:
    import nncf  # takes seconds, and no timing needs it

    return nncf.quantize(
        network,
        nncf.Dataset(samples, lambda sample: sample.numpy()),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(samples),
        ignored_scope=nncf.IgnoredScope(patterns=KEPT, validate=False),
    )


def load(models: list[Model], device: torch.device, options: Options) -> ExportedEngine:
    return OpenVino(models, device, options)
