"""The interface of engines: an engine runs the networks of an ensemble on one device.

A new engine is a module whose `load(models, device, options)` returns an `Engine`, in a package of
its own or in this folder; docs/engines.md shows an example. The harness does the rest of a request,
and all timing.
"""

import os
import shutil
import sysconfig
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from effdet_bench.config.declarations import FP32
from effdet_bench.config.modes import Options
from effdet_bench.detector import request
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs, detect, detect_sparingly
from effdet_bench.detector.rewrite import Flat, mean_by_blocks
from effdet_bench.detector.static import detect_at_once
from effdet_bench.errors import BenchError, UnavailableError
from effdet_runtime.threads import side_by_side

T = TypeVar("T")
# PyTorch's type of each precision
TYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
# in export formats that name inputs and outputs
INPUTS, OUTPUTS = ["pixels"], ["classes", "boxes"]


def allow_tf32(allowed: bool) -> None:
    """Allows or forbids TF32 for fp32 on NVIDIA GPUs; PyTorch's convolutions use it by default."""
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed


class Engine(ABC):
    """An ensemble loaded on a device.

    `version` is the version of the library that runs the networks. `precision` is the networks'
    precision, one of `PRECISIONS`; the gate's tolerances depend on it. `threads` is the number of
    CPU threads that one network may use.

    Every engine may offer two options. With `sparse_postprocess`, postprocessing skips boxes that
    cannot become detections. With `parallel`, models run side by side: on the CPU at most as many
    as there are threads, each on its share of them; on a GPU all, each on a stream of its own.
    """

    version: str

    def __init__(
        self, models: list[Model], device: torch.device, options: Options | None = None
    ) -> None:
        self.models = models
        self.device = device
        self.options = options or {}
        self.precision = str(self.options.get("precision", FP32))
        allow_tf32(self.precision == "tf32")
        self._anchors = [model.anchors.to(device) for model in models]
        parallel = bool(self.options.get("parallel"))
        workers = len(models) if parallel else 1
        if device.type == "cpu":
            workers = min(workers, torch.get_num_threads())
        self.threads = max(1, torch.get_num_threads() // workers)
        self._pool = ThreadPoolExecutor(workers, initializer=self._begin) if parallel else None

    def begin_request(self) -> None:  # noqa: B027 (most engines have nothing to do)
        """Called before a request's first network, for engines that keep data of a request."""

    def decode(self, encoded: bytes) -> Any:
        """The photo in `encoded`, in the form that `preprocess` takes."""
        return request.decode(encoded)

    def preprocess(self, index: int, photo: Any) -> request.ModelInput:
        """The input of network `index` for a decoded `photo`."""
        return request.preprocess(photo, self.models[index], self.device)

    def accept(self, photos: int) -> None:
        """Prepares for batches of `photos` photos, besides the sizes that it prepared for before.

        Raises:
            UnavailableError: this engine's networks take one photo at a time.
        """
        if photos > 1:
            raise UnavailableError("this engine's networks are made for one photo at a time.")

    @abstractmethod
    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        """Runs network `index` on float32 [photos, 3, height, width]; may return before it is done.

        `photos` is 1, or a number that `accept` was called with.

        Returns:
            Class logits and box regressions, each a list over feature levels of
            [photos, channels, height, width].
        """

    def each_model(self, task: Callable[[int], T]) -> list[T]:
        """Calls `task` with each model's index, in turn or side by side; returns all results."""
        if self._pool is not None:
            return self._side_by_side(self._pool, task)
        return [task(index) for index in range(len(self.models))]

    def _side_by_side(self, pool: ThreadPoolExecutor, task: Callable[[int], T]) -> list[T]:
        # torch's inference mode is a state of each thread
        inferring = torch.inference_mode()(task)
        return side_by_side(pool, inferring, [len(model.anchors) for model in self.models])

    def _begin(self) -> None:
        """Prepares a thread of `parallel`."""
        torch.set_num_threads(self.threads)
        if self.device.type == "cuda":
            torch.cuda.set_stream(torch.cuda.Stream(self.device))

    def postprocess(
        self, index: int, outputs: Outputs, scale: torch.Tensor, size: torch.Tensor
    ) -> torch.Tensor:
        """Detections of network `index` as `nms.detect` defines them."""
        find = detect
        if self.options.get("sparse_postprocess"):
            # on a GPU, reading a value waits for all work that was issued
            find = detect_at_once if self.device.type == "cuda" else detect_sparingly
        return find(self.models[index], outputs, self._anchors[index], scale, size)


class ExportedEngine(Engine):
    """An engine of networks that were exported before, each to the folder `model.export`.

    The engine's file has a function `export(model, device, options, samples, folder)`. `samples`
    are inputs of `Engine.forward`, to calibrate on. The file also has `EXPORTS`: for each precision
    of the engine, the precision of the export that it runs. An export returns tables: see
    `rewrite.Flat`.
    """

    @abstractmethod
    def run(self, index: int, pixels: torch.Tensor) -> Sequence[np.ndarray | torch.Tensor]:
        """Class logits [photos, anchors, classes] and box regressions [photos, anchors, 4]."""

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        model = self.models[index]
        classes, boxes = (
            torch.as_tensor(table).to(self.device) for table in self.run(index, pixels)
        )
        return _levels(model, classes, model.classes), _levels(model, boxes, 4)


def refuse_gpus(library: str, device: torch.device) -> None:
    """Raises UnavailableError unless `device` is the CPU, where alone `library` runs here."""
    if device.type != "cpu":
        raise UnavailableError(f"{library} runs on the CPU here, not on {device.type}.")


def check_threads(library: str, used: int, wanted: int) -> None:
    """Raises BenchError unless `library` uses as many threads as `wanted`."""
    if used != wanted:
        raise BenchError(
            f"{library} uses {used} threads instead of {wanted}: "
            "set `threads` in config.yaml to what this machine allows."
        )


def check_triton(user: str) -> None:
    """Raises UnavailableError where Triton cannot build kernels for `user`, a name in the text."""
    try:
        import_module("triton")
    except ImportError:
        raise UnavailableError(
            f"{user} needs the package triton, which is not installed."
        ) from None
    if not any(map(shutil.which, (os.environ.get("CC", "gcc"), "clang"))):
        raise UnavailableError(f"{user} needs a C compiler for Triton: install gcc.")
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        raise UnavailableError(
            f"{user} needs Python.h for Triton: install Python's development files (Debian: "
            "python3-dev)."
        )


def write_onnx(model: Model, pixels: torch.Tensor, path: Path) -> None:
    """Writes the network of `model` to `path` as ONNX, with the outputs of `rewrite.Flat`."""
    torch.onnx.export(
        Flat(mean_by_blocks(model.network)).eval(),
        (pixels,),
        path,
        input_names=INPUTS,
        output_names=OUTPUTS,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _levels(model: Model, table: torch.Tensor, values: int) -> list[torch.Tensor]:
    """Views of `table` [photos, anchors, values] as the levels of `Engine.forward`."""
    shape = (len(table), -1, model.anchors_per_cell * values)
    areas = [height * width for height, width in model.cells]
    return [
        level.unflatten(1, cells).permute(0, 3, 1, 2)
        for level, cells in zip(table.view(shape).split(areas, 1), model.cells, strict=True)
    ]
