"""Networks of equal architecture as one network; each convolution has one group per network."""

import copy
from typing import Any

import torch
from torch import nn

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs
from effdet_bench.detector.rewrite import weigh_sums
from effdet_bench.engines.joint import JointEngine, replace_sums

OPTIONS = {
    "rewritten": [False, True],
    "sparse_postprocess": [False, True],
    "channels_last": [False, True],
}
NORM = ("weight", "bias", "running_mean", "running_var")


class Grouped(JointEngine):
    version = f"torch {torch.__version__}"

    def _build(self, bodies: list[nn.Module]) -> None:
        self._layout = torch.contiguous_format
        if self.options.get("channels_last"):
            self._layout = torch.channels_last
            self._predict = [one.to(memory_format=self._layout) for one in self._predict]
        self._network = group(bodies).to(self.device).to(memory_format=self._layout)

    def _run(self, pixels: torch.Tensor) -> list[Outputs]:
        count = len(self.models)
        joined = self._network(pixels.contiguous(memory_format=self._layout))
        features, boxes = ([level.chunk(count, 1) for level in levels] for levels in joined)
        return [
            ([level[index] for level in features], [level[index] for level in boxes])
            for index in range(count)
        ]


def group(networks: list[nn.Module]) -> nn.Module:
    """One network that returns the outputs of `networks`, joined along their channels.

    Changes `networks`. The first convolution has no groups, because all take the same pixels.
    """
    for network in networks:
        weigh_sums(network)
    joined: Any = copy.deepcopy(networks[0])
    replace_sums(joined, networks, joined.config.fpn_channels)
    named = [dict(network.named_modules()) for network in networks]
    for name, module in joined.named_modules():
        originals = [modules.get(name) for modules in named]
        if isinstance(module, nn.Conv2d):
            _join(module, originals, ("weight", "bias"))
            module.out_channels *= len(networks)
            if module.in_channels != 3:
                module.in_channels *= len(networks)
                module.groups *= len(networks)
        elif isinstance(module, nn.BatchNorm2d):
            _join(module, originals, NORM)
            module.num_features *= len(networks)
    network_of_all: nn.Module = joined
    return network_of_all


def _join(module: nn.Module, originals: list[Any], names: tuple[str, ...]) -> None:
    for name in names:
        parts = [getattr(original, name) for original in originals]
        if parts[0] is not None:
            joined = torch.cat([part.detach() for part in parts])
            setattr(module, name, nn.Parameter(joined, False) if name in NORM[:2] else joined)


def load(models: list[Model], device: torch.device, options: Options) -> Grouped:
    return Grouped(models, device, options)
