"""Network outputs at a fixed choice of anchors, the reference's too, and how far two lie apart."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from effdet_bench import layout, records
from effdet_bench.detector.nms import Outputs
from effdet_bench.errors import BenchError

ANCHORS_PER_LEVEL = 128  # of each feature level that outputs are compared at


@dataclass(frozen=True)
class Reference:
    """The reference of one model.

    `record` follows the reference schema; `outputs` is float32 [photos, anchors, classes + 4], read
    from disk as needed.
    """

    record: records.Record
    outputs: np.ndarray

    def of(self, photo: str) -> np.ndarray:
        """Sampled outputs [anchors, classes + 4] for `photo`."""
        names = [known["file"] for known in self.record["photos"]]
        outputs: np.ndarray = self.outputs[names.index(photo)]
        return outputs


def read_reference(path: str | Path) -> Reference:
    """Reads what the step `reference` wrote: the record at `path`, and the outputs beside it.

    Raises:
        BenchError: a file is missing or not what it should be.
    """
    record = records.read_json(path, "reference")
    file = layout.reference_outputs(path)
    try:
        outputs = np.load(file, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise BenchError(f"{file} cannot be read ({error}): delete {path} and run again.") from None
    return Reference(record, outputs)


def check_reference(reference: Reference, sha256: str, photos: dict[str, str]) -> None:
    """Refuses a reference of another checkpoint or of other photos (name to SHA-256).

    Raises:
        BenchError: it is not of these.
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


def sample_outputs(outputs: Outputs, anchors_per_cell: int) -> torch.Tensor:
    """Class logits and box regressions of a fixed choice of anchors, on the host.

    Up to `ANCHORS_PER_LEVEL` of every feature level, so that each level counts although most
    anchors are of the finest, and so that comparing takes milliseconds.

    Returns:
        float32 [anchors, classes + 4].
    """
    parts = []
    for levels in outputs:
        generator = np.random.default_rng(0)
        chosen = []
        for level in levels:
            # [cells' anchors, values, cells] without a copy, in either memory format
            split = level[0].unflatten(0, (anchors_per_cell, -1)).flatten(2)
            anchors = anchors_per_cell * split.shape[2]
            count = min(anchors, ANCHORS_PER_LEVEL)
            sorted_choice = np.sort(generator.choice(anchors, count, replace=False))
            picked = torch.from_numpy(sorted_choice).to(level.device)
            chosen.append(split[picked % anchors_per_cell, :, picked // anchors_per_cell])
        parts.append(torch.cat(chosen).float().cpu())
    return torch.cat(parts, dim=1)


def relative_errors(
    outputs: Outputs, expected: np.ndarray, anchors_per_cell: int
) -> tuple[float, float]:
    """‖out − ref‖ / ‖ref − mean(ref)‖ of class logits and of box regressions, at sampled anchors.

    `expected` is float32 [anchors, classes + 4], as `sample_outputs` gives it.

    Against the spread of the reference and not its size: class logits have a large common offset,
    beside which outputs of another photo would seem 25 % off.
    """
    # torch and not numpy, whose BLAS has threads of its own that spin on into the next request
    sampled = sample_outputs(outputs, anchors_per_cell).double()
    reference = torch.from_numpy(np.array(expected)).double()
    errors = []
    for part in (np.s_[:, :-4], np.s_[:, -4:]):
        spread = (reference[part] - reference[part].mean()).square().sum().sqrt()
        errors.append(float((sampled[part] - reference[part]).square().sum().sqrt() / spread))
    return errors[0], errors[1]
