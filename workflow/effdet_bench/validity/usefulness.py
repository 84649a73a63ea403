"""Whether a mode keeps the reference's accuracy by MLPerf's rule, as far as the photos can show."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from effdet_bench.records import Record


class Kept(NamedTuple):
    """Average precision of a mode as a share of the reference's, with a 95 % interval."""

    share: float
    low: float
    high: float


def kept_accuracy(ours: Record, reference: Record) -> Kept | None:
    """The share of the AP of `reference` that `ours` keeps; both are as of `coco_figures`.

    The interval is by bootstrap over photos. Each resample has the same photos for both. `None` if
    the reference's AP is 0.
    """
    mine, theirs = (np.array(one["resampled"]) for one in (ours, reference))
    known = theirs > 0
    if not reference["ap"] or not known.any():
        return None
    low, high = np.percentile(mine[known] / theirs[known], [2.5, 97.5])
    return Kept(ours["ap"] / reference["ap"], float(low), float(high))


def judge_usefulness(
    models: list[Record], accuracy: list[Record], tolerance: Record
) -> tuple[str, str, str] | None:
    """(verdict, figure, reason) if a mode loses accuracy or does not show it enough; else `None`.

    `models` are figures of the gate, and `accuracy` is as of `accuracy.compared`. A mode that
    passed the limits of arithmetic and of detections is as accurate as the reference. A precision
    with a limit `decided` (int8) has only coarse limits of arithmetic, so its modes must show that
    they keep the accuracy. A mode is invalid if any model is.
    """
    found = [*_shortcomings(models, accuracy, tolerance)]
    return min(found, key=lambda one: one[0] != "invalid", default=None)


def _shortcomings(
    models: list[Record], accuracy: list[Record], tolerance: Record
) -> Iterator[tuple[str, str, str]]:
    names = {model["model"] for model in models}  # not the merged table, which has no gate
    known = {
        entry["model"]: entry
        for entry in accuracy
        if entry["model"] in names and entry.get("share") is not None
    }
    least = tolerance["accuracy"]
    for name, entry in known.items():
        words = f"{name}: {entry['share']:.1%} of the reference's average precision is kept"
        words += f" ({entry['low']:.1%} to {entry['high']:.1%})"
        if entry["high"] < least:
            yield "invalid", "accuracy", f"{words}, but at least {least:.0%} is valid"
        elif "decided" in tolerance and entry["low"] < least:
            more = f"{entry['photos']} photos do not decide whether that is {least:.0%}"
            yield "not decided", "accuracy", f"{words}: {more}, take more of them"
    for model in models if "decided" in tolerance else []:
        limit = tolerance["decided"]
        if model["model"] not in known and model["agreement"] < limit:
            yield (
                "not decided",
                "agreement",
                f"{model['model']}: COCO AP against the reference's detections "
                f"{model['agreement']:.3g} is below {limit:g}, where trained weights kept their "
                "accuracy or lost it: give photos with `annotations`, and trained weights",
            )
