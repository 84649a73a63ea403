"""The figures that an answer is judged by: of each model, and of each photo."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from effdet_bench import records
from effdet_bench.records import Record
from effdet_bench.validity.agreement import agreement, duplicates, match
from effdet_bench.validity.arithmetic import Rounding, arithmetic, measured_of

EMPTY = np.zeros((0, len(records.DETECTION)), np.float32)
# figures of a single photo, and whether the largest or the smallest of all photos is the worst
OF_PHOTOS = {
    "class_error": max,
    "box_error": max,
    "count": min,
    "duplicates": max,
    "matched": min,
    "box_drift_px": max,
    "score_drift": max,
}
OLD_PARTS = ("class_levels", "box_levels", "classes")  # of schema version 5


class Answers(NamedTuple):
    """What one round answered, by what its timing job left.

    `rows` of `outputs.csv`, one per request and model; `tables` and `errors` by their number there;
    `requests` of `requests.csv`, and `outside` the processor time that the mode used while others
    had their turn, as a share of its own, both `None` under load. Archives of schema versions 2 to
    4 have no `errors`, and those of version 5 have others.
    """

    rows: pd.DataFrame
    tables: dict[int, np.ndarray]
    errors: pd.DataFrame | None
    requests: pd.DataFrame | None = None
    outside: float | None = None

    @property
    def version(self) -> int:
        """The last schema version by whose rules these answers are judged."""
        if self.errors is None:
            return 4
        return records.SCHEMA_VERSION if "sizes" in self.errors else 5


def model_figures(
    name: str,
    rounds: list[Answers],
    reference: dict[str, np.ndarray],
    rounding: Rounding | Record | None,
) -> Record:
    """The worst figures of the model `name` in `rounds`, and those of each photo.

    `reference` has upstream's tables [n, 6] by photo, for all but unseen ones; `rounding` is what
    rounding to this precision does, if it is one that rounds; a record in archives of version 5.
    """
    rows = [answers.rows[answers.rows["model"] == name] for answers in rounds]
    requests = pd.concat(rows)
    faults = [fault for fault in requests["fault"] if fault]
    result = {"model": name, "requests": len(requests), "fault": faults[0] if faults else None}
    if faults or requests.empty:
        nothing = dict.fromkeys((*OF_PHOTOS, "agreement", "wrong", "ties"))
        return result | nothing | {"photos": []}
    # by photo and content, so that an answer which comes back for another photo is judged there
    distinct = {}
    for answers, part in zip(rounds, rows, strict=True):
        for photo, number in dict.fromkeys(zip(part["photo"], part["table"], strict=True)):
            if photo in reference or answers.errors is None:
                table = answers.tables.get(int(number), EMPTY)
                distinct[photo, table.tobytes()] = reference.get(photo, EMPTY), table
    photos = [
        _photo(str(photo), part, [pair for (of, _), pair in distinct.items() if of == photo])
        for photo, part in requests.groupby("photo")
    ]
    for figure, worst in OF_PHOTOS.items():
        result[figure] = worst(p[figure] for p in photos if p[figure] is not None)
    result["agreement"] = agreement(list(distinct.values()))
    multiples = _multiples(rounds, rows, rounding)
    return result | multiples | _logic(requests) | {"photos": photos}


def first_tables(
    rounds: Iterable[tuple[pd.DataFrame, dict[int, np.ndarray]]], model: str
) -> dict[str, np.ndarray]:
    """The first table of `model` for each photo, of `rounds` of (`outputs.csv`, its tables)."""
    first: dict[str, np.ndarray] = {}
    for rows, tables in rounds:
        own = rows[(rows["model"] == model) & (rows["fault"] == "")]
        for photo, number in zip(own["photo"], own["table"], strict=True):
            first.setdefault(photo, tables.get(int(number), EMPTY))
    return first


def _photo(name: str, rows: pd.DataFrame, pairs: list[tuple[np.ndarray, np.ndarray]]) -> Record:
    """The worst figures of one photo, over its requests and the distinct answers to it."""
    result = {
        "photo": name,
        "class_error": float(pd.to_numeric(rows["class_error"]).max()),
        "box_error": float(pd.to_numeric(rows["box_error"]).max()),
    }
    if not pairs:  # one that was unseen: its detections were judged when it was served
        return dict.fromkeys(("photo", *OF_PHOTOS)) | result
    matches = [match(expected, found) for expected, found in pairs]
    return result | {
        "count": min(matched.size for matched in matches),
        "duplicates": max(duplicates(found) for _, found in pairs),
        "matched": min(matched.share for matched in matches),
        "box_drift_px": max(matched.box_drift_px for matched in matches),
        "score_drift": max(matched.score_drift for matched in matches),
    }


def _multiples(
    rounds: list[Answers], rows: list[pd.DataFrame], rounding: Rounding | Record | None
) -> Record:
    """Errors in multiples of what rounding does, see `arithmetic`."""
    if rounding is None:
        return {}
    found = pd.concat(
        own[["photo", "errors"]].astype({"errors": int}).drop_duplicates().merge(answers.errors)
        for answers, own in zip(rounds, rows, strict=True)
        if answers.errors is not None
    )
    if isinstance(rounding, Rounding):
        return arithmetic(list(found["photo"]), measured_of(found), rounding)
    return {
        part: float(np.max([np.array(t.split(), float) for t in found[part]] / np.array(largest)))
        for part, largest in rounding.items()
        if part in OLD_PARTS
    }


def _logic(requests: pd.DataFrame) -> dict[str, int | None]:
    """Detections of all checked tables that upstream does not make of the same outputs."""
    if "wrong" not in requests:
        return {"wrong": None, "ties": None}
    checked = requests[requests["wrong"] != ""]
    return {key: int(checked[key].astype(int).sum()) for key in ("wrong", "ties")}
