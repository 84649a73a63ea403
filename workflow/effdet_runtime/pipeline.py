"""One request in its stages: an encoded photo to one table of detections per model."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from PIL import Image

from effdet_runtime import boxes, photos
from effdet_runtime.networks import Networks, Wanted, library, share
from effdet_runtime.threads import side_by_side

T = TypeVar("T")


class Named(Protocol):
    """A model, of which a caller needs the name alone."""

    @property
    def name(self) -> str: ...


class Serves(Protocol):
    """What a detector needs: `Pipeline`, or another engine behind the same methods."""

    @property
    def models(self) -> Sequence[Named]: ...

    def answer(self, image: Image.Image) -> list[np.ndarray]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Model:
    """What a request needs to know of one model of the ensemble.

    `input_size` is (height, width) in pixels; `mean` and `std` are of RGB in [0, 1]; `anchors` is
    float32 [anchors, 4] in yxyx pixels of the network's input.
    """

    name: str
    input_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    anchors: np.ndarray
    rules: boxes.Rules


class Pipeline:
    """The stages of a request for `models`, which `networks` run one after the other.

    With `workers` above 1, so many models run side by side.
    """

    def __init__(self, models: Sequence[Model], networks: Networks, workers: int = 1) -> None:
        self.models = list(models)
        self._networks = networks
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None

    def prepare(self, index: int, image: Image.Image) -> photos.Input:
        """The input of network `index` for `image`."""
        model = self.models[index]
        return photos.prepare(image, model.input_size, model.mean, model.std)

    def run(self, index: int, pixels: np.ndarray) -> Sequence[np.ndarray]:
        """Outputs of network `index`: see `networks.Networks`."""
        return self._networks.run(index, pixels)

    def accept(self, batch: int) -> None:
        """Prepares for batches of `batch` photos, for which `run` then takes pixels."""
        self._networks.accept(batch)

    def table(
        self,
        index: int,
        classes: np.ndarray,
        regressions: np.ndarray,
        scale: np.float32,
        size: tuple[float, float],
    ) -> np.ndarray:
        """The detections of model `index` for one photo: see `boxes.detect`."""
        model = self.models[index]
        return boxes.detect(classes, regressions, model.anchors, scale, size, model.rules)

    def answer(self, image: Image.Image) -> list[np.ndarray]:
        """The table of each model for `image`."""

        def of_model(index: int) -> np.ndarray:
            given = self.prepare(index, image)
            classes, regressions = self.run(index, given.pixels)
            return self.table(index, classes[0], regressions[0], given.scale, given.size)

        return self.each_model(of_model)

    def each_model(self, task: Callable[[int], T]) -> list[T]:
        """Calls `task` with each model's index, in turn or side by side; returns all results."""
        if self._pool is None:
            return [task(index) for index in range(len(self.models))]
        return side_by_side(self._pool, task, [len(model.anchors) for model in self.models])

    def close(self) -> None:
        """Ends the threads of models that run side by side."""
        if self._pool is not None:
            self._pool.shutdown()


def open_pipeline(
    models: Sequence[Model],
    folders: Sequence[Path],
    library_name: str,
    precision: str,
    threads: int,
    parallel: bool,
) -> Pipeline:
    """A pipeline of `models`, whose networks lie in `folders`, on `threads` threads in all.

    Raises:
        BundleError: the library is not installed, or this machine cannot run the networks.
    """
    workers, each = share(len(models), threads, parallel)
    sizes = [model.input_size for model in models]
    wanted = Wanted(folders, sizes, precision, each, parallel)
    networks = library(library_name).Networks(wanted)
    return Pipeline(models, networks, workers)
