"""Libraries that run networks, one module for each; a module is imported only where it is used."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from effdet_runtime.errors import BundleError


class Wanted(NamedTuple):
    """Which networks to load: those in `folders`, for inputs of `sizes` (height, width) in pixels.

    `precision` is fp32, bf16 or int8. Each network uses `threads` threads. `parallel` says that
    networks run side by side.
    """

    folders: Sequence[Path]
    sizes: Sequence[tuple[int, int]]
    precision: str
    threads: int
    parallel: bool


class Networks(Protocol):
    """The networks of an ensemble, loaded for one photo at a time."""

    def accept(self, photos: int) -> None:
        """Prepares for batches of `photos`, besides the sizes that it prepared for before."""

    def run(self, index: int, pixels: np.ndarray) -> Sequence[np.ndarray]:
        """Runs network `index` on float32 `pixels` [photos, 3, height, width].

        Returns:
            Class logits [photos, anchors, classes] and box regressions [photos, anchors, 4], as
            float32, or as int16 with the bits of bfloat16. They are valid until the network runs
            again.
        """


def library(name: str) -> Any:
    """The module of the library `name`, with `VERSION` and the class `Networks`.

    Raises:
        BundleError: the package is not installed.
    """
    try:
        return import_module(f"effdet_runtime.networks.{name}")
    except ImportError as error:
        raise BundleError(
            f"the package {name} cannot be imported ({error}): `pip install` the bundle's folder."
        ) from None


def share(models: int, threads: int, parallel: bool) -> tuple[int, int]:
    """How many networks run side by side, and the threads of each, of `threads` in all.

    On two threads, three networks run two at a time, each on one thread: `share(3, 2, True)` is
    (2, 1).
    """
    workers = min(models, threads) if parallel else 1
    return workers, max(1, threads // workers)
