"""effdet networks rewritten to do the same in fewer passes over memory: the option `rewritten`.

Nothing is approximated. Against upstream, outputs differ by rounding alone: sums are the same, in
another order.
"""

import copy
import itertools
from typing import Any

import effdet
import torch
from effdet.efficientdet import FpnCombine, HeadNet, ResampleFeatureMap
from timm.layers.pool2d_same import MaxPool2dSame
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

EPSILON = 1e-4  # what effdet adds to the sum of edge weights (its `fastattn`)
BLOCK = 8  # by 8 values of a feature map that are added up one after the other


def rewritten(network: effdet.EfficientDet, folded: bool = True) -> nn.Module:
    """A copy of `network` with BiFPN nodes that add up their weighted inputs without stacking them,
    pooling without a padded copy of its input and, if `folded`, BatchNorm folded into convolutions.

    Takes and returns what `network` does. `network` must be in evaluation mode.
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
    """Puts a `WeightedSum` in place of every BiFPN node of `network`."""
    for name, module in list(network.named_modules()):
        if isinstance(module, FpnCombine):
            network.set_submodule(name, WeightedSum(module))


class WeightedSum(nn.Module):
    """A BiFPN node: its inputs, brought to one size, times constant weights, added up.

    effdet computes the weights anew each time, and stacks the inputs to sum over them.
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
    """A head whose convolutions, shared by all levels, have each level's BatchNorm folded in."""

    def __init__(self, head: HeadNet) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(*_folded_repeats(head, level), head.predict)
            for level in range(head.num_levels)
        )

    def forward(self, x: list[torch.Tensor]) -> list[torch.Tensor]:
        return [level(one) for level, one in zip(self.levels, x, strict=True)]


class MeanByBlocks(nn.Module):
    """timm's squeeze-and-excitation, its mean over a feature map taken block by block.

    For engines that add up all values one after the other: over 147,456 of them, or 384 that are
    all alike, they lose one to two digits of fp32 that PyTorch keeps. Not for layers that are kept
    in bfloat16, to which every step would round: D2's box error is 2.4 times upstream's then.
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
    """A copy of `network` with `MeanByBlocks`."""
    steady = copy.deepcopy(network)
    for module in list(steady.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, SqueezeExcite):
                setattr(module, name, MeanByBlocks(child))
    return steady


class Flat(nn.Module):
    """A network whose outputs are one table each, for exports: no copy is left to be done outside.

    Returns class logits [batch, anchors, classes] and box regressions [batch, anchors, 4], anchors
    in the order of effdet's: level by level, row by row, and those of a cell side by side.
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
    """The repeated convolutions of `head` as `level` has them, each with its activation."""
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
    """Folds every BatchNorm child that follows a convolution, and leaves its activation."""
    children = list(module.named_children())
    for (conv_name, conv), (norm_name, norm) in itertools.pairwise(children):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
            setattr(module, norm_name, getattr(norm, "act", nn.Identity()))


def _pool_without_padding(resample: ResampleFeatureMap) -> None:
    """Lets the pooling take what is outside as no value, in place of a copy padded with -inf."""
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
