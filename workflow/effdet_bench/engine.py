"""What an engine is: the executor of an ensemble's networks on one device.

A new engine is one new module in `effdet_bench.engines` whose `load(models, device, options)`
returns an `Engine`. A literal `OPTIONS` there names what modes may set, each with its values; what
a mode does not set is off. The request around it, and all timing, belong to the harness.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from types import ModuleType
from typing import TypeVar

import numpy as np
import torch

from effdet_bench.ensemble import Model
from effdet_bench.errors import BenchError, UnavailableError
from effdet_bench.postprocess import Outputs, detect, detect_sparingly

T = TypeVar("T")
# what PyTorch computes in, by precision
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Engine(ABC):
    """An ensemble loaded on a device.

    `version` is of the library that executes the networks. `precision` is that of the networks:
    fp32, tf32, bf16, fp16 or int8; it decides by which tolerances the answers are judged. Where the
    option `fused` is true, postprocessing looks only at what can become a detection. Where
    `parallel` is true, models run side by side: as many at a time as there are CPU threads, each on
    its share of them; on a GPU all of them, each on a stream of its own. `threads` is what one
    network may use of the CPU.
    """

    version: str

    def __init__(
        self, models: list[Model], device: torch.device, options: dict | None = None
    ) -> None:
        self.models = models
        self.device = device
        self.options = options or {}
        self.precision: str = self.options.get("precision", "fp32")
        self._anchors = [model.anchors.to(device) for model in models]
        parallel = bool(self.options.get("parallel"))
        workers = len(models) if parallel else 1
        if device.type == "cpu":
            workers = min(workers, torch.get_num_threads())
        self.threads = max(1, torch.get_num_threads() // workers)
        self._pool = ThreadPoolExecutor(workers, initializer=self._begin) if parallel else None

    @abstractmethod
    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        """Runs network `index` on float32 [1, 3, height, width]; may return before it is done.

        Returns:
            Class logits and box regressions, each a list over feature levels of
            [1, channels, height, width].
        """

    def map(self, task: Callable[[int], T], indices: Sequence[int]) -> Iterable[T]:
        """What `task` gives for each of the models' `indices`, in their order."""
        if self._pool is None:
            return map(task, indices)
        # the longest first, so that no thread is left with it alone
        order = sorted(indices, key=lambda index: -len(self.models[index].anchors))
        # torch knows inference mode thread by thread
        inferring = torch.inference_mode()(task)
        begun = {index: self._pool.submit(inferring, index) for index in order}
        return [begun[index].result() for index in indices]

    def _begin(self) -> None:
        """What a thread of `parallel` does first."""
        torch.set_num_threads(self.threads)
        if self.device.type == "cuda":
            torch.cuda.set_stream(torch.cuda.Stream(self.device))

    def postprocess(
        self, index: int, outputs: Outputs, scale: torch.Tensor, size: torch.Tensor
    ) -> torch.Tensor:
        """Detections of network `index` as `postprocess.detect` defines them."""
        model = self.models[index]
        sparingly = self.options.get("fused") is True and not model.network.config.soft_nms
        find = detect_sparingly if sparingly else detect
        return find(model, outputs, self._anchors[index], scale, size)


class ExportedEngine(Engine):
    """An engine of networks that were exported before, to the folder `model.export` of each.

    Its module has an `export(model, device, options, samples, folder)`, `samples` being what
    `Engine.forward` takes, to calibrate on; and a literal `EXPORTS` from each precision to that of
    the export which it runs on. An export returns tables, see `rewrite.Flat`.
    """

    @abstractmethod
    def run(self, index: int, pixels: torch.Tensor) -> list[np.ndarray]:
        """Class logits [1, anchors, classes] and box regressions [1, anchors, 4]."""

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        model = self.models[index]
        config = model.network.config
        tables = zip(self.run(index, pixels), (config.num_classes, 4), strict=True)
        return tuple(
            _levels(model, torch.from_numpy(table).to(self.device), values)
            for table, values in tables
        )


def _levels(model: Model, table: torch.Tensor, values: int) -> list[torch.Tensor]:
    """Views of `table` [1, anchors, values] as the levels of `Engine.forward`."""
    shape = (1, -1, model.anchors_per_cell * values)
    areas = [height * width for height, width in model.cells]
    return [
        level.unflatten(1, cells).permute(0, 3, 1, 2)
        for level, cells in zip(table.view(shape).split(areas, 1), model.cells, strict=True)
    ]


def load_engine(
    name: str, models: list[Model], device: torch.device, options: dict | None = None
) -> Engine:
    """Loads `models` into the engine `name` on `device`.

    Raises:
        UnavailableError: a package that the engine needs is not installed.
    """
    return engine_module(name).load(models, device, options or {})


def engine_module(name: str) -> ModuleType:
    """The module of the engine `name`.

    Raises:
        UnavailableError: a package that the engine needs is not installed.
    """
    try:
        return import_module(f"effdet_bench.engines.{name}")
    except ImportError as error:
        if (error.name or "").split(".")[0] == "effdet_bench":
            raise BenchError(f"there is no engine {name!r} in effdet_bench/engines/.") from None
        raise missing_package(name, error) from None


def missing_package(engine: str, error: ImportError) -> UnavailableError:
    """What to say where a package that `engine` needs cannot be imported."""
    package = (error.name or engine).split(".")[0]
    return UnavailableError(
        f"the engine {engine} needs the package {package}, which cannot be imported ({error}): "
        f"install with `pip install -e '.[{engine}]' -c constraints.txt`."
    )
