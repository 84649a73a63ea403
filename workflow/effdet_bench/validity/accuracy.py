"""COCO mean average precision of a mode's detections, if the photos have annotations."""

import numpy as np

from effdet_bench.checkpoints.catalogue import RELEASE
from effdet_bench.records import Record
from effdet_bench.validity.agreement import coco_ap
from effdet_bench.validity.answers import Answers
from effdet_bench.validity.figures import EMPTY, first_tables
from effdet_bench.validity.usefulness import kept_accuracy

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
        synthetic weights are left out, because their AP means nothing.
    """
    ids = {image["file_name"]: image["id"] for image in annotations["images"]}
    found = []
    for entry in ensemble:
        first = first_tables([(one.rows, one.tables) for one in rounds], entry["model"])
        tables = {ids[photo]: table for photo, table in first.items() if photo in ids}
        if entry["weights"] == "synthetic" or not tables:
            continue
        known = {ids[photo]: table for photo, table in references.get(entry["model"], {}).items()}
        theirs = {image: known.get(image, EMPTY) for image in tables}
        kept = kept_accuracy(annotations, theirs, tables)
        whole = len(tables) == len(annotations["images"]) == VAL2017
        release = (
            RELEASE[entry["architecture"]] if whole and entry["weights"] == "release" else None
        )
        found.append(
            {
                "model": entry["model"],
                "photos": len(tables),
                "ap": 100 * coco_ap(annotations, tables),
                "published": release.val2017_ap if release else None,
                **(kept._asdict() if kept else {}),
            }
        )
    return found
