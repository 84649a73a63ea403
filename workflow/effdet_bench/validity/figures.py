"""The figures by which answers are judged: of each model, and of each photo."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from effdet_bench import records
from effdet_bench.records import Record
from effdet_bench.validity.agreement import agreement, duplicates, match
from effdet_bench.validity.answers import Answers
from effdet_bench.validity.arithmetic import Rounding, arithmetic, measured_of

EMPTY = np.zeros((0, len(records.DETECTION)), np.float32)
# figures of a single photo, and the function that finds the worst over photos
OF_PHOTOS = {
    "class_error": max,
    "box_error": max,
    "count": min,
    "duplicates": max,
    "matched": min,
    "box_drift_px": max,
    "score_drift": max,
}
OLD_PARTS = ("class_levels", "box_levels", "classes")  # for archives of schema version 5


def model_figures(
    name: str,
    rounds: list[Answers],
    reference: dict[str, np.ndarray],
    rounding: Rounding | Record | None,
) -> Record:
    """The worst figures of the model `name` in `rounds`, and the figures of each photo.

    `reference` has upstream's tables [n, 6] by photo, except for unseen photos. `rounding` is what
    rounding to the mode's precision does: a record for archives of schema version 5, and `None` if
    the limits of the precision do not use it.
    """
    rows = [answers.rows[answers.rows["model"] == name] for answers in rounds]
    requests = pd.concat(rows)
    faults = [fault for fault in requests["fault"] if fault]
    result = {"model": name, "requests": len(requests), "fault": faults[0] if faults else None}
    if faults or requests.empty:
        nothing = dict.fromkeys((*OF_PHOTOS, "agreement", "wrong", "ties"))
        return result | nothing | {"photos": []}
    # by photo and content, so that an answer that is repeated for another photo is judged there too
    distinct = {}
    for answers, part in zip(rounds, rows, strict=True):
        for photo, number in dict.fromkeys(zip(part["photo"], part["table"], strict=True)):
            if photo in reference:
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


def first_tables(rounds: Iterable[Answers], model: str) -> dict[str, np.ndarray]:
    """The first table of `model` for each photo that it answered in `rounds`."""
    first: dict[str, np.ndarray] = {}
    for answers in rounds:
        rows = answers.rows
        own = rows[(rows["model"] == model) & (rows["fault"] == "")]
        for photo, number in zip(own["photo"], own["table"], strict=True):
            first.setdefault(photo, answers.tables.get(int(number), EMPTY))
    return first


def _photo(name: str, rows: pd.DataFrame, pairs: list[tuple[np.ndarray, np.ndarray]]) -> Record:
    """The worst figures of one photo over its requests; `pairs` are (reference, answer)."""
    result = {
        "photo": name,
        "class_error": float(pd.to_numeric(rows["class_error"]).max()),
        "box_error": float(pd.to_numeric(rows["box_error"]).max()),
    }
    if not pairs:  # an unseen photo: its detections were judged when it was served
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
    """Errors in multiples of what rounding does, see `arithmetic`; empty without `rounding`."""
    if rounding is None:
        return {}
    found = pd.concat(
        own[["photo", "errors"]].astype({"errors": int}).drop_duplicates().merge(answers.errors)
        for answers, own in zip(rounds, rows, strict=True)
    )
    if isinstance(rounding, Rounding):
        return arithmetic(list(found["photo"]), measured_of(found), rounding)
    return {
        part: float(np.max([np.array(t.split(), float) for t in found[part]] / np.array(largest)))
        for part, largest in rounding.items()
        if part in OLD_PARTS
    }


def _logic(requests: pd.DataFrame) -> dict[str, int | None]:
    """Sums of `wrong` and `ties` (see `reference.logic.Logic`) over all checked tables."""
    checked = requests[requests["wrong"] != ""]
    return {key: int(checked[key].astype(int).sum()) for key in ("wrong", "ties")}
