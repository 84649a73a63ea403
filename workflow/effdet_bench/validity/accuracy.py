"""COCO's average precision of a mode, and what it keeps of the reference's, on annotated photos."""

from collections.abc import Mapping

import numpy as np

from effdet_bench.checkpoints.catalogue import RELEASE
from effdet_bench.records import Record
from effdet_bench.validity.answers import Answers
from effdet_bench.validity.average_precision import coco_figures
from effdet_bench.validity.figures import EMPTY, first_tables
from effdet_bench.validity.usefulness import kept_accuracy
from effdet_runtime.boxes import merge
from effdet_runtime.results import MERGED

Tables = Mapping[str, np.ndarray]  # detections [n, 6] by photo


def figures_of(
    ensemble: list[Record], annotations: Record, tables: Mapping[str, Tables]
) -> list[Record]:
    """COCO's figures of each model with trained weights, over its photos that have annotations.

    `ensemble` is as in job.json, `annotations` is the record of the step of that name, and `tables`
    are detections by model and photo.

    Returns:
        For each model `model`, `photos` (their number) and what `coco_figures` returns. Models with
        synthetic weights are left out, because their AP means nothing. If all models have trained
        weights and the same classes, a last entry, `MERGED`, is of their tables merged by
        `effdet_runtime.boxes.merge`.
    """
    ids = {image["file_name"]: image["id"] for image in annotations["images"]}
    known = {
        entry["model"]: {ids[photo]: table for photo, table in found.items() if photo in ids}
        for entry in ensemble
        if entry["weights"] != "synthetic" and (found := tables[entry["model"]])
    }
    if len(known) == len(ensemble) > 1 and len({entry["classes"] for entry in ensemble}) == 1:
        known[MERGED] = _merged(list(known.values()))
    return [
        {"model": model, "photos": len(found)} | coco_figures(annotations, found)
        for model, found in known.items()
        if found
    ]


def timed_accuracy(
    rounds: list[Answers],
    ensemble: list[Record],
    annotations: Record,
    references: Mapping[str, Tables],
) -> list[Record]:
    """`compared` of the first answer to each photo in `rounds`, by tables of the reference."""
    ours, theirs = {}, {}
    for entry in ensemble:
        model = entry["model"]
        ours[model] = first_tables(rounds, model)
        known = references.get(model, {})
        theirs[model] = {photo: known.get(photo, EMPTY) for photo in ours[model]}
    return compared(
        ensemble,
        annotations,
        figures_of(ensemble, annotations, ours),
        figures_of(ensemble, annotations, theirs),
    )


def compared(
    ensemble: list[Record], annotations: Record, ours: list[Record], theirs: list[Record]
) -> list[Record]:
    """The figures of a mode in percent, beside what it keeps of the reference's AP.

    `ours` and `theirs` are as of `figures_of`, of the mode and of the reference.

    Returns:
        For each model its figures, `published` (effdet's own AP if weights are those of the release
        and the photos are all of val2017, else `None`), and the share that is kept, see
        `usefulness.Kept`.
    """
    entries = {entry["model"]: entry for entry in ensemble}
    reference = {one["model"]: one for one in theirs}
    found = []
    for one in ours:
        kept = kept_accuracy(one, reference[one["model"]])
        shown = {key: _percent(value) for key, value in one.items() if key != "resampled"}
        published = _published(entries.get(one["model"]), annotations, one["photos"])
        found.append(shown | {"published": published} | (kept._asdict() if kept else {}))
    return found


def _percent(value: str | int | float | None) -> str | int | float | None:
    return 100 * value if isinstance(value, float) else value


def _published(entry: Record | None, annotations: Record, photos: int) -> float | None:
    """effdet's own AP of the model `entry`, which is `None` for the merged table."""
    whole = annotations.get("val2017", False) and photos == len(annotations["images"])
    if entry is None or entry["weights"] != "release" or not whole:
        return None
    return RELEASE[entry["architecture"]].val2017_ap


def _merged(models: list[dict[int, np.ndarray]]) -> dict[int, np.ndarray]:
    """The tables of all `models` merged, for each photo that all models answered."""
    photos = set.intersection(*(set(tables) for tables in models))
    return {photo: merge([tables[photo] for tables in models]) for photo in sorted(photos)}
