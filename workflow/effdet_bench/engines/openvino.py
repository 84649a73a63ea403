"""OpenVINO on the CPU, on networks converted to its own representation."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from openvino.preprocess import PrePostProcessor

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.rewrite import Flat, mean_by_blocks
from effdet_bench.engines.base import ExportedEngine, check_threads, refuse_gpus
from effdet_bench.errors import UnavailableError

OPTIONS = {
    "precision": ["fp32", "bf16", "int8"],
    "rewritten": [False, True],
    "sparse_postprocess": [False, True],
    "parallel": [False, True],
}
EXPORTS = {"fp32": "fp32", "bf16": "bf16", "int8": "int8"}
PACKAGES = ["openvino", "nncf"]
FILE = "model.xml"
# Layers that INT8 leaves in 16 bits; measurements showed no loss of speed. D0's class error is
# 0.20, instead of about 0.35 with every layer in 8 bits. D1's and D2's stay above 0.3.
KEPT = [r".*class_net\..*", r".*box_net\..*", r".*\.fpn\..*", r".*\.se\..*", r".*\.conv_dw/.*"]


class OpenVino(ExportedEngine):
    version = f"openvino {openvino.__version__}"

    def __init__(self, models: list[Model], device: torch.device, options: Options) -> None:
        super().__init__(models, device, options)
        refuse_gpus("OpenVINO", device)
        self._core = openvino.Core()
        able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if self.precision == "bf16" and "BF16" not in able:
            raise UnavailableError("this processor has no bfloat16 instructions for OpenVINO.")
        self._bf16 = self.precision != "fp32" and "BF16" in able
        self._settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": self.threads,
            # pinning would put networks that run side by side on the same cores
            "ENABLE_CPU_PINNING": not self.options.get("parallel"),
            "INFERENCE_PRECISION_HINT": "bf16" if self._bf16 else "f32",
        }
        self._requests: dict[int, list[Any]] = {}
        # One thread makes pybind11's first call for this type. Two threads of `parallel` that made
        # it at once would deadlock: one holds Python's lock, one pybind11's lock of first calls.
        openvino.Type.f32.to_dtype()
        self.accept(1)

    def accept(self, photos: int) -> None:
        """Compiles the networks for batches of `photos`; networks for any size would be slower."""
        if photos in self._requests:
            return
        networks = [self._network(model, photos) for model in self.models]
        compiled = [self._core.compile_model(one, "CPU", self._settings) for one in networks]
        for one in compiled:
            used = one.get_property("INFERENCE_NUM_THREADS")
            check_threads("OpenVINO", used, self.threads)
        self._requests[photos] = [one.create_infer_request() for one in compiled]

    def _network(self, model: Model, photos: int) -> openvino.Model:
        """The export of `model` for batches of `photos`.

        Where a network computes in bfloat16, its outputs stay in bfloat16, because writing a
        request's logits again in fp32 takes 7 of 118 ms on D0 + D1 + D2.
        """
        network = self._core.read_model(model.exported / FILE)
        if photos > 1:
            network.reshape([photos, 3, *model.image_size])
        if not self._bf16:
            return network
        steps = PrePostProcessor(network)
        for number in range(2):
            steps.output(number).tensor().set_element_type(openvino.Type.bf16)
        return steps.build()

    def run(self, index: int, pixels: torch.Tensor) -> list[torch.Tensor]:
        request = self._requests[len(pixels)][index]
        request.infer([pixels.numpy()], share_inputs=True)
        # not copied: valid until this network runs again, and the harness reads answers before that
        tables = [request.get_output_tensor(number).data for number in range(2)]
        if self._bf16:  # a type that NumPy does not have
            return [torch.from_numpy(t.view(np.int16)).view(torch.bfloat16) for t in tables]
        return [torch.from_numpy(table) for table in tables]


def export(
    model: Model, device: torch.device, options: Options, samples: list[torch.Tensor], folder: Path
) -> None:
    """Writes the network of `model` to `folder`; INT8 by NNCF's post-training quantisation."""
    refuse_gpus("OpenVINO", device)
    pixels = samples[0]
    exact = options["precision"] == "fp32"
    network = Flat(mean_by_blocks(model.network) if exact else model.network).eval()
    with torch.inference_mode(), warnings.catch_warnings():
        # the warnings are about sizes of layers, which are constants here
        warnings.filterwarnings("ignore", "Converting a tensor to a Python integer")
        # not torch.export: OpenVINO 2026.4 makes a graph of it that is a quarter slower
        traced = torch.jit.trace(network, pixels, check_trace=False)
    converted = openvino.convert_model(traced, input=[pixels.shape])
    if options["precision"] == "int8":
        converted = _quantise(converted, samples)
    openvino.save_model(converted, folder / FILE, compress_to_fp16=False)


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
