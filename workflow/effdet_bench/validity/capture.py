"""Compares the answers of timed requests with the reference, and writes them, between requests."""

import csv
import time
from pathlib import Path

import numpy as np

from effdet_bench import layout
from effdet_bench.detector.request import Answer
from effdet_bench.records import DETECTION, GROUPED
from effdet_bench.reference.output_errors import Errors, row_of
from effdet_bench.validity.checks import Checks, Compared

SETTLE_SECONDS = 0.02  # for threads that helped with a check to stop spinning


class Capture:
    """Writes a row per request and model to `outputs.csv`, with numbers into two other files.

    These are `errors.csv` with the errors by group, and `detections.csv` with the detections; what
    comes again is written once. `checks` has the `Checks` of each model of the ensemble, by name.
    """

    def __init__(self, folder: Path, checks: dict[str, Checks]) -> None:
        self._folder = folder
        self._checks = checks
        self._tables: dict[tuple[str, bytes], int] = {}
        self._errors: dict[Errors, int] = {}

    def __call__(self, request: int, photo: str, answer: Answer) -> None:
        """Compares the `answer` to `photo`, a file name."""
        answers, checked = list(zip(*answer, strict=True)), False
        for index, (model, checks) in enumerate(self._checks.items()):
            if index >= len(answers):
                compared, table = Compared("no answer"), None
            else:
                table, given, outputs = answers[index]
                compared = checks.compare(photo, given, outputs, table)
            checked = checked or compared.logic is not None
            row = [request, photo, model, *self._row(compared, model, table)]
            self._append(layout.OUTPUTS, [row])
        if checked:
            time.sleep(SETTLE_SECONDS)

    def _row(self, compared: Compared, model: str, table: np.ndarray | None) -> list[object]:
        """The row of one model's answer, from the column `fault` on."""
        if compared.errors is None or table is None:
            return [compared.fault, "", "", "", "", "", ""]
        pooled = map(repr, compared.errors[:2])
        written = self._number_errors(compared.errors), self._number_table(model, table)
        return ["", *pooled, *(compared.logic or ("", "")), *written]

    def _number_errors(self, errors: Errors) -> int:
        """The number of `errors` in `errors.csv`, where new ones are appended."""
        if errors not in self._errors:
            self._errors[errors] = len(self._errors)
            row = row_of(errors)
            self._append(layout.ERRORS, [[self._errors[errors], *(row[key] for key in GROUPED)]])
        return self._errors[errors]

    def _number_table(self, model: str, table: np.ndarray) -> int:
        """The number of `table` in `detections.csv`, where a new one is appended."""
        key = model, table.tobytes()
        if key not in self._tables:
            number = self._tables[key] = len(self._tables)
            # in the fewest digits that give the same float32
            found = table[table[:, DETECTION.index("score")] > 0]
            self._append(layout.DETECTIONS, [[number, *map(str, row)] for row in found])
        return self._tables[key]

    def _append(self, file: str, rows: list[list[object]]) -> None:
        with (layout.hidden(self._folder / file)).open("a", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows(rows)
