"""The option `rewritten`: effdet networks that compute the same in fewer passes over memory.

Nothing is approximated. Outputs differ from upstream's by rounding alone, because sums are the same
in another order.
"""

import copy
import itertools
from typing import Any

import effdet
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from effdet_bench.detector.upstream import (
    FpnCombine,
    HeadNet,
    MaxPool2dSame,
    ResampleFeatureMap,
    SqueezeExcite,
)

EPSILON = 1e-4  # what effdet adds to the sum of edge weights (its `fastattn`)
BLOCK = 8  # side of the blocks of a feature map that `MeanByBlocks` averages


def rewritten(network: effdet.EfficientDet, folded: bool = True) -> nn.Module:
    """A copy of `network` with fewer passes over memory; `network` must be in evaluation mode.

    BiFPN nodes add up their weighted inputs without stacking them. Pooling makes no padded copy of
    its input. If `folded`, BatchNorm is folded into convolutions. The copy takes and returns what
    `network` does.
    """
    copied: Any = copy.deepcopy(network)
    weigh_sums(copied)
    if folded:
        copied.class_net = LevelHeads(copied.class_net)
        copied.box_net = LevelHeads(copied.box_net)
    for module in list(copied.modules()):
        if folded:
            _fold_children(module)
        if isinstance(module, ResampleFeatureMap):
            _pool_without_padding(module)
    rewritten_network: nn.Module = copied
    return rewritten_network


def weigh_sums(network: nn.Module) -> None:
    """Replaces every BiFPN node of `network` by a `WeightedSum`."""
    for name, module in list(network.named_modules()):
        if isinstance(module, FpnCombine):
            network.set_submodule(name, WeightedSum(module))


class WeightedSum(nn.Module):
    """A BiFPN node: the sum of its inputs, resized to one size, times constant weights.

    effdet computes the weights in every forward pass, and stacks the inputs to sum over them.
    """

    def __init__(self, combine: FpnCombine) -> None:
        super().__init__()
        self.offsets = combine.inputs_offsets
        self.resample = nn.ModuleList(combine.resample.values())
        self.weights = _edge_weights(combine)

    def forward(self, x: list[torch.Tensor]) -> torch.Tensor:
        first, *others = (
            resample(x[offset])
            for offset, resample in zip(self.offsets, self.resample, strict=True)
        )
        total: torch.Tensor = first * self.weights[0]
        for node, weight in zip(others, self.weights[1:], strict=True):
            total = self.add(total, node, weight)
        return total

    def add(self, total: torch.Tensor, node: torch.Tensor, weight: float) -> torch.Tensor:
        return torch.add(total, node, alpha=weight)


class LevelHeads(nn.Module):
    """A head with a copy of its convolutions for each level, that level's BatchNorm folded in.

    In effdet's head, all levels share the convolutions.
    """

    def __init__(self, head: HeadNet) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(*_folded_repeats(head, level), head.predict)
            for level in range(head.num_levels)
        )

    def forward(self, x: list[torch.Tensor]) -> list[torch.Tensor]:
        return [level(one) for level, one in zip(self.levels, x, strict=True)]


class MeanByBlocks(nn.Module):
    """timm's squeeze-and-excitation, with the mean over a feature map taken block by block.

    Some engines add up all values one after the other. Over 147,456 values, or 384 equal ones, they
    lose one to two digits of fp32 that PyTorch keeps. Layers in bfloat16 must not use this class,
    because every step would round to bfloat16: D2's box error would be 2.4 times upstream's.
    """

    def __init__(self, original: SqueezeExcite) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(original.conv_reduce, original.act1, original.conv_expand)
        self.gate = original.gate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = x
        while all(side > BLOCK and side % BLOCK == 0 for side in map(int, means.shape[2:])):
            means = nn.functional.avg_pool2d(means, BLOCK)
        scaled: torch.Tensor = x * self.gate(self.squeeze(means.mean((2, 3), keepdim=True)))
        return scaled


def mean_by_blocks(network: nn.Module) -> nn.Module:
    """A copy of `network` whose squeeze-and-excitation layers are `MeanByBlocks`."""
    steady = copy.deepcopy(network)
    for module in list(steady.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, SqueezeExcite):
                setattr(module, name, MeanByBlocks(child))
    return steady


class Flat(nn.Module):
    """A network for exports: each output is one table, so that no copy remains outside the export.

    Returns class logits [batch, anchors, classes] and box regressions [batch, anchors, 4]. Anchors
    are in effdet's order: level by level, row by row, cell by cell.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        config: Any = network.config
        self.values = (config.num_classes, 4)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        classes, boxes = (
            torch.cat([level.permute(0, 2, 3, 1).flatten(1) for level in levels], 1).unflatten(
                1, (-1, values)
            )
            for levels, values in zip(self.network(pixels), self.values, strict=True)
        )
        return classes, boxes


def _edge_weights(combine: FpnCombine) -> list[float]:
    weights = combine.edge_weights
    if combine.weight_method == "sum":
        return [1.0] * len(combine.inputs_offsets)
    if combine.weight_method == "attn":
        shares = torch.softmax(weights.detach(), 0)
    else:
        positive = weights.detach().relu()
        shares = positive / (positive.sum() + EPSILON)
    return [float(share) for share in shares]


def _folded_repeats(head: HeadNet, level: int) -> list[nn.Module]:
    """The repeated convolutions of `head`, `level`'s BatchNorm folded in, with activations."""
    layers = []
    for repeat, conv in enumerate(head.conv_rep):
        norm = head.bn_rep[level][repeat] if head.bn_level_first else head.bn_rep[repeat][level]
        folded = copy.deepcopy(conv)
        last = "conv_pw" if hasattr(folded, "conv_pw") else "conv"
        setattr(folded, last, fuse_conv_bn_eval(getattr(folded, last), _batch_norm(norm)))
        layers += [folded, head.act]
    return layers


def _batch_norm(norm: Any) -> Any:
    return norm.bn if isinstance(norm, nn.Sequential) else norm


def _fold_children(module: nn.Module) -> None:
    """Folds every BatchNorm child into the convolution before it, and keeps its activation."""
    children = list(module.named_children())
    for (conv_name, conv), (norm_name, norm) in itertools.pairwise(children):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
            setattr(module, norm_name, getattr(norm, "act", nn.Identity()))


def _pool_without_padding(resample: ResampleFeatureMap) -> None:
    """Lets the pooling ignore what is outside, so that it needs no copy padded with -inf."""
    pool: Any = getattr(resample, "downsample", None)
    if not isinstance(pool, MaxPool2dSame):
        return
    kernels: Any = pool.kernel_size
    strides: Any = pool.stride
    margins = {
        max((out - 1) * stride + kernel - size, 0)
        for size, out, kernel, stride in zip(
            resample.input_size,
            resample.output_size,
            kernels,
            strides,
            strict=True,
        )
    }
    if len(margins) == 1:
        before = margins.pop() // 2
        resample.downsample = nn.MaxPool2d(pool.kernel_size, pool.stride, before, ceil_mode=True)
