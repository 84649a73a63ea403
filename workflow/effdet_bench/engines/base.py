"""What an engine is: the executor of an ensemble's networks on one device.

A new engine is one new file in this folder whose `load(models, device, options)` returns an
`Engine`; docs/engines.md walks through one. The request around it, and all timing, belong to the
harness.
"""

import os
import shutil
import sysconfig
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import torch

from effdet_bench.config.declarations import FP32, declaration, engine_names
from effdet_bench.config.modes import Options
from effdet_bench.detector import request
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs, detect, detect_sparingly
from effdet_bench.detector.rewrite import Flat, mean_by_blocks
from effdet_bench.detector.static import detect_at_once
from effdet_bench.errors import BenchError, UnavailableError

T = TypeVar("T")
# what PyTorch computes in, by precision
TYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "int8")
# of exports whose format names them
INPUTS, OUTPUTS = ["pixels"], ["classes", "boxes"]


def allow_tf32(allowed: bool) -> None:
    """Whether fp32 of NVIDIA GPUs may be TF32, which it is in PyTorch's convolutions by default."""
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed


class Engine(ABC):
    """An ensemble loaded on a device.

    `version` is of the library that executes the networks. `precision` is that of the networks, one
    of `PRECISIONS`; it decides by which tolerances the answers are judged. Options that every
    engine may offer: with `sparse_postprocess`, postprocessing looks only at what can become a
    detection. With `parallel`, models run side by side: as many at a time as there are CPU threads,
    each on its share of them; on a GPU all of them, each on a stream of its own. `threads` is what
    one network may use of the CPU.
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
        """Called before the first network of a request, for engines that keep something of it."""

    def decode(self, encoded: bytes) -> Any:
        """The photo in `encoded`, as `preprocess` takes it."""
        return request.decode(encoded)

    def preprocess(self, index: int, photo: Any) -> request.ModelInput:
        """The input of network `index` of a decoded `photo`."""
        return request.preprocess(photo, self.models[index], self.device)

    def accept(self, photos: int) -> None:
        """Gets ready to be given `photos` at a time, besides what it was ready for before.

        Raises:
            UnavailableError: this engine's networks are made for one photo.
        """
        if photos > 1:
            raise UnavailableError("this engine's networks are made for one photo at a time.")

    @abstractmethod
    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        """Runs network `index` on float32 [photos, 3, height, width]; may return before it is done.

        It is one photo, unless the engine was asked to `accept` more.

        Returns:
            Class logits and box regressions, each a list over feature levels of
            [photos, channels, height, width].
        """

    def each_model(self, task: Callable[[int], T]) -> list[T]:
        """What `task` gives for the index of each model: one after the other, or side by side."""
        if self._pool is not None:
            return self._side_by_side(self._pool, task)
        return [task(index) for index in range(len(self.models))]

    def _side_by_side(self, pool: ThreadPoolExecutor, task: Callable[[int], T]) -> list[T]:
        indices = range(len(self.models))
        # the longest first, so that no thread is left with it alone
        order = sorted(indices, key=lambda index: -len(self.models[index].anchors))
        # torch knows inference mode thread by thread
        inferring = torch.inference_mode()(task)
        begun = {index: pool.submit(inferring, index) for index in order}
        return [begun[index].result() for index in indices]

    def _begin(self) -> None:
        """What a thread of `parallel` does first."""
        torch.set_num_threads(self.threads)
        if self.device.type == "cuda":
            torch.cuda.set_stream(torch.cuda.Stream(self.device))

    def postprocess(
        self, index: int, outputs: Outputs, scale: torch.Tensor, size: torch.Tensor
    ) -> torch.Tensor:
        """Detections of network `index` as `nms.detect` defines them."""
        model = self.models[index]
        find = detect
        if self.options.get("sparse_postprocess") and not model.config.soft_nms:
            # on a GPU, what asks for a value waits for all that was begun
            find = detect_at_once if self.device.type == "cuda" else detect_sparingly
        return find(model, outputs, self._anchors[index], scale, size)


class ExportedEngine(Engine):
    """An engine of networks that were exported before, to the folder `model.export` of each.

    Its file has an `export(model, device, options, samples, folder)`, `samples` being what
    `Engine.forward` takes, to calibrate on; and `EXPORTS` from each precision to that of the export
    which it runs on. An export returns tables, see `rewrite.Flat`.
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
    """Raises UnavailableError where `device` is none that `library` is run on here."""
    if device.type != "cpu":
        raise UnavailableError(f"{library} runs on the CPU here, not on {device.type}.")


def check_threads(library: str, used: int, wanted: int) -> None:
    """Raises BenchError where `library` would run on other than the `wanted` threads."""
    if used != wanted:
        raise BenchError(
            f"{library} uses {used} threads instead of {wanted}: "
            "set `threads` in config.yaml to what this machine allows."
        )


def check_triton(user: str) -> None:
    """Raises UnavailableError where Triton cannot build what `user` has it run on a GPU."""
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
    """Writes the network of `model`, with outputs as of `rewrite.Flat`, to `path` as ONNX."""
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


def load_engine(
    name: str, models: list[Model], device: torch.device, options: Options | None = None
) -> Engine:
    """Loads `models` into the engine `name` on `device`.

    Raises:
        UnavailableError: a package that the engine needs is not installed.
        BenchError: what the engine's file returns is no engine; the text names the file.
    """
    module = engine_module(name)
    try:
        engine = module.load(models, device, options or {})
    except Exception as error:
        error.add_note(f"while engines/{name}.py was loaded")
        raise
    if not isinstance(engine, Engine):
        raise BenchError(f"engines/{name}.py: load returns {engine!r}, which is no Engine.")
    if not isinstance(getattr(engine, "version", None), str):
        raise BenchError(f"engines/{name}.py: the engine has no `version`, a text.")
    if engine.precision not in PRECISIONS:
        raise BenchError(
            f"engines/{name}.py: the precision is {engine.precision!r}, but must be one of "
            f"{', '.join(PRECISIONS)}."
        )
    return engine


def engine_module(name: str) -> ModuleType:
    """The module of the engine `name`.

    Raises:
        UnavailableError: a package that the engine needs is not installed.
        BenchError: the file is not what an engine's must be; the text names it.
    """
    if name not in engine_names():
        raise BenchError(f"there is no engine {name!r}, as there is no file engines/{name}.py.")
    try:
        module = import_module(f"effdet_bench.engines.{name}")
    except ImportError as error:
        if (error.name or "").split(".")[0] == "effdet_bench":
            raise BenchError(f"engines/{name}.py cannot be imported: {error}.") from None
        raise missing_package(name, error) from None
    declaration(name)
    return module


def missing_package(engine: str, error: ImportError) -> UnavailableError:
    """What to say where a package that `engine` needs cannot be imported."""
    package = (error.name or engine).split(".")[0]
    return UnavailableError(
        f"the engine {engine} needs the package {package}, which cannot be imported ({error}): "
        f"install with `pip install -e '.[{engine}]' -c constraints.txt`."
    )
