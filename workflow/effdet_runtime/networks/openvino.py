"""OpenVINO on the CPU, with networks in its own representation."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openvino
from openvino.preprocess import PrePostProcessor

from effdet_runtime.errors import BundleError
from effdet_runtime.networks import Wanted

FILE = "model.xml"
VERSION = f"openvino {openvino.__version__}"


class Networks:
    """The `wanted` networks, compiled for one photo each.

    Raises:
        BundleError: this processor cannot compute in the precision, or OpenVINO does not take the
            number of threads.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._core = openvino.Core()
        able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if wanted.precision == "bf16" and "BF16" not in able:
            raise BundleError(
                "this processor has no bfloat16 instructions for OpenVINO: use a mode in fp32."
            )
        self._wanted = wanted
        self._bf16 = wanted.precision != "fp32" and "BF16" in able
        self._settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": wanted.threads,
            # pinning would put networks that run side by side on the same cores
            "ENABLE_CPU_PINNING": not wanted.parallel,
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
        networks = [self._network(index, photos) for index in range(len(self._wanted.folders))]
        # Side by side, because the compiler leaves cores idle. On two cores (Zen 4), D0 + D1 + D2
        # take 1.1 instead of 1.6 s, and 515 instead of 500 MB at peak.
        with ThreadPoolExecutor() as pool:
            compiled = list(pool.map(self._compile, networks))
        for one in compiled:
            if (used := one.get_property("INFERENCE_NUM_THREADS")) != self._wanted.threads:
                raise BundleError(
                    f"OpenVINO uses {used} threads instead of {self._wanted.threads}: "
                    "set `threads` to what this machine allows."
                )
        self._requests[photos] = [one.create_infer_request() for one in compiled]

    def _compile(self, network: openvino.Model) -> openvino.CompiledModel:
        return self._core.compile_model(network, "CPU", self._settings)

    def _network(self, index: int, photos: int) -> openvino.Model:
        """Network `index` for batches of `photos`.

        Where a network computes in bfloat16, its outputs stay in bfloat16, because writing a
        request's logits again in fp32 takes 7 of 118 ms on D0 + D1 + D2.
        """
        network = self._core.read_model(self._wanted.folders[index] / FILE)
        if photos > 1:
            network.reshape([photos, 3, *self._wanted.sizes[index]])
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
