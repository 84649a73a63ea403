"""Checks the answers of one model: its inputs, its outputs and its detections separately."""

import time
from typing import NamedTuple

import numpy as np
import torch

from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs
from effdet_bench.detector.request import ModelInput
from effdet_bench.reference.anchors import sample_outputs
from effdet_bench.reference.logic import Logic, check_table
from effdet_bench.reference.output_errors import Errors, relative_errors
from effdet_bench.reference.outputs import Reference, level_shapes, same_input, sample_input

SPARED = 0.01  # of a mode's processor time, for a photo's checks after the first


class Compared(NamedTuple):
    """One answer of one model, compared with the reference.

    If there is a `fault` (see `validity.gate.FAULTS`), nothing else was compared. `logic` is `None`
    if the table of detections was not checked this time.
    """

    fault: str
    errors: Errors | None = None
    logic: Logic | None = None


class Checks:
    """Compares every answer of `model` in the round `number` with one of `references`.

    Inputs and outputs are sampled at every answer, at the anchors of the round. So wrong answers,
    and outputs of another photo, are found even if they start late in the round. Checking a table
    of detections takes longer. A table is checked at the first answer to each photo, where known
    outputs come with another table, and, as often as `SPARED` allows, where outputs are new.
    `models` is the number of models that share this time.
    """

    def __init__(
        self, model: Model, references: list[Reference], number: int = 0, models: int = 1
    ) -> None:
        self._model = model
        self._share = SPARED / models
        self._record = references[0].record
        sampled = references[0].sampled
        self._anchors = sampled.chosen(number)
        self._places = sampled.places(number)
        self._references = {photo: one for one in references for photo in one.names}
        self._answered: dict[int, tuple[str, Errors]] = {}  # photo and errors by a hash of outputs
        self._checked: set[str | tuple[int, bytes]] = set()
        self._spent = 0.0  # seconds of processor time, of checks after a photo's first

    def compare(
        self, photo: str, given: ModelInput, outputs: Outputs, table: np.ndarray
    ) -> Compared:
        """Compares an answer to `photo`, a file name; `given` is the input of the network."""
        if fault := self._fault(photo, given, outputs, table):
            return Compared(fault)
        sampled, expected = sample_outputs(outputs, self._anchors), self._expected(photo)
        seen = hash(sampled.numpy().tobytes())
        known = seen in self._answered
        if not known:
            if not _are_finite(outputs):
                return Compared("not finite")
            self._answered[seen] = photo, relative_errors(sampled, expected, self._anchors)
        first_photo, errors = self._answered[seen]
        if not np.array_equal(self._expected(first_photo), expected):
            return Compared("stale")
        answer = seen, table.tobytes()
        due = self._is_due(photo, answer, known)
        logic = self._check(photo, answer, outputs, table) if due else None
        return Compared("", errors, logic)

    def _fault(
        self, photo: str, given: ModelInput, outputs: Outputs, table: np.ndarray
    ) -> str | None:
        """The fault of an answer that shows without the values of its outputs; `None` for none."""
        record = self._record
        if level_shapes(outputs) != record["shapes"] or table.shape != (record["rows"], 6):
            return "shape"
        if not same_input(sample_input(given), self._references[photo].input_of(photo)):
            return "input"
        return None if np.isfinite(table).all() else "not finite"

    def _expected(self, photo: str) -> np.ndarray:
        """The reference's outputs at the anchors of this round, read when they are needed."""
        outputs: np.ndarray = self._references[photo].of(photo)[self._places]
        return outputs

    def _is_due(self, photo: str, answer: tuple[int, bytes], known: bool) -> bool:
        """Whether to check the table of an `answer`; `known` if the same outputs came before."""
        if answer in self._checked:
            return False
        # if an engine's outputs differ each time, `spared` alone lets later tables be checked
        spared = self._spent <= self._share * time.process_time()
        return known or photo not in self._checked or spared

    def _check(
        self, photo: str, answer: tuple[int, bytes], outputs: Outputs, table: np.ndarray
    ) -> Logic:
        """Checks the `table` of a photo, and notes that `photo` and `answer` have been checked."""
        again, begin = photo in self._checked, time.process_time()
        self._checked |= {photo, answer}
        scale, *size = self._references[photo].input_of(photo)[:3]
        logic = check_table(self._model, outputs, table, scale[None], torch.stack(size)[None])
        if again:
            self._spent += time.process_time() - begin
        return logic


def _are_finite(outputs: Outputs) -> bool:
    """Whether all values are finite, by their sums: a tenth of the time of a test of each value."""
    sums = [level.sum(dtype=torch.float32) for levels in outputs for level in levels]
    return bool(torch.isfinite(torch.stack(sums)).all())
