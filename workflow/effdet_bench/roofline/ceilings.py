"""Measures ceilings of a device: operations per second by precision, and bytes copied per second.

The best run of the best kernel counts, unlike in any other measurement, because a ceiling is a rate
that was reached at least once. Several kernels are run, because the matrix product of one library
can be half as fast as the processor allows: MKL's is on AMD processors, but oneDNN's convolutions
are not.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from effdet_bench.detector.devices import synchronize

DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
MATRIX_SIDES = (512, 1024, 2048, 4096, 8192)
CHANNELS, CELLS = (256, 512, 1024, 2048), 64  # of 1×1 convolutions, on maps of 64 × 64
SILU_ELEMENTS = (2**14, 2**15, 2**16, 2**17)  # per thread, which fit into a core's own cache
ACCELERATOR_THREADS = 64  # so that a kernel takes much longer than its launch
SLOW_SECONDS = 0.3  # larger sizes, which would take longer, are not run: the rate no longer grows
RUNS, RUN_SECONDS = 3, 0.3  # of each size, at least
COPIES = 8  # timed together on an accelerator
COPY_ELEMENTS = 64 * 2**20  # of float32: larger than any processor's caches

# the number of operations of a size, and a function that computes them once
Work = tuple[int, Callable[[], object]]


class Ceilings(NamedTuple):
    """The ceilings of a device.

    `flops` are operations per second of the best kernel, by precision. `kernels` has the rates of
    all kernels, by precision and name. `bandwidth` is bytes copied per second. `silu` is elements
    activated per second in fp32, for data in cache.
    """

    flops: dict[str, int]
    bandwidth: int
    kernels: dict[str, dict[str, int]]
    silu: int


def measure_ceilings(device: torch.device) -> Ceilings:
    """Runs kernels in every precision that `device` supports natively, copies, and activations.

    On the CPU they use as many threads as torch.
    """
    flops: dict[str, int] = {}
    kernels: dict[str, dict[str, int]] = {}
    for precision in DTYPES:
        if precision == "tf32" and device.type != "cuda":
            continue
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        rates = _rates(precision, device)
        best = max(rates.values(), default=0)
        # a precision slower than fp32 is only emulated, so its rate is not a ceiling
        if best > flops.get("fp32", 0):
            flops[precision], kernels[precision] = best, rates
    silu = round(_best_rate(_activations(device), device))
    return Ceilings(flops, _bandwidth(device), kernels, silu)


def _bandwidth(device: torch.device) -> int:
    """Bytes read and written per second by copies.

    On accelerators several copies are timed together, because the launch of a single copy takes
    several percent of its time. Data that fit into a GPU's caches move faster, so on a GPU this
    rate is not a strict bound.
    """
    source = torch.ones(COPY_ELEMENTS, device=device)
    target = torch.empty_like(source)
    copies = 1 if device.type == "cpu" else COPIES

    def work() -> None:
        for _ in range(copies):
            target.copy_(source)

    return round(2 * source.nbytes * copies / _best_seconds(work, device))


def _rates(precision: str, device: torch.device) -> dict[str, int]:
    """Operations per second by kernel in `precision`; kernels that cannot run are left out."""
    dtype = DTYPES[precision]
    works = {
        "matrix product": _matrix_products(dtype, device),
        "1×1 convolution": _convolutions(dtype, device),
    }
    if precision == "fp32" and device.type == "cpu":
        works["NumPy's matrix product"] = _numpy_products()
    rates = {}
    for name, sizes in works.items():
        try:
            with threadpool_limits(torch.get_num_threads(), user_api="blas"):
                rates[name] = round(_best_rate(sizes, device))
        except (RuntimeError, TypeError):
            continue
    return rates


def _matrix_products(dtype: torch.dtype, device: torch.device) -> Iterator[Work]:
    for side in MATRIX_SIDES:
        matrix = torch.rand(side, side, device=device).to(dtype)
        yield 2 * side**3, partial(torch.mm, matrix, matrix)


def _convolutions(dtype: torch.dtype, device: torch.device) -> Iterator[Work]:
    for channels in CHANNELS:
        pixels = torch.rand(1, channels, CELLS, CELLS, device=device).to(dtype)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        weight = torch.rand(channels, channels, 1, 1, device=device).to(dtype)
        yield 2 * CELLS**2 * channels**2, partial(torch.conv2d, pixels, weight)


def _numpy_products() -> Iterator[Work]:
    for side in MATRIX_SIDES:
        matrix = np.ones((side, side), np.float32)
        yield 2 * side**3, partial(np.matmul, matrix, matrix)


def _activations(device: torch.device) -> Iterator[Work]:
    threads = torch.get_num_threads() if device.type == "cpu" else ACCELERATOR_THREADS
    for each in SILU_ELEMENTS:
        source = torch.linspace(-8, 8, threads * each, device=device)
        target = torch.empty_like(source)  # in place, values would become denormal
        yield threads * each, partial(torch.ops.aten.silu.out, source, out=target)


@torch.inference_mode()
def _best_rate(sizes: Iterator[Work], device: torch.device) -> float:
    """The most operations per second over all `sizes`, which are in ascending order."""
    best = 0.0
    for operations, work in sizes:
        if operations > best * SLOW_SECONDS > 0:
            break
        best = max(best, operations / _best_seconds(work, device))
    return best


def _best_seconds(work: Callable[[], object], device: torch.device) -> float:
    work()  # warm-up: the first run touches pages and chooses kernels
    spans: list[float] = []
    while len(spans) < RUNS or sum(spans) < RUN_SECONDS:
        synchronize(device)
        begin = time.perf_counter()
        work()
        synchronize(device)
        spans.append(time.perf_counter() - begin)
    return min(spans)
