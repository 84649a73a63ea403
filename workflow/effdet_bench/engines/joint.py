"""Engines that run all networks of an ensemble as one; for networks of one architecture."""

import copy
from abc import abstractmethod
from typing import Any

import torch
from torch import nn

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs
from effdet_bench.detector.rewrite import WeightedSum, rewritten
from effdet_bench.engines.base import Engine
from effdet_bench.errors import UnavailableError


class JointEngine(Engine):
    """Runs all networks at once, in the first `forward` of a request: their inputs are equal.

    Numbers of classes may differ, so each network keeps its own layer that predicts classes.

    Raises:
        UnavailableError: the networks are not of one architecture.
    """

    def __init__(self, models: list[Model], device: torch.device, options: Options) -> None:
        super().__init__(models, device, options)
        architectures = list(dict.fromkeys(str(model.config.name) for model in models))
        if len(architectures) > 1 or len(models) == 1:
            raise UnavailableError(
                "running several networks as one needs an ensemble of equal architectures, and "
                f"this one is {', '.join(architectures)}: see three-d0.yaml."
            )
        networks: list[Any] = [model.network for model in models]
        self._predict = [copy.deepcopy(n.class_net.predict).to(device) for n in networks]
        bodies = [_body(model.network) for model in models]
        self._build([rewritten(body) if self.options.get("rewritten") else body for body in bodies])
        self._outputs: list[Outputs] | None = None

    @abstractmethod
    def _build(self, bodies: list[nn.Module]) -> None:
        """Makes one network of `bodies`, which return class features instead of class logits."""

    @abstractmethod
    def _run(self, pixels: torch.Tensor) -> list[Outputs]:
        """What each of the bodies returns for `pixels`."""

    def begin_request(self) -> None:
        self._outputs = None

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        if self._outputs is None:
            self._outputs = self._run(pixels)
        features, boxes = self._outputs[index]
        return [self._predict[index](level) for level in features], boxes


class TensorSum(WeightedSum):
    """A `WeightedSum` with weights in a tensor, so that they may differ between networks.

    `sums` has one sum of each network. `channels` consecutive channels belong to each network.
    """

    def __init__(self, sums: list[WeightedSum], channels: int) -> None:
        nn.Module.__init__(self)
        self.offsets, self.resample = sums[0].offsets, sums[0].resample
        weights = torch.tensor([one.weights for one in sums]).T.repeat_interleave(channels, 1)
        self.register_buffer("weights", weights[..., None, None])

    def add(self, total: torch.Tensor, node: torch.Tensor, weight: Any) -> torch.Tensor:
        return torch.addcmul(total, node, weight)


def replace_sums(network: nn.Module, like: list[nn.Module], channels: int) -> None:
    """Replaces every `WeightedSum` of `network` by a `TensorSum` with the weights of `like`."""
    named = [dict(one.named_modules()) for one in like]
    for name, module in list(network.named_modules()):
        if isinstance(module, WeightedSum):
            network.set_submodule(name, TensorSum([one[name] for one in named], channels))


def _body(network: nn.Module) -> nn.Module:
    body: Any = copy.deepcopy(network)
    body.class_net.predict = nn.Identity()
    module: nn.Module = body
    return module
