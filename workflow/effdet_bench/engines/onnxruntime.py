"""ONNX Runtime, on networks exported to ONNX."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from effdet_bench.config.modes import Options
from effdet_bench.detector.devices import synchronize
from effdet_bench.detector.ensemble import Model
from effdet_bench.engines.base import INPUTS, OUTPUTS, ExportedEngine, write_onnx
from effdet_bench.engines.lean import Lean
from effdet_bench.errors import UnavailableError
from effdet_bench.facts.machine import adds_bytes_exactly
from effdet_runtime.networks import onnxruntime as networks

OPTIONS = {
    "precision": ["fp32", "int8"],
    "rewritten": [False, True],
    "sparse_postprocess": [False, True],
    "lean": [False, True],
}
EXPORTS = {"fp32": "fp32", "int8": "int8"}
PACKAGES = ["onnxruntime", "onnx", "onnxscript"]
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "mps": "CoreMLExecutionProvider",
}
# Layers that INT8 leaves in fp32. So a trained D0 keeps 99 % of its accuracy, in 0.94 of the time
# of fp32. With every layer in 8 bits it keeps 95 %, in 0.92 of the time. Where sums saturate, it
# keeps 51 %: see `adds_bytes_exactly`.
KEPT = re.compile(r"\.(class_net|box_net|se)\b")
SCOPES = "pkg.torch.onnx.name_scopes"  # where the exporter writes the modules of a node


class OnnxRuntime(ExportedEngine):
    version = networks.VERSION

    def __init__(self, models: list[Model], device: torch.device, options: Options) -> None:
        super().__init__(models, device, options)
        settings = networks.settings(torch.get_num_threads())
        if device.type == "cuda" and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # of CUDA, those that came with torch
        # inputs and outputs in torch's memory: on a GPU, none passes through the host
        self._memory = device if device.type == "cuda" else torch.device("cpu")
        self._sessions = [self._session(model, settings) for model in models]
        self._tables = [self._room(model) for model in models]

    def _session(self, model: Model, settings: Any) -> Any:
        """The session of `model`, on its provider; UnavailableError if that does not load.

        Where a library of the provider is missing, ONNX Runtime only prints a line on the terminal
        and runs on the CPU.
        """
        name, given = self.provider(model)
        version = onnxruntime.__version__
        if name not in onnxruntime.get_available_providers():
            raise UnavailableError(
                f"the onnxruntime {version} that is installed has no {name}: install a build of it "
                "that has."
            )
        session = onnxruntime.InferenceSession(
            model.exported / networks.FILE, settings, providers=[(name, given)], enable_fallback=0
        )
        if session.get_providers()[0] != name:
            raise UnavailableError(
                f"onnxruntime {version} has {name}, but cannot load it, and would run on the CPU: "
                "install the libraries that it names on the terminal."
            )
        return session

    def provider(self, model: Model) -> tuple[str, dict[str, Any]]:
        """The provider to run `model` on, and its settings."""
        settings = {"use_tf32": "0"} if self.device.type == "cuda" else {}
        return PROVIDERS[self.device.type], settings

    def _room(self, model: Model) -> list[torch.Tensor]:
        return [
            torch.empty(1, len(model.anchors), values, device=self._memory)
            for values in (model.classes, 4)
        ]

    def run(self, index: int, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Tables that are valid until the next request; on an NVIDIA GPU, in its memory."""
        pixels = pixels.to(self._memory).contiguous()
        synchronize(self._memory)  # because ONNX Runtime computes in a stream of its own
        binding = self._sessions[index].io_binding()
        binding.bind_input(INPUTS[0], **_where(pixels))
        for name, table in zip(OUTPUTS, self._tables[index], strict=True):
            binding.bind_output(name, **_where(table))
        self._sessions[index].run_with_iobinding(binding)
        return self._tables[index]


def _where(tensor: torch.Tensor) -> dict[str, Any]:
    """The memory of a float32 `tensor`, as ONNX Runtime's bindings take it."""
    return {
        "device_type": tensor.device.type,
        "device_id": tensor.device.index or 0,
        "element_type": np.float32,
        "shape": tuple(tensor.shape),
        "buffer_ptr": tensor.data_ptr(),
    }


def export(
    model: Model, device: torch.device, options: Options, samples: list[torch.Tensor], folder: Path
) -> None:
    """Writes the network of `model` to `folder`; INT8 by ONNX Runtime's static quantisation."""
    write_onnx(model, samples[0], folder / networks.FILE)
    if options["precision"] == "int8":
        quantise(folder / networks.FILE, samples, device.type == "cpu" and not adds_bytes_exactly())


def quantise(path: Path, samples: list[torch.Tensor], saturates: bool) -> None:
    """Quantises the network in `path` to 8 bits, in place.

    If `saturates`, sums of products of 8 bits would saturate, so weights are quantised to 7 bits.
    """
    # here, because it imports half of onnx, which no timing needs
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Samples(CalibrationDataReader):  # type: ignore[misc]
        left = iter(samples)

        def get_next(self) -> dict[str, np.ndarray] | None:
            pixels = next(self.left, None)
            return None if pixels is None else {INPUTS[0]: pixels.numpy()}

    scopes = {
        node.name: one.value
        for node in onnx.load(path).graph.node
        for one in node.metadata_props
        if one.key == SCOPES
    }
    quantize_static(
        path,
        path,
        Samples(),
        per_channel=True,
        reduce_range=saturates,
        nodes_to_exclude=[name for name, scope in scopes.items() if KEPT.search(scope)],
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def load(models: list[Model], device: torch.device, options: Options) -> ExportedEngine:
    if options.get("lean"):
        return Lean("onnxruntime", models, device, options)
    return OnnxRuntime(models, device, options)
