"""Triton kernels for the parts of a request that memory bandwidth limits on a GPU.

`depthwise` and `weighted_sum` take and return feature maps [1, channels, height, width] in
channels-last memory, and compute in fp32 whatever the precision of the maps. With
TRITON_INTERPRET=1 all kernels run on the CPU, for tests.
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from effdet_bench.engines.graph.resample import WEIGHT_BITS

BLOCK = 2048  # values that one program computes
AS_IT_IS, ENLARGED, POOLED = range(3)  # what `weighted_sum` does with an input


def depthwise(
    maps: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: int,
    size: tuple[int, int],
    margins: tuple[int, int],
    silu: bool = False,
    means: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A depthwise convolution with bias and SiLU, and partial means of its result.

    Args:
        weight: [kernel * kernel, channels], row by row.
        size: (height, width) of the result.
        margins: (rows above, columns to the left) of padding with zeros.

    Returns:
        The result, and partial means, fp32 [parts, channels]: their sum over parts is the mean of
        each channel. Without `means`, the partial means are not computed.
    """
    channels, (height, width) = maps.shape[1], maps.shape[2:]
    out = _empty(maps, size)
    of_channels = min(64, triton.next_power_of_2(channels))
    of_pixels = max(1, BLOCK // of_channels if size[0] * size[1] > BLOCK else 16)
    parts = triton.cdiv(size[0] * size[1], of_pixels)
    sums = torch.empty((parts if means else 1, channels), device=maps.device)
    _depthwise[(parts, triton.cdiv(channels, of_channels))](
        maps, weight, weight if bias is None else bias, out, sums,
        height, width, *size, channels, *margins, 1 / (size[0] * size[1]),
        KERNEL=round(len(weight) ** 0.5), STRIDE=stride, BIAS=bias is not None, SILU=silu,
        MEANS=means,
        PIXELS=of_pixels, CHANNELS=of_channels,
    )  # fmt: skip
    return out, sums


@triton.jit
def _depthwise(
    maps, weight, bias, out, sums,
    height, width, out_height, out_width, channels, above, left, share,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr,
    MEANS: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < channels
    row, column = pixel // out_width, pixel % out_width
    total = tl.zeros((PIXELS, CHANNELS), tl.float32)
    if BIAS:
        total += tl.load(bias + channel, mask=known, other=0).to(tl.float32)[None, :]
    for step in tl.static_range(KERNEL * KERNEL):
        y = row * STRIDE - above + step // KERNEL
        x = column * STRIDE - left + step % KERNEL
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width) & (row < out_height)
        place = (y * width + x)[:, None] * channels + channel[None, :]
        value = tl.load(maps + place, mask=inside[:, None] & known[None, :], other=0)
        factor = tl.load(weight + step * channels + channel, mask=known, other=0)
        total += value.to(tl.float32) * factor.to(tl.float32)[None, :]
    if SILU:
        total = total * tl.sigmoid(total)
    used = (row < out_height)[:, None] & known[None, :]
    tl.store(out + pixel[:, None] * channels + channel[None, :], total, mask=used)
    if MEANS:
        mean = tl.sum(tl.where(used, total, 0), 0) * share
        tl.store(sums + tl.program_id(0) * channels + channel, mean, mask=known)


class Part(NamedTuple):
    """An input of `weighted_sum`.

    `how` says how `maps` are resized: `AS_IT_IS`, `ENLARGED` or `POOLED`. `margins` are the padding
    of a pooling: (rows above, columns to the left).
    """

    maps: torch.Tensor
    how: int = AS_IT_IS
    weight: float = 1.0
    margins: tuple[int, int] = (0, 0)


def weighted_sum(parts: list[Part], size: tuple[int, int], silu: bool = False) -> torch.Tensor:
    """The weighted sum of up to three inputs, each first resized to `size` (height, width).

    Enlarging takes the nearest value; pooling takes the largest of 3 × 3 values with stride 2.
    """
    first = parts[0]
    out = _empty(first.maps, size)
    channels = out.shape[1]
    given: list[Any] = []
    for part in [*parts, first, first][:3]:
        given += [part.maps, *part.maps.shape[2:], *part.margins, part.weight]
    hows = [part.how for part in parts] + [-1, -1]
    _weighted_sum[(triton.cdiv(out.numel(), 1024),)](
        *given, out, size[0], size[1], channels,
        FIRST=hows[0], SECOND=hows[1], THIRD=hows[2], SILU=silu, BLOCK=1024,
    )  # fmt: skip
    return out


@triton.jit
def _weighted_sum(
    a, a_height, a_width, a_above, a_left, a_weight,
    b, b_height, b_width, b_above, b_left, b_weight,
    c, c_height, c_width, c_above, c_left, c_weight, out, height, width, channels,
    FIRST: tl.constexpr, SECOND: tl.constexpr, THIRD: tl.constexpr, SILU: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel, pixel = place % channels, place // channels
    y, x = pixel // width, pixel % width
    used = y < height
    total = a_weight * _of(
        a, y, x, channel, used, a_height, a_width, a_above, a_left, height, width, channels, FIRST
    )
    if SECOND >= 0:
        total += b_weight * _of(
            b, y, x, channel, used, b_height, b_width, b_above, b_left,
            height, width, channels, SECOND,
        )  # fmt: skip
    if THIRD >= 0:
        total += c_weight * _of(
            c, y, x, channel, used, c_height, c_width, c_above, c_left,
            height, width, channels, THIRD,
        )  # fmt: skip
    if SILU:
        total = total * tl.sigmoid(total)
    tl.store(out + place, total, mask=used)


@triton.jit
def _of(
    maps, y, x, channel, used, own_height, own_width, above, left, height, width, channels,
    HOW: tl.constexpr,
):  # fmt: skip
    """The value of an input at (y, x) of the result, in fp32."""
    if HOW == 2:
        value = tl.full(y.shape, float("-inf"), tl.float32)
        for step in tl.static_range(9):
            row = y * 2 - above + step // 3
            column = x * 2 - left + step % 3
            inside = used & (row >= 0) & (row < own_height) & (column >= 0) & (column < own_width)
            at = (row * own_width + column) * channels + channel
            found = tl.load(maps + at, mask=inside, other=float("-inf")).to(tl.float32)
            value = tl.maximum(value, found)
    else:
        if HOW == 1:
            y = y * own_height // height
            x = x * own_width // width
        at = (y * own_width + x) * channels + channel
        value = tl.load(maps + at, mask=used, other=0).to(tl.float32)
    return value


def letterbox(
    photo: torch.Tensor, table: torch.Tensor, colours: torch.Tensor, out: torch.Tensor
) -> None:
    """Resizes a photo as Pillow does, to the last bit, and normalises it into a corner of `out`.

    Args:
        photo: uint8, flat.
        table: int32, flat, with the numbers of `letterbox._numbers`.
        colours: fp32 [3, 3], for each channel the number to subtract, the number to divide by, and
            the byte to take where there is no photo.
        out: fp32 [1, 3, height, width], contiguous.
    """
    height, width = out.shape[2:]
    _letterbox[(height, triton.cdiv(width, 128))](
        photo, table, colours, out, height, width,
        BLOCK=128, HEAD=LETTERBOX_HEAD, BITS=WEIGHT_BITS, HALF=1 << (WEIGHT_BITS - 1),
    )  # fmt: skip


LETTERBOX_HEAD = 12


@triton.jit
def _letterbox(
    photo, table, colours, out, height, width,
    BLOCK: tl.constexpr, HEAD: tl.constexpr, BITS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    # in the order of `letterbox._numbers`
    rows, columns = tl.load(table), tl.load(table + 1)
    high, wide = tl.load(table + 2), tl.load(table + 3)
    by_row, by_column, by_channel = tl.load(table + 4), tl.load(table + 5), tl.load(table + 6)
    step, columns_first = tl.load(table + 7), tl.load(table + 8)
    y = tl.program_id(0)
    x = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (y < high) & (x < wide)
    of_rows = HEAD + step * y + 0 * x
    of_columns = HEAD + step * (high + x)
    # `within` is the axis that Pillow resizes first, and `across` the other axis
    within = table + tl.where(columns_first != 0, of_rows, of_columns)
    across = table + tl.where(columns_first != 0, of_columns, of_rows)
    by_within = tl.where(columns_first != 0, by_row, by_column)
    by_across = tl.where(columns_first != 0, by_column, by_row)
    most_within = tl.where(columns_first != 0, rows, columns)
    most_across = tl.where(columns_first != 0, columns, rows)
    first_within = tl.load(within, mask=inside, other=0)
    first_across = tl.load(across, mask=inside, other=0)
    for channel in tl.static_range(3):
        total = tl.full((BLOCK,), HALF, tl.int32)
        for j in range(step - 1):
            place = first_across + j
            weight = tl.load(across + 1 + j, mask=inside, other=0)
            line = tl.full((BLOCK,), HALF, tl.int32)
            for i in range(step - 1):
                at = first_within + i
                factor = tl.load(within + 1 + i, mask=inside, other=0)
                used = inside & (at < most_within) & (place < most_across)
                byte = tl.load(
                    photo + at * by_within + place * by_across + channel * by_channel,
                    mask=used,
                    other=0,
                )
                line += byte.to(tl.int32) * factor
            total += (line >> BITS) * weight
        colour = tl.load(colours + channel * 3 + 2)
        value = tl.where(inside, (total >> BITS).to(tl.float32), colour)
        value = tl.div_rn(
            value - tl.load(colours + channel * 3),
            tl.load(colours + channel * 3 + 1) + tl.zeros((BLOCK,), tl.float32),
        )
        tl.store(out + (channel * height + y) * width + x, value, mask=x < width)


def _empty(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return torch.empty(
        (1, maps.shape[1], *size),
        dtype=maps.dtype,
        device=maps.device,
        memory_format=torch.channels_last,
    )
