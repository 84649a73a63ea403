"""The physical and the attainable bound of a request on a device with given ceilings.

Both are the roofline model of Williams, Waterman and Patterson (2009, doi:10.1145/1498765.1498785):
the larger of FLOPs / ceiling and bytes / bandwidth. The physical bound applies it to the whole
request, whose inputs, weights and outputs must be moved once. All that lies between may stay in
caches.

The attainable bound applies it to each convolution, whose input and output move through memory. It
adds activations, at the rate of a SiLU kernel whose data are in cache. A processor computes
activations on the vector units that convolutions need, so the two times add up. A GPU computes
exponentials in separate units, beside those of matrix products (NVIDIA, "CUDA C++ Programming
Guide", throughput of native arithmetic instructions), so the larger time counts.
"""

from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count

from effdet_bench.config.names import COCO_CLASSES
from effdet_bench.detector.ensemble import build_model
from effdet_bench.records import Record
from effdet_bench.roofline.ceilings import DTYPES, Ceilings

ACTIVATIONS = {torch.ops.aten.silu.default, torch.ops.aten.silu_.default}


class Layer(NamedTuple):
    """The work of one convolution: floating-point operations, and the elements it must move.

    `weights` is 0 if an earlier layer used the same weights, as in heads that all levels share.
    """

    flops: int
    weights: int
    activations: int


class Work(NamedTuple):
    """The work of one or more forward passes.

    `silu` is the number of activated elements, `ends` that of the inputs and outputs of networks.
    """

    layers: list[Layer]
    silu: int
    ends: int


def count_work(architecture: str, classes: int = COCO_CLASSES) -> Work:
    """The work of one forward pass, counted from shapes without computing anything."""
    built = build_model(architecture, classes)
    network = built.network.to("meta")
    pixels = torch.empty(1, 3, *built.image_size, device="meta")
    with _Counter() as counter, torch.no_grad():
        outputs = network(pixels)
    ends = pixels.numel() + sum(level.numel() for part in outputs for level in part)
    return Work(counter.layers, counter.silu, ends)


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: list[Layer] = []
        self.silu = 0
        self._seen: dict[int, torch.Tensor] = {}  # kept alive, so that ids stay unique

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
        elif func in ACTIVATIONS:
            self.silu += out.numel()
        return out


def bound(work: Work, ceilings: Ceilings, precision: str, device: str) -> dict[str, float]:
    """The bounds of `work` in `precision`, in milliseconds.

    Returns:
        `compute_ms` and `once_ms`: the time if only operations were the limit, or only what must be
        moved once; and `attainable_ms`: the sum over layers of the larger time of operations and of
        the memory that they read and write, with activations.
    """
    layers = work.layers
    size = DTYPES[precision].itemsize
    compute = [layer.flops / ceilings.flops[precision] for layer in layers]
    memory = [size * (layer.weights + layer.activations) / ceilings.bandwidth for layer in layers]
    least = 1e3 * sum(map(max, compute, memory))
    once = work.ends + sum(layer.weights for layer in layers)
    activations = 1e3 * work.silu / ceilings.silu
    return {
        "compute_ms": 1e3 * sum(compute),
        "once_ms": 1e3 * size * once / ceilings.bandwidth,
        "attainable_ms": least + activations if device == "cpu" else max(least, activations),
    }


def request_bounds(ensemble: list[Record], ceilings: Ceilings, device: str) -> Record:
    """Ceilings, work and bounds of one request that runs `ensemble` on `device`."""
    work = {
        entry["model"]: count_work(entry["architecture"], entry["classes"]) for entry in ensemble
    }
    layers = [layer for one in work.values() for layer in one.layers]
    silu, ends = (sum(getattr(one, key) for one in work.values()) for key in ("silu", "ends"))
    request = Work(layers, silu, ends)
    return {
        "flops_per_second": ceilings.flops,
        "copy_bytes_per_second": ceilings.bandwidth,
        "kernels": ceilings.kernels,
        "silu_per_second": ceilings.silu,
        "models": [_record(name, one, ceilings, device) for name, one in work.items()],
        "request": _record("request", request, ceilings, device),
    }


def _record(name: str, work: Work, ceilings: Ceilings, device: str) -> Record:
    layers = work.layers
    return {
        "model": name,
        "convolutions": len(layers),
        "flops": sum(layer.flops for layer in layers),
        "weights": sum(layer.weights for layer in layers),
        "activations": sum(layer.activations for layer in layers),
        "ends": work.ends,
        "silu": work.silu,
        "bounds": {one: bound(work, ceilings, one, device) for one in ceilings.flops},
    }
