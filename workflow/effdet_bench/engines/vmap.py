"""Networks of equal architecture run by `torch.vmap` over their stacked weights."""

import copy

import torch
from torch import nn
from torch.func import functional_call, stack_module_state

from effdet_bench.ensemble import Model
from effdet_bench.joint import JointEngine, replace_sums
from effdet_bench.postprocess import Outputs

OPTIONS = {"fused": [False, True]}


class Vmap(JointEngine):
    version = f"torch {torch.__version__} vmap"

    def _build(self, bodies: list[nn.Module]) -> None:
        if self.options.get("fused"):
            for body in bodies:
                replace_sums(body, [body], channels=1)
        self._state = stack_module_state([body.to(self.device) for body in bodies])
        shape = copy.deepcopy(bodies[0]).to("meta")

        def one(state: tuple[dict, dict], pixels: torch.Tensor) -> Outputs:
            return functional_call(shape, state, (pixels,))

        self._all = torch.vmap(one, in_dims=(0, None))

    def _run(self, pixels: torch.Tensor) -> list[Outputs]:
        features, boxes = self._all(self._state, pixels)
        return [
            ([level[index] for level in features], [level[index] for level in boxes])
            for index in range(len(self.models))
        ]


def load(models: list[Model], device: torch.device, options: dict) -> Vmap:
    return Vmap(models, device, options)
