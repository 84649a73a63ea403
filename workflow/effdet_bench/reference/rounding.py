"""The yardstick of arithmetic: what rounding to a precision does to upstream's own network.

A mode computes as it should while it is not much further from fp32 than this. The 16-bit precisions
and TF32 are emulated, so that every processor gives the same yardstick: PyTorch's autocast in
bfloat16 is 0.9 to 1.2 times as far off, and takes minutes where a processor lacks the type.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from effdet_bench import layout, records
from effdet_bench.checkpoints.verify import check_file
from effdet_bench.detector.ensemble import Model, load_model
from effdet_bench.records import Record
from effdet_bench.reference.errors import Errors, relative_errors, sample_outputs
from effdet_bench.reference.outputs import Reference, read_reference
from effdet_bench.reference.reference import upstream_input

MOST_PHOTOS = 8  # the largest errors of so many are the yardstick
ATEN = torch.ops.aten
# what one is called, which depends on whether gradients may be asked for
CONVOLUTIONS = {ATEN.convolution.default, ATEN.conv2d.default, ATEN.conv2d.padding}


class Emulated(TorchDispatchMode):
    """Rounds what convolutions read by `round_inputs`, and what every operation gives by another.

    Operations compute in fp32, as the accumulators of processors do.
    """

    def __init__(
        self, round_inputs: Callable[[Any], Any], round_results: Callable[[Any], Any]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._inputs, self._results = round_inputs, round_results

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if operation in CONVOLUTIONS:
            args = (self._inputs(args[0]), self._inputs(args[1]), *args[2:])
        results = operation(*args, **(kwargs or {}))
        if isinstance(results, tuple):  # batch normalisation's, with statistics that nobody reads
            return (self._results(results[0]), *results[1:])
        return self._results(results)


def to_bf16(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.bfloat16().float()


def to_fp16(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half().float()


def to_tf32(tensor: torch.Tensor) -> torch.Tensor:
    """fp32 `tensor` with 10 of its 23 bits after the point, the nearest such number."""
    dropped = 13
    bits = tensor.contiguous().view(torch.int32)
    half = (1 << (dropped - 1)) - 1 + ((bits >> dropped) & 1)  # ties to even
    return ((bits + half) & -(1 << dropped)).view(torch.float32)


def same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


# of what convolutions read, and of what every operation gives
EMULATED = {"bf16": (to_bf16, to_bf16), "fp16": (to_fp16, to_fp16), "tf32": (to_tf32, same)}


def rounding_errors(
    model: Model, reference: Reference, photos: dict[str, bytes], precision: str
) -> Record:
    """The largest errors of upstream's network in `precision`, over `photos` by name.

    In fp32 rounding shows by another order of sums: that of kernels for channels last.
    """
    network: Any = model.network
    found: list[Errors] = []
    for photo, encoded in photos.items():
        pixels = upstream_input(model, encoded).pixels
        with torch.no_grad():
            if precision == "fp32":
                network.to(memory_format=torch.channels_last)
                outputs = network(pixels.contiguous(memory_format=torch.channels_last))
            else:
                with Emulated(*EMULATED[precision]):
                    outputs = network(pixels)
        sampled = sample_outputs(outputs, model.anchors_per_cell)
        found.append(relative_errors(sampled, reference.of(photo), reference.counts))
    return {key: np.max(values, axis=0).tolist() for key, values in _columns(found).items()}


def _columns(found: list[Errors]) -> dict[str, list[Any]]:
    return {key: [getattr(one, key) for one in found] for key in Errors._fields}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--references", type=Path, nargs="+", required=True, help="their records")
    parser.add_argument("--records", nargs="+", required=True, help="of `verify`, in that order")
    parser.add_argument("--checkpoints", nargs="+", required=True, help="files, in that order")
    parser.add_argument("--folder", type=Path, required=True, help="folder of the photos")
    parser.add_argument("--precisions", nargs="+", required=True, choices=["fp32", *EMULATED])
    parser.add_argument("--threads", type=int, required=True)


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    files = zip(args.references, args.records, args.checkpoints, strict=True)
    for path, record, checkpoint in files:
        verified = records.read_json(record, "checkpoint")
        data = check_file(checkpoint, verified["sha256"])
        model, reference = load_model(verified, data, checkpoint), read_reference(path)
        names = reference.names[:MOST_PHOTOS]
        photos = {name: (args.folder / name).read_bytes() for name in names}
        # fp32 last: it leaves the weights in another memory format
        order = sorted(args.precisions, key=lambda precision: precision == "fp32")
        found = {one: rounding_errors(model, reference, photos, one) for one in order}
        result = {"model": model.name, "sha256": verified["sha256"], "photos": names}
        output = layout.reference_rounding(path)
        records.write_json(output, result | {"precisions": found}, "rounding")
