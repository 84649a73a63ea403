"""What the timed requests answered, compared with the reference and kept, between requests."""

import csv
from pathlib import Path
from typing import IO

import numpy as np
import torch

from effdet_bench import layout
from effdet_bench.detector.request import Answer
from effdet_bench.records import DETECTION
from effdet_bench.reference.outputs import Reference, level_shapes, relative_errors


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
        with (layout.hidden(self._folder / layout.OUTPUTS)).open("a", newline="") as out:
            rows = csv.writer(out, lineterminator="\n")
            for index, reference in enumerate(self._references):
                row = self._compare(reference, photo, answer, index)
                rows.writerow([request, photo, reference.record["model"], *row])

    def _compare(
        self, reference: Reference, photo: str, answer: Answer, index: int
    ) -> list[object]:
        """`fault`, `class_error`, `box_error` and `table` of one model's answer."""
        if index >= min(len(answer.tables), len(answer.outputs)):
            return ["no answer", "", "", ""]
        outputs, table = answer.outputs[index], answer.tables[index]
        record = reference.record
        if level_shapes(outputs) != record["shapes"] or table.shape != (record["rows"], 6):
            return ["shape", "", "", ""]
        # by their sum, which is not finite where one of them is not: a tenth of the time
        sums = [level.sum(dtype=torch.float32) for levels in outputs for level in levels]
        finite = bool(torch.isfinite(torch.stack(sums)).all())
        if not finite or not np.isfinite(table).all():
            return ["not finite", "", "", ""]
        errors = relative_errors(outputs, reference.of(photo), record["anchors_per_cell"])
        return ["", *map(repr, errors), self._table(record["model"], table)]

    def _table(self, model: str, table: np.ndarray) -> int:
        """The number of `table`, which is written where it is new."""
        key = model, table.tobytes()
        if key not in self._known:
            self._known[key] = len(self._known)
            with (layout.hidden(self._folder / layout.DETECTIONS)).open("a", newline="") as out:
                write_table(out, self._known[key], table)
        return self._known[key]


def write_table(out: IO[str], number: int, table: np.ndarray) -> None:
    """Rows of `table` that hold a detection, in the fewest digits that give the same float32."""
    rows = csv.writer(out, lineterminator="\n")
    for row in table[table[:, DETECTION.index("score")] > 0]:
        rows.writerow([number, *map(str, row)])
