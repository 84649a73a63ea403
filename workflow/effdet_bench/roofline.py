"""The physical bound: what a device reaches at best, and what a request needs at least.

Ceilings are measured (dense matrix products, memory copies) and the work of each convolution is
counted. The bound of a request is the sum over convolutions of max(FLOPs / ceiling, bytes /
bandwidth): by layer, the roofline model of Williams, Waterman and Patterson (2009,
doi:10.1145/1498765.1498785).
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count

from effdet_bench import records
from effdet_bench.checkpoints.catalogue import CLASSES
from effdet_bench.devices import open_device, synchronize
from effdet_bench.ensemble import build_model
from effdet_bench.errors import BenchError, UnavailableError
from effdet_bench.versions import versions

DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
SIDES = (512, 1024, 2048, 4096, 8192)
SLOW_SECONDS = 0.1  # a product that takes longer is the last one of its precision
RUNS, RUN_SECONDS = 3, 0.3  # at least, of each size
COPY_ELEMENTS = 64 * 2**20  # of float32: larger than any processor's caches


class Layer(NamedTuple):
    """The work of one convolution: floating-point operations, and elements moved at least.

    `weights` is 0 where the same weights were used before, as in heads that all levels share.
    """

    flops: int
    weights: int
    activations: int


class Ceilings(NamedTuple):
    """What a device reaches: operations per second by precision, and bytes copied per second."""

    flops: dict[str, int]
    bandwidth: int


def count_work(architecture: str, classes: int = CLASSES) -> list[Layer]:
    """Every convolution of one forward pass, by shapes alone: nothing is computed."""
    built = build_model(architecture, classes)
    network = built.network.to("meta")
    with _Counter() as counter, torch.no_grad():
        network(torch.empty(1, 3, *built.image_size, device="meta"))
    return counter.layers


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.layers: list[Layer] = []
        self._seen: dict[int, torch.Tensor] = {}  # kept, so that no id is used again

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
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


def measure_ceilings(device: torch.device) -> Ceilings:
    """Runs matrix products of every precision that `device` supports natively, and copies.

    The best run counts, unlike anywhere else: a ceiling is what was reached once.
    """
    flops = {}
    for precision in DTYPES:
        if precision == "tf32" and device.type != "cuda":
            continue
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        try:
            rate = _matrix_rate(DTYPES[precision], device)
        except (RuntimeError, TypeError):
            continue
        # emulated, where it is slower than the precision that it emulates: no ceiling of anything
        if rate > flops.get("fp32", 0):
            flops[precision] = round(rate)
    source = torch.ones(COPY_ELEMENTS, device=device)
    target = torch.empty_like(source)
    seconds = _best_seconds(lambda: target.copy_(source), device)
    return Ceilings(flops, round(2 * source.nbytes / seconds))


def _matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Most operations per second of a square matrix product, over `SIDES`."""
    best = 0.0
    for side in SIDES:
        matrix = torch.rand(side, side, device=device).to(dtype)
        seconds = _best_seconds(lambda matrix=matrix: torch.mm(matrix, matrix), device)
        best = max(best, 2 * side**3 / seconds)
        if seconds > SLOW_SECONDS:
            break
    return best


def _best_seconds(work: Callable[[], object], device: torch.device) -> float:
    work()  # pages are touched and kernels chosen for the first time
    spans: list[float] = []
    while len(spans) < RUNS or sum(spans) < RUN_SECONDS:
        synchronize(device)
        begin = time.perf_counter()
        work()
        synchronize(device)
        spans.append(time.perf_counter() - begin)
    return min(spans)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", required=True, choices=["cpu", "cuda", "mps"])
    parser.add_argument(
        "--ensemble",
        type=json.loads,
        required=True,
        help="list of {model, architecture, classes}",
    )
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--output", required=True, help="the record to write")


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    record = {"device": args.device, "threads": args.threads, "versions": versions()}
    try:
        ceilings = measure_ceilings(open_device(args.device))
    except BenchError as error:
        outcome = "unavailable" if isinstance(error, UnavailableError) else "failed"
        record |= {"outcome": outcome, "reason": str(error)}
    else:
        record |= {
            "outcome": "completed",
            "reason": None,
            **request_bounds(args.ensemble, ceilings),
        }
    records.write_json(args.output, record, "roofline")


def request_bounds(ensemble: list[dict], ceilings: Ceilings) -> dict:
    """Ceilings, work and bounds of one request that runs `ensemble`."""
    work = {one["model"]: count_work(one["architecture"], one["classes"]) for one in ensemble}
    request = [layer for layers in work.values() for layer in layers]
    return {
        "flops_per_second": ceilings.flops,
        "copy_bytes_per_second": ceilings.bandwidth,
        "models": [_record(name, layers, ceilings) for name, layers in work.items()],
        "request": _record("request", request, ceilings),
    }


def _record(name: str, layers: list[Layer], ceilings: Ceilings) -> dict:
    return {
        "model": name,
        "convolutions": len(layers),
        "flops": sum(layer.flops for layer in layers),
        "weights": sum(layer.weights for layer in layers),
        "activations": sum(layer.activations for layer in layers),
        "bounds": {precision: bound(layers, ceilings, precision) for precision in ceilings.flops},
    }
