"""COCO mean average precision of a mode's detections, where the photos have annotations."""

from effdet_bench.checkpoints.catalogue import RELEASE
from effdet_bench.records import Record
from effdet_bench.validity.agreement import coco_ap
from effdet_bench.validity.figures import EMPTY, Answers

VAL2017 = 5000  # photos of COCO's val2017, whose AP effdet publishes


def mean_average_precision(
    answers: Answers, ensemble: list[Record], annotations: Record
) -> list[Record]:
    """COCO AP in percent of each model with trained weights, over the photos that have annotations.

    `answers` are of one round, `ensemble` as in job.json, and `annotations` what the step of that
    name keeps.

    Returns:
        `model`, `photos`, `ap`, and `published`: effdet's own figure, where these are its release
        weights and the photos are the whole of val2017; else `None`. With synthetic weights AP
        means nothing, and the model is left out.
    """
    ids = {image["file_name"]: image["id"] for image in annotations["images"]}
    found = []
    for entry in ensemble:
        part = answers.rows[answers.rows["photo"].isin(list(ids))]
        part = part[(part["model"] == entry["model"]) & (part["fault"] == "")]
        if entry["weights"] == "synthetic" or part.empty:
            continue
        first = part.drop_duplicates("photo")
        tables = {
            ids[photo]: answers.tables.get(int(number), EMPTY)
            for photo, number in zip(first["photo"], first["table"], strict=True)
        }
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
            }
        )
    return found
