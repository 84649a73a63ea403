"""Computes COCO's figures of an accuracy pass, and finds the answers that differ most.

`measured` reads only files of the archive, so `audit` can compute the same record.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from effdet_bench import layout, records
from effdet_bench.accuracy.kept import read_tables
from effdet_bench.config.names import SEEN
from effdet_bench.errors import BenchError
from effdet_bench.facts.photos import write_thumbnails
from effdet_bench.records import Record
from effdet_bench.validity.accuracy import Tables, figures_of
from effdet_bench.validity.agreement import pairs
from effdet_runtime.boxes import solid

SHOWN = 10  # photos on which a mode differs most


def difference(expected: np.ndarray, found: np.ndarray) -> float:
    """How much two tables [n, 6] of a photo differ in detections of scores from `SEEN` on.

    That is the sum of the scores of detections without a partner in the other table, see
    `agreement.pairs`. A partner may have a lower score than `SEEN`.
    """
    tables = [solid(expected), solid(found)]
    seen = [table[:, 4] >= SEEN for table in tables]
    if not any(one.any() for one in seen):
        return 0.0
    lonely = [one.copy() for one in seen]
    for matched in pairs(*tables):
        for side, row in zip(lonely, matched, strict=True):
            side[row] = False
    return float(sum(table[one, 4].sum() for table, one in zip(tables, lonely, strict=True)))


def most_different(ours: Mapping[str, Tables], theirs: Mapping[str, Tables]) -> list[Record]:
    """The `SHOWN` answers that differ most from the reference: `model`, `photo`, `difference`."""
    found = [
        (difference(theirs[model][photo], table), photo, model)
        for model, tables in ours.items()
        for photo, table in tables.items()
    ]
    found = sorted(one for one in found if one[0] > 0)
    return [
        {"model": model, "photo": photo, "difference": amount}
        for amount, photo, model in found[: -SHOWN - 1 : -1]
    ]


def measured(archive: layout.Archive, ensemble: list[Record], folder: Path) -> Record:
    """The figures of the pass in `folder`, of a mode or of the reference.

    Returns:
        `models` as of `figures_of`, and `differences` as of `most_different`, which are empty for
        the reference. Both are empty if the pass of the mode did not complete.

    Raises:
        BenchError: a file of the archive is missing or broken.
    """
    models = [entry["model"] for entry in ensemble]
    record = records.read_json(folder / layout.PASS_RECORD, "accuracy_pass")
    if record["outcome"] != "completed":
        return {"models": [], "differences": []}
    annotations = records.read_json(archive.annotations, "annotations")
    tables = read_tables(folder, models)
    photos = {image["file_name"] for image in annotations["images"]}
    if any(found.keys() != photos for found in tables.values()):
        raise BenchError(
            f"the tables of detections in {folder} are of other photos than the annotations: "
            "delete this folder and run again."
        )
    figures, differences = figures_of(ensemble, annotations, tables), []
    if folder != archive.reference_pass:
        differences = most_different(tables, read_tables(archive.reference_pass, models))
    return {"models": figures, "differences": differences}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--records", nargs="+", required=True, help="records of `verify`")
    parser.add_argument("--passes", type=Path, required=True, help="folder of the pass")
    parser.add_argument("--photos", type=Path, required=True, help="folder of the photos")
    parser.add_argument("--results", type=Path, required=True, help="results/<machine>")


def run(args: argparse.Namespace) -> None:
    ensemble = [records.read_json(path, "checkpoint") for path in args.records]
    archive = layout.Archive(args.results)
    found = measured(archive, ensemble, args.passes)
    names = dict.fromkeys(one["photo"] for one in found["differences"])
    write_thumbnails([args.photos / name for name in names], archive.different_photos)
    records.write_json(args.passes / layout.ACCURACY, found, "accuracy")
