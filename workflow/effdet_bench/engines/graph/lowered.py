"""Rewritten networks for GPUs: Triton kernels for what memory bandwidth limits, cuBLAS for 1×1.

Nothing is approximated: sums are the same in another order, with fewer roundings in between.
"""

import copy
from typing import Any

import torch
from timm.layers.helpers import to_2tuple
from timm.layers.padding import get_same_padding
from torch import nn

from effdet_bench.detector.rewrite import WeightedSum
from effdet_bench.detector.upstream import (
    DepthwiseSeparableConv,
    Fnode,
    InvertedResidual,
    ResampleFeatureMap,
    SqueezeExcite,
)
from effdet_bench.engines.graph.kernels import (
    AS_IT_IS,
    ENLARGED,
    POOLED,
    Part,
    depthwise,
    weighted_sum,
)
from effdet_bench.errors import UnavailableError


def lowered(network: nn.Module) -> nn.Module:
    """A copy of `network` that runs on the layers of this file.

    `network` must come from `rewrite.rewritten`, with BatchNorm folded, in channels-last memory.
    """
    copied = copy.deepcopy(network)
    for module in list(copied.modules()):
        if isinstance(module, InvertedResidual | DepthwiseSeparableConv):
            _lower_block(module)
        elif isinstance(module, Fnode):
            _lower_node(module)
    _lower_children(copied)
    return copied


class Pointwise(nn.Module):
    """A 1×1 convolution as a matrix product, which adds the bias itself."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.bias is not None, "BatchNorm is folded, which leaves one"
        self.register_buffer("weight", conv.weight.detach().flatten(1))
        self.register_buffer("bias", conv.bias.detach())

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.product(maps, self.weight)

    def product(self, maps: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The convolution with `weight` [output channels, input channels] instead of its own."""
        height, width = maps.shape[2:]
        pixels = maps.permute(0, 2, 3, 1).reshape(height * width, -1)
        result = torch.addmm(self.bias, pixels, weight.t())
        return result.view(1, height, width, -1).permute(0, 3, 1, 2)


class Depthwise(nn.Module):
    """A depthwise convolution, with or without SiLU after it."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, conv: nn.Conv2d, silu: bool = False) -> None:
        super().__init__()
        self.kernel, self.stride = conv.kernel_size[0], conv.stride[0]
        self.padding = to_2tuple(conv.padding) if any(conv.padding) else None
        self.silu = silu
        self.register_buffer("weight", conv.weight.detach().flatten(1).t().contiguous())
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach())

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.run(maps, False)[0]

    def run(self, maps: torch.Tensor, means: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """The result and its partial means: see `kernels.depthwise`."""
        sides = list(map(int, maps.shape[2:]))
        size = [-(-side // self.stride) for side in sides]
        # a convolution that pads as TensorFlow does has no padding of its own
        margins = self.padding or [
            get_same_padding(side, self.kernel, self.stride, 1) // 2 for side in sides
        ]
        return depthwise(
            maps,
            self.weight,
            self.bias,
            self.stride,
            (size[0], size[1]),
            (margins[0], margins[1]),
            self.silu,
            means,
        )


class GatedTail(nn.Module):
    """A block from its depthwise convolution on: SiLU, squeeze and excitation, and projection.

    The gate multiplies the projection's weights, because they are fewer than the map's values.
    """

    def __init__(self, conv: nn.Conv2d, gate: Any, projection: nn.Conv2d) -> None:
        super().__init__()
        self.depthwise = Depthwise(conv, silu=True)
        self.reduce, self.expand = Pointwise(gate.conv_reduce), Pointwise(gate.conv_expand)
        self.projection = Pointwise(projection)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        maps, parts = self.depthwise.run(maps, True)
        means = parts.sum(0, keepdim=True).to(maps.dtype)
        squeezed = torch.addmm(self.reduce.bias, means, self.reduce.weight.t())
        excited = torch.addmm(
            self.expand.bias, nn.functional.silu(squeezed), self.expand.weight.t()
        )
        return self.projection.product(maps, self.projection.weight * excited.sigmoid())


class Sum(nn.Module):
    """A BiFPN node's `WeightedSum`, the resampling of its inputs, and the activation after it."""

    def __init__(self, combine: WeightedSum, silu: bool) -> None:
        super().__init__()
        self.offsets, self.weights, self.silu = combine.offsets, combine.weights, silu
        self.inputs = nn.ModuleList(map(Resampled, combine.resample))

    def forward(self, x: list[torch.Tensor]) -> torch.Tensor:
        inputs: Any = self.inputs
        parts = [
            one.part(x[offset], weight)
            for one, offset, weight in zip(inputs, self.offsets, self.weights, strict=True)
        ]
        return weighted_sum(parts, inputs[0].size, self.silu)


class Resampled(nn.Module):
    """effdet's resampling to another level: the convolution; `weighted_sum` does the resizing."""

    def __init__(self, resample: Any) -> None:
        super().__init__()
        conv = getattr(resample, "conv", None)
        self.conv = nn.Identity() if conv is None else conv.conv
        self.size: tuple[int, int] = resample.output_size
        self.how, self.margins = AS_IT_IS, (0, 0)
        pool = getattr(resample, "downsample", None)
        if pool is not None:
            asked = [to_2tuple(getattr(pool, key)) for key in ("kernel_size", "stride")]
            if not isinstance(pool, nn.MaxPool2d) or asked != [(3, 3), (2, 2)]:
                raise UnavailableError(f"no kernel of this engine does what {pool} does.")
            self.how, self.margins = POOLED, to_2tuple(pool.padding)
        elif hasattr(resample, "upsample"):
            self.how = ENLARGED

    def part(self, maps: torch.Tensor, weight: float = 1.0) -> Part:
        """`maps` as an input of `weighted_sum`."""
        return Part(self.conv(maps), self.how, weight, self.margins)


class Pooled(nn.Module):
    """A resampling that pools, outside of any BiFPN node."""

    def __init__(self, resample: Any) -> None:
        super().__init__()
        self.resampled = Resampled(resample)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return weighted_sum([self.resampled.part(maps)], self.resampled.size)


def is_depthwise(conv: nn.Conv2d) -> bool:
    """Whether each output channel of `conv` depends on one input channel."""
    return conv.groups == conv.in_channels == conv.out_channels


def _lower_children(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, ResampleFeatureMap) and hasattr(child, "downsample"):
            setattr(module, name, Pooled(child))
        elif isinstance(child, nn.Conv2d) and is_depthwise(child):
            setattr(module, name, Depthwise(child))
        elif isinstance(child, nn.Conv2d) and child.kernel_size == (1, 1):
            setattr(module, name, Pointwise(child))
        _lower_children(getattr(module, name))


def _lower_block(block: Any) -> None:
    """Replaces the end of a backbone's block by a `GatedTail`, if the block has a gate."""
    inverted = isinstance(block, InvertedResidual)
    norm, last, end = ("bn2", "conv_pwl", "bn3") if inverted else ("bn1", "conv_pw", "bn2")
    # folding has replaced BatchNorm by its activation
    if not isinstance(block.se, SqueezeExcite) or not isinstance(getattr(block, norm), nn.SiLU):
        return
    block.conv_dw = GatedTail(block.conv_dw, block.se, getattr(block, last))
    for name in (norm, "se", last, end):
        setattr(block, name, nn.Identity())


def _lower_node(node: Any) -> None:
    activated = isinstance(node.after_combine[0], nn.SiLU)
    node.combine = Sum(node.combine, activated)
    if activated:
        node.after_combine[0] = nn.Identity()
