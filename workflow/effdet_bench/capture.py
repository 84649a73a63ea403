"""What the timed requests answered, compared with the reference and kept, between requests."""

import csv
from pathlib import Path
from typing import IO

import numpy as np
import torch

from effdet_bench.errors import BenchError
from effdet_bench.postprocess import Outputs
from effdet_bench.records import DETECTION
from effdet_bench.reference import Reference, level_shapes, sample_outputs
from effdet_bench.request import Answer


class Capture:
    """Writes a row per request and model to `outputs.csv`, each new table to `detections.csv`.

    Every timed request is compared, not one per photo, so that an answer that goes stale or wrong
    later on is seen. A table that was returned before is written once.
    """

    def __init__(self, folder: Path, references: list[Reference]) -> None:
        self._folder = folder
        self._references = references
        self._known: dict[tuple[str, bytes], int] = {}

    def __call__(self, request: int, photo: str, answer: Answer) -> None:
        """Compares the `answer` to `photo`, a file name, with the reference."""
        with (self._folder / ".outputs.csv").open("a", newline="") as out:
            rows = csv.writer(out, lineterminator="\n")
            for index, reference in enumerate(self._references):
                row = self._compare(reference, photo, answer, index)
                rows.writerow([request, photo, reference.record["model"], *row])

    def _compare(self, reference: Reference, photo: str, answer: Answer, index: int) -> list:
        """`fault`, `class_error`, `box_error` and `table` of one model's answer."""
        if index >= min(len(answer.tables), len(answer.outputs)):
            return ["no answer", "", "", ""]
        outputs, table = answer.outputs[index], answer.tables[index]
        record = reference.record
        if level_shapes(outputs) != record["shapes"] or table.shape != (record["rows"], 6):
            return ["shape", "", "", ""]
        finite = all(bool(torch.isfinite(level).all()) for levels in outputs for level in levels)
        if not finite or not np.isfinite(table).all():
            return ["not finite", "", "", ""]
        errors = relative_errors(outputs, reference.of(photo), record["anchors_per_cell"])
        return ["", *map(repr, errors), self._table(record["model"], table)]

    def _table(self, model: str, table: np.ndarray) -> int:
        """The number of `table`, which is written where it is new."""
        key = model, table.tobytes()
        if key not in self._known:
            self._known[key] = len(self._known)
            with (self._folder / ".detections.csv").open("a", newline="") as out:
                write_table(out, self._known[key], table)
        return self._known[key]


def write_table(out: IO[str], number: int, table: np.ndarray) -> None:
    """Rows of `table` that hold a detection, in the fewest digits that give the same float32."""
    rows = csv.writer(out, lineterminator="\n")
    for row in table[table[:, DETECTION.index("score")] > 0]:
        rows.writerow([number, *map(str, row)])


def relative_errors(
    outputs: Outputs, expected: np.ndarray, anchors_per_cell: int
) -> tuple[float, float]:
    """‖out − ref‖ / ‖ref − mean(ref)‖ of class logits and of box regressions, at sampled anchors.

    Against the spread of the reference and not its size: class logits have a large common offset,
    beside which outputs of another photo would seem 25 % off.
    """
    # torch and not numpy, whose BLAS has threads of its own that spin on into the next request
    found = sample_outputs(outputs, anchors_per_cell).double()
    reference = torch.from_numpy(np.array(expected)).double()
    errors = []
    for part in (np.s_[:, :-4], np.s_[:, -4:]):
        spread = (reference[part] - reference[part].mean()).square().sum().sqrt()
        errors.append(float((found[part] - reference[part]).square().sum().sqrt() / spread))
    return errors[0], errors[1]


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
