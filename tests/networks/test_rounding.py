"""Emulated rounding, compared with the same operations rounded by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from effdet_bench.reference.rounding import TYPES, emulate, to_tf32


@pytest.fixture
def pixels() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(1, 3, 16, 16)


def _convolve(layer: nn.Conv2d, given, nearest, bias):
    return functional.conv2d(given, nearest(layer.weight), bias, layer.stride, layer.padding)


@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize("precision", TYPES)
def test_16_bits_round_every_result_also_of_what_works_in_place(pixels, precision, inplace):
    first, norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8).eval()
    last = nn.Conv2d(8, 4, 1)
    network = nn.Sequential(first, norm, nn.SiLU(inplace=inplace), last)

    def nearest(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(TYPES[precision]).float()

    with torch.no_grad():
        expected = nearest(pixels)
        expected = nearest(_convolve(first, expected, nearest, nearest(first.bias)))
        expected = nearest(norm(expected))
        expected = nearest(functional.silu(expected))
        expected = nearest(_convolve(last, expected, nearest, nearest(last.bias)))
    found = emulate(network, pixels, precision)
    assert found.dtype == TYPES[precision]
    assert torch.equal(found.float(), expected)


def test_tf32_rounds_what_convolutions_multiply(pixels):
    layer = nn.Conv2d(3, 8, 3)
    with torch.no_grad():
        expected = _convolve(layer, to_tf32(pixels), to_tf32, layer.bias)
        exact = layer(pixels)
    found = emulate(nn.Sequential(layer, nn.SiLU()), pixels, "tf32")
    assert torch.equal(found, functional.silu(expected))
    assert not torch.equal(expected, exact)
