"""What an engine is: the executor of an ensemble's networks on one device.

A new engine is one new module in `effdet_bench.engines` whose `load(models, device)` returns an
`Engine`. The request around it, and all timing, belong to the harness.
"""

from abc import ABC, abstractmethod
from importlib import import_module

import torch

from effdet_bench.ensemble import Model
from effdet_bench.errors import BenchError, UnavailableError
from effdet_bench.postprocess import Outputs, detect


class Engine(ABC):
    """An ensemble loaded on a device.

    `version` is of the library that executes the networks. `precision` is that of the networks:
    fp32, tf32, bf16, fp16 or int8; it decides by which tolerances the answers are judged.
    """

    version: str
    precision = "fp32"

    def __init__(self, models: list[Model], device: torch.device) -> None:
        self.models = models
        self.device = device
        self._anchors = [model.anchors.to(device) for model in models]

    @abstractmethod
    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        """Runs network `index` on float32 [1, 3, height, width]; may return before it is done.

        Returns:
            Class logits and box regressions, each a list over feature levels of
            [1, channels, height, width].
        """

    def postprocess(
        self, index: int, outputs: Outputs, scale: torch.Tensor, size: torch.Tensor
    ) -> torch.Tensor:
        """Detections of network `index` as `postprocess.detect` defines them."""
        return detect(self.models[index], outputs, self._anchors[index], scale, size)


def load_engine(name: str, models: list[Model], device: torch.device) -> Engine:
    """Loads `models` into the engine `name` on `device`.

    Raises:
        UnavailableError: a package that the engine needs is not installed.
    """
    try:
        module = import_module(f"effdet_bench.engines.{name}")
    except ImportError as error:
        package = (error.name or name).split(".")[0]
        if package == "effdet_bench":
            raise BenchError(f"there is no engine {name!r} in effdet_bench/engines/.") from None
        raise UnavailableError(
            f"the engine {name} needs the package {package}, which cannot be imported ({error}): "
            "install it into this environment."
        ) from None
    return module.load(models, device)
