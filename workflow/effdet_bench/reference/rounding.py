"""Measures what rounding to a precision does to upstream's own network, for the gate's limits.

The 16-bit precisions and TF32 are emulated, so that every processor gives the same result.
PyTorch's autocast in bfloat16 would also take minutes on a processor that lacks the type. Each
implementation folds other factors into the weights before it rounds them, such as those of batch
normalisation, so implementations round differently. Each precision is therefore emulated several
times: once with the weights as they are, and then with random factors for the output channels of
convolutions, the same factors for all photos.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.overrides import TorchFunctionMode

from effdet_bench import layout, records
from effdet_bench.checkpoints.verify import check_file
from effdet_bench.detector.ensemble import Model, load_model
from effdet_bench.detector.nms import Outputs
from effdet_bench.records import Record
from effdet_bench.reference.anchors import sample_outputs
from effdet_bench.reference.output_errors import relative_errors, row_of
from effdet_bench.reference.outputs import Reference, read_reference
from effdet_bench.reference.reference import upstream_input

EMULATIONS = 4  # of each precision: with three, one in 40 correct modes seemed wrong
# PyTorch's types of 16 bits
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
EMULATED = [*TYPES, "tf32"]


def to_tf32(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` (fp32), rounded to the nearest number with 10 instead of 23 bits of mantissa."""
    dropped = 13
    bits = tensor.contiguous().view(torch.int32)
    half = (1 << (dropped - 1)) - 1 + ((bits >> dropped) & 1)  # ties to even
    return ((bits + half) & -(1 << dropped)).view(torch.float32)


class Emulated(TorchFunctionMode):
    """Rounds to `precision` as a processor would, with other random factors in each `emulation`.

    Emulation 0 has no factors. Convolutions compute in fp32, as accumulators of processors do. In
    16 bits, the results of all functions are rounded, and the weights and biases of convolutions.
    PyTorch computes the other functions of a 16-bit tensor in fp32, too, before it rounds. In TF32,
    the numbers that convolutions multiply are rounded.
    """

    def __init__(self, precision: str, emulation: int = 0) -> None:
        super().__init__()
        self._type = TYPES.get(precision)
        self._factors = torch.Generator().manual_seed(emulation) if emulation else None

    def _nearest(self, tensor: torch.Tensor) -> torch.Tensor:
        """The fp32 `tensor`, rounded, in fp32."""
        return to_tf32(tensor) if self._type is None else tensor.to(self._type).float()

    def _weight(self, weight: torch.Tensor) -> torch.Tensor:
        """`weight`, rounded as it is, or after scaling every output channel by the next factors."""
        if self._factors is None:
            return self._nearest(weight)
        # below 1, so that nothing overflows
        factors = 2 ** -torch.rand(len(weight), 1, 1, 1, generator=self._factors)
        return self._nearest(weight * factors).div_(factors)

    def _convolve(self, given: Any, weight: Any, bias: Any = None, *args: Any, **named: Any) -> Any:
        if self._type is None:
            given = self._nearest(given)
        else:
            given = given.float()
            bias = None if bias is None else self._nearest(bias)
        return torch.conv2d(given, self._weight(weight), bias, *args, **named)

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if function is torch.conv2d:
            result = self._convolve(*args, **(kwargs or {}))
        else:
            result = function(*args, **(kwargs or {}))
        if self._type and isinstance(result, torch.Tensor) and result.dtype == torch.float32:
            return result.to(self._type)
        return result


def emulate(
    network: torch.nn.Module, pixels: torch.Tensor, precision: str, emulation: int = 0
) -> Outputs:
    """Outputs of `network`, rounded to `precision`; in fp32, computed with another order of sums.

    Outputs in 16 bits have PyTorch's type of the precision, all others are float32.
    Kernels for the memory format channels last have another order of sums. After a call in fp32
    the weights stay in that memory format.
    """
    with torch.no_grad():
        if precision == "fp32":
            network.to(memory_format=torch.channels_last)
            outputs: Outputs = network(pixels.contiguous(memory_format=torch.channels_last))
            return outputs
        with Emulated(precision, emulation):
            outputs = network(pixels.to(TYPES.get(precision, torch.float32)))
    return outputs


def rounding_errors(
    model: Model, reference: Reference, photos: dict[str, bytes], precision: str
) -> list[dict[str, Any]]:
    """The errors of upstream's network in `precision`, for `photos` (JPEG files by name).

    Returns:
        A row for each photo and emulation (fp32 has one), with the columns `records.ROUNDING`.
    """
    pools = reference.sampled.pools
    rows = []
    for photo, encoded in photos.items():
        pixels = upstream_input(model, encoded).pixels
        for emulation in range(1 if precision == "fp32" else EMULATIONS):
            sampled = sample_outputs(emulate(model.network, pixels, precision, emulation), pools)
            errors = relative_errors(sampled, reference.of(photo), pools)
            place = {"precision": precision, "photo": photo, "emulation": emulation}
            rows.append(place | row_of(errors))
    return rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--references", type=Path, nargs="+", required=True, help="of `reference`")
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
        photos = {name: (args.folder / name).read_bytes() for name in reference.names}
        # fp32 last, because it leaves the weights in another memory format
        order = sorted(args.precisions, key=lambda precision: precision == "fp32")
        rows = [row for one in order for row in rounding_errors(model, reference, photos, one)]
        table = pd.DataFrame(rows)[records.ROUNDING]
        output = layout.reference_rounding(path)
        records.write_text(layout.rounding_table(output), table.to_csv(index=False))
        result: Record = {"model": model.name, "sha256": verified["sha256"]}
        result |= {"photos": list(photos), "levels": len(model.levels), "emulated": order}
        records.write_json(output, result, "rounding")
