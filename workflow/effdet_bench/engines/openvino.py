"""OpenVINO on the CPU, on networks converted to its own representation."""

import warnings
from pathlib import Path

import openvino
import torch

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.rewrite import Flat, mean_by_blocks
from effdet_bench.engines.base import ExportedEngine, refuse_gpus
from effdet_bench.engines.lean import Lean, as_tensor, translated
from effdet_runtime.networks import Wanted
from effdet_runtime.networks import openvino as networks

OPTIONS = {
    "precision": ["fp32", "bf16", "int8"],
    "rewritten": [False, True],
    "sparse_postprocess": [False, True],
    "parallel": [False, True],
    "lean": [False, True],
}
EXPORTS = {"fp32": "fp32", "bf16": "bf16", "int8": "int8"}
PACKAGES = ["openvino", "nncf"]
# Layers that INT8 leaves in 16 bits; measurements showed no loss of speed. D0's class error is
# 0.20, instead of about 0.35 with every layer in 8 bits. D1's and D2's stay above 0.3.
KEPT = [r".*class_net\..*", r".*box_net\..*", r".*\.fpn\..*", r".*\.se\..*", r".*\.conv_dw/.*"]


class OpenVino(ExportedEngine):
    version = networks.VERSION

    def __init__(self, models: list[Model], device: torch.device, options: Options) -> None:
        super().__init__(models, device, options)
        refuse_gpus("OpenVINO", device)
        folders, sizes = [m.exported for m in models], [m.image_size for m in models]
        parallel = bool(self.options.get("parallel"))
        with translated():
            self._networks = networks.Networks(
                Wanted(folders, sizes, self.precision, self.threads, parallel)
            )

    def accept(self, photos: int) -> None:
        self._networks.accept(photos)

    def run(self, index: int, pixels: torch.Tensor) -> list[torch.Tensor]:
        # not copied: the harness reads answers before the network runs again
        return [as_tensor(table) for table in self._networks.run(index, pixels.numpy())]


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
    openvino.save_model(converted, folder / networks.FILE, compress_to_fp16=False)


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
    if options.get("lean"):
        return Lean("openvino", models, device, options)
    return OpenVino(models, device, options)
