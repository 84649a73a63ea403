"""OpenVINO on the CPU, with networks in its own representation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino
from openvino.preprocess import PrePostProcessor

from effdet_runtime.errors import BundleError

FILE = "model.xml"
VERSION = f"openvino {openvino.__version__}"


class Networks:
    """The networks in `folders`, compiled for inputs of `sizes` (height, width), one photo each.

    `precision` is fp32, bf16 or int8. Each network uses `threads` threads. `parallel` says that
    networks run side by side.

    Raises:
        BundleError: this processor cannot compute in `precision`, or OpenVINO does not take
            `threads`.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        sizes: Sequence[tuple[int, int]],
        precision: str,
        threads: int,
        parallel: bool,
    ) -> None:
        self._core = openvino.Core()
        able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and "BF16" not in able:
            raise BundleError(
                "this processor has no bfloat16 instructions for OpenVINO: use a mode in fp32."
            )
        self._folders, self._sizes, self._threads = folders, sizes, threads
        self._bf16 = precision != "fp32" and "BF16" in able
        self._settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            # pinning would put networks that run side by side on the same cores
            "ENABLE_CPU_PINNING": not parallel,
            "INFERENCE_PRECISION_HINT": "bf16" if self._bf16 else "f32",
        }
        self._requests: dict[int, list[openvino.InferRequest]] = {}
        # One thread makes pybind11's first call for this type. Two threads of `parallel` that made
        # it at once would deadlock: one holds Python's lock, one pybind11's lock of first calls.
        openvino.Type.f32.to_dtype()
        self.accept(1)

    def accept(self, photos: int) -> None:
        """Compiles the networks for batches of `photos`; networks for any size would be slower."""
        if photos in self._requests:
            return
        networks = [self._network(index, photos) for index in range(len(self._folders))]
        compiled = [self._core.compile_model(one, "CPU", self._settings) for one in networks]
        for one in compiled:
            if (used := one.get_property("INFERENCE_NUM_THREADS")) != self._threads:
                raise BundleError(
                    f"OpenVINO uses {used} threads instead of {self._threads}: set `threads` to "
                    "what this machine allows."
                )
        self._requests[photos] = [one.create_infer_request() for one in compiled]

    def _network(self, index: int, photos: int) -> openvino.Model:
        """Network `index` for batches of `photos`.

        Where a network computes in bfloat16, its outputs stay in bfloat16, because writing a
        request's logits again in fp32 takes 7 of 118 ms on D0 + D1 + D2.
        """
        network = self._core.read_model(self._folders[index] / FILE)
        if photos > 1:
            network.reshape([photos, 3, *self._sizes[index]])
        if not self._bf16:
            return network
        steps = PrePostProcessor(network)
        for number in range(2):
            steps.output(number).tensor().set_element_type(openvino.Type.bf16)
        return steps.build()

    def run(self, index: int, pixels: np.ndarray) -> list[np.ndarray]:
        """Outputs of network `index`, not copied: see `effdet_runtime.networks.Networks`."""
        request = self._requests[len(pixels)][index]
        request.infer([pixels], share_inputs=True)
        tables = [request.get_output_tensor(number).data for number in range(2)]
        return [table.view(np.int16) for table in tables] if self._bf16 else tables
