"""Networks of equal architecture run by `torch.vmap` over their stacked weights."""

import copy
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, stack_module_state

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs
from effdet_bench.engines.joint import JointEngine, replace_sums

OPTIONS = {
    "rewritten": [False, True],
    "sparse_postprocess": [False, True],
}


class Vmap(JointEngine):
    version = f"torch {torch.__version__} vmap"

    def _build(self, bodies: list[nn.Module]) -> None:
        if self.options.get("rewritten"):
            for body in bodies:
                replace_sums(body, [body], channels=1)
        self._state = stack_module_state([body.to(self.device) for body in bodies])
        shape = copy.deepcopy(bodies[0]).to("meta")

        def one(state: tuple[dict[str, Any], dict[str, Any]], pixels: torch.Tensor) -> Outputs:
            outputs: Outputs = functional_call(shape, state, (pixels,))
            return outputs

        self._all = torch.vmap(one, in_dims=(0, None))

    def _run(self, pixels: torch.Tensor) -> list[Outputs]:
        features, boxes = self._all(self._state, pixels)
        return [
            ([level[index] for level in features], [level[index] for level in boxes])
            for index in range(len(self.models))
        ]


def load(models: list[Model], device: torch.device, options: Options) -> Vmap:
    return Vmap(models, device, options)
