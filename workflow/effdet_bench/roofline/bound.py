"""The physical bound: what a request needs at least on a device with given ceilings.

The work of each convolution is counted. The bound of a request is the sum over convolutions of
max(FLOPs / ceiling, bytes / bandwidth): by layer, the roofline model of Williams, Waterman and
Patterson (2009, doi:10.1145/1498765.1498785).
"""

from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count

from effdet_bench.config.names import COCO_CLASSES
from effdet_bench.detector.ensemble import build_model
from effdet_bench.records import Record
from effdet_bench.roofline.ceilings import DTYPES, Ceilings


class Layer(NamedTuple):
    """The work of one convolution: floating-point operations, and elements moved at least.

    `weights` is 0 where the same weights were used before, as in heads that all levels share.
    """

    flops: int
    weights: int
    activations: int


def count_work(architecture: str, classes: int = COCO_CLASSES) -> list[Layer]:
    """Every convolution of one forward pass, by shapes alone: nothing is computed."""
    built = build_model(architecture, classes)
    network = built.network.to("meta")
    with _Counter() as counter, torch.no_grad():
        network(torch.empty(1, 3, *built.image_size, device="meta"))
    layers: list[Layer] = counter.layers
    return layers


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: list[Layer] = []
        self._seen: dict[int, torch.Tensor] = {}  # kept, so that no id is used again

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            pixels, weight = args[:2]
            flops = conv_flop_count(pixels.shape, weight.shape, out.shape)
            weights = 0 if id(weight) in self._seen else weight.numel()
            self._seen[id(weight)] = weight
            self.layers.append(Layer(flops, weights, pixels.numel() + out.numel()))
        return out


def bound(layers: list[Layer], ceilings: Ceilings, precision: str) -> dict[str, float]:
    """Least milliseconds of `layers` in `precision`, with what they would take by each limit alone.

    Returns:
        `compute_ms`, `memory_ms`, and `bound_ms`, the sum over layers of the larger of both.
    """
    size = DTYPES[precision].itemsize
    compute = [layer.flops / ceilings.flops[precision] for layer in layers]
    memory = [size * (layer.weights + layer.activations) / ceilings.bandwidth for layer in layers]
    return {
        "compute_ms": 1e3 * sum(compute),
        "memory_ms": 1e3 * sum(memory),
        "bound_ms": 1e3 * sum(map(max, compute, memory)),
    }


def request_bounds(ensemble: list[Record], ceilings: Ceilings) -> Record:
    """Ceilings, work and bounds of one request that runs `ensemble`."""
    work = {
        entry["model"]: count_work(entry["architecture"], entry["classes"]) for entry in ensemble
    }
    request = [layer for layers in work.values() for layer in layers]
    return {
        "flops_per_second": ceilings.flops,
        "copy_bytes_per_second": ceilings.bandwidth,
        **({"kernels": ceilings.kernels} if ceilings.kernels else {}),
        "models": [_record(name, layers, ceilings) for name, layers in work.items()],
        "request": _record("request", request, ceilings),
    }


def _record(name: str, layers: list[Layer], ceilings: Ceilings) -> Record:
    return {
        "model": name,
        "convolutions": len(layers),
        "flops": sum(layer.flops for layer in layers),
        "weights": sum(layer.weights for layer in layers),
        "activations": sum(layer.activations for layer in layers),
        "bounds": {precision: bound(layers, ceilings, precision) for precision in ceilings.flops},
    }
