"""ONNX Runtime on the CPU, with networks in ONNX."""

from collections.abc import Sequence

import numpy as np
import onnxruntime

from effdet_runtime.errors import BundleError
from effdet_runtime.networks import Wanted

FILE = "model.onnx"
INPUT, OUTPUTS = "pixels", ["classes", "boxes"]
VERSION = f"onnxruntime {onnxruntime.__version__}"


def settings(threads: int) -> onnxruntime.SessionOptions:
    """Settings of a session whose network uses `threads` threads."""
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = threads
    chosen.inter_op_num_threads = 1
    # otherwise its threads spin on after a request, and take the processor from other work
    chosen.add_session_config_entry("session.force_spinning_stop", "1")
    return chosen


class Networks:
    """The `wanted` networks; their files alone decide what ONNX Runtime computes in."""

    def __init__(self, wanted: Wanted) -> None:
        self._sessions = [
            onnxruntime.InferenceSession(
                folder / FILE, settings(wanted.threads), providers=["CPUExecutionProvider"]
            )
            for folder in wanted.folders
        ]

    def accept(self, photos: int) -> None:
        """Raises BundleError for more than one photo, which the exported networks take at most."""
        if photos > 1:
            raise BundleError("these networks are made for one photo at a time.")

    def run(self, index: int, pixels: np.ndarray) -> Sequence[np.ndarray]:
        """Outputs of network `index`: see `effdet_runtime.networks.Networks`."""
        tables: list[np.ndarray] = self._sessions[index].run(OUTPUTS, {INPUT: pixels})
        return tables
