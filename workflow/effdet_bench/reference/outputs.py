"""Reads the reference of a model that the step `reference` wrote: a sample of each photo."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from effdet_bench import layout, records
from effdet_bench.detector.nms import Outputs
from effdet_bench.detector.request import ModelInput
from effdet_bench.errors import BenchError
from effdet_bench.reference.anchors import Sampled

PIXELS = 4096  # how many values of a network's input are compared
INPUT_LIMIT = 1e-4  # allowed difference of normalised pixels; one step of a byte is 0.017


@dataclass(frozen=True)
class Reference:
    """The reference of one model.

    `record` follows the reference schema. `outputs` is float32 [photos, anchors, classes + 4] at
    the anchors of `sampled`. `inputs` is float32 [photos, 3 + pixels], see `sample_input`. Both
    arrays are read from disk only as needed.
    """

    record: records.Record
    outputs: np.ndarray
    inputs: np.ndarray

    @functools.cached_property
    def names(self) -> list[str]:
        """File names of the photos, in the order of `outputs`."""
        return [known["file"] for known in self.record["photos"]]

    @functools.cached_property
    def sampled(self) -> Sampled:
        """The feature levels of the model; `outputs` holds the anchors of their pools."""
        per_cell, (_, boxes) = self.record["anchors_per_cell"], self.record["shapes"]
        return Sampled(tuple((high, wide, per_cell) for _, high, wide in boxes))

    def of(self, photo: str) -> np.ndarray:
        """Outputs [anchors, classes + 4] for `photo`, at the anchors of all pools."""
        outputs: np.ndarray = self.outputs[self.names.index(photo)]
        return outputs

    def input_of(self, photo: str) -> torch.Tensor:
        """What `sample_input` makes of upstream's input for `photo`."""
        return torch.from_numpy(np.array(self.inputs[self.names.index(photo)]))


def read_reference(path: str | Path) -> Reference:
    """Reads what the step `reference` wrote: the record at `path`, and the outputs beside it.

    Raises:
        BenchError: a file is missing or not what it should be.
    """
    record = records.read_json(path, "reference")
    arrays = []
    for file in (layout.reference_outputs(path), layout.reference_inputs(path)):
        try:
            arrays.append(np.load(file, mmap_mode="r"))
        except (OSError, ValueError) as error:
            raise BenchError(
                f"{file} cannot be read ({error}): delete {path} and run again."
            ) from None
    return Reference(record, *arrays)


def check_reference(reference: Reference, sha256: str, photos: dict[str, str]) -> None:
    """Checks that a reference is of the checkpoint `sha256` and of `photos` (name to SHA-256).

    Raises:
        BenchError: it is of another checkpoint, or lacks one of the photos.
    """
    known = {photo["file"]: photo["sha256"] for photo in reference.record["photos"]}
    if reference.record["sha256"] != sha256 or not photos.items() <= known.items():
        raise BenchError(
            f"the reference of {reference.record['model']} is of another checkpoint or of other "
            "photos: delete the folder reference/ in the results and run snakemake again."
        )


def level_shapes(outputs: Outputs) -> list[list[list[int]]]:
    """Shapes [channels, height, width] of class and of box outputs at each feature level."""
    return [[list(level.shape[1:]) for level in levels] for levels in outputs]


def sample_input(given: ModelInput) -> torch.Tensor:
    """Scale, width and height of a photo, then a fixed sample of the network's input pixels.

    Returns:
        float32 [3 + `PIXELS`], on the host.
    """
    _, channels, height, width = given.pixels.shape
    places = np.unravel_index(_pixels(channels * height * width), (channels, height, width))
    # indexing with three arrays needs no copy, in either memory format
    picked = given.pixels[0][tuple(torch.from_numpy(one).to(given.pixels.device) for one in places)]
    return torch.cat([given.scale, given.size.flatten(), picked]).float().cpu()


@functools.cache
def _pixels(count: int) -> np.ndarray:
    """Positions of the compared values among all `count` values of a network's input."""
    return np.random.default_rng(0).integers(count, size=PIXELS)


def same_input(sampled: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether two results of `sample_input` differ by no more than rounding in fp32."""
    near = (sampled - expected).abs() <= INPUT_LIMIT
    return bool(near.all())
