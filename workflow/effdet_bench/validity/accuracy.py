"""COCO mean average precision of a mode's detections, if the photos have annotations."""

import numpy as np

from effdet_bench.checkpoints.catalogue import RELEASE
from effdet_bench.records import Record
from effdet_bench.validity.agreement import coco_ap
from effdet_bench.validity.answers import Answers
from effdet_bench.validity.figures import EMPTY, first_tables
from effdet_bench.validity.usefulness import kept_accuracy
from effdet_runtime.boxes import merge
from effdet_runtime.results import MERGED

VAL2017 = 5000  # photos of COCO's val2017, whose AP effdet publishes


def mean_average_precision(
    rounds: list[Answers],
    ensemble: list[Record],
    annotations: Record,
    references: dict[str, dict[str, np.ndarray]],
) -> list[Record]:
    """COCO AP in percent of each model with trained weights, over the photos that have annotations.

    The first answer to each photo in `rounds` counts. `ensemble` is as in job.json, `annotations`
    is the record of the step of that name, and `references` are as in `gate.judge`.

    Returns:
        For each model `model`, `photos` (their number), `ap`, and `published`: effdet's own figure
        if weights are those of the release and photos are all of val2017, else `None`. Beside these
        the share of the reference's AP that the mode keeps, see `usefulness.Kept`. Models with
        synthetic weights are left out, because their AP means nothing. If all models have trained
        weights and the same classes, a last entry, `MERGED`, is of their tables merged by
        `effdet_runtime.boxes.merge`.
    """
    ids = {image["file_name"]: image["id"] for image in annotations["images"]}
    trained = [entry for entry in ensemble if entry["weights"] != "synthetic"]
    found, pairs = [], []
    for entry in trained:
        first = first_tables([(one.rows, one.tables) for one in rounds], entry["model"])
        ours = {ids[photo]: table for photo, table in first.items() if photo in ids}
        known = {ids[photo]: table for photo, table in references.get(entry["model"], {}).items()}
        if ours:
            theirs = {image: known.get(image, EMPTY) for image in ours}
            pairs.append((theirs, ours))
            published = _published(entry, annotations, len(ours))
            found.append(_measured(entry["model"], annotations, theirs, ours, published))
    if len(pairs) == len(ensemble) > 1 and len({entry["classes"] for entry in ensemble}) == 1:
        theirs, ours = (_merged(tables) for tables in zip(*pairs, strict=True))
        found.append(_measured(MERGED, annotations, theirs, ours, None))
    return found


def _measured(
    model: str,
    annotations: Record,
    theirs: dict[int, np.ndarray],
    ours: dict[int, np.ndarray],
    published: float | None,
) -> Record:
    kept = kept_accuracy(annotations, theirs, ours)
    ap = 100 * coco_ap(annotations, ours)
    own = {"model": model, "photos": len(ours), "ap": ap, "published": published}
    return own | (kept._asdict() if kept else {})


def _published(entry: Record, annotations: Record, photos: int) -> float | None:
    whole = photos == len(annotations["images"]) == VAL2017
    return (
        RELEASE[entry["architecture"]].val2017_ap
        if whole and entry["weights"] == "release"
        else None
    )


def _merged(models: tuple[dict[int, np.ndarray], ...]) -> dict[int, np.ndarray]:
    """The tables of all `models` merged, for each photo that all models answered."""
    photos = set.intersection(*(set(tables) for tables in models))
    return {photo: merge([tables[photo] for tables in models]) for photo in sorted(photos)}
