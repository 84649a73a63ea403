"""Writes the detections of an accuracy pass in COCO's results format, one file for each model.

COCO's own evaluation reads these files: `COCO(annotations).loadRes(file)` of pycocotools.
"""

import argparse
import json
from pathlib import Path

from effdet_bench import layout, records
from effdet_bench.accuracy.kept import accuracy_folders, read_tables
from effdet_bench.config.chosen import add_results, chosen
from effdet_bench.config.names import DEVICES, REFERENCE
from effdet_bench.errors import BenchError
from effdet_bench.validity.average_precision import results_of


def write_results(archive: layout.Archive, device: str, mode: str, output: Path) -> list[Path]:
    """Writes the detections of `mode` on `device` into the folder `output`; returns the files.

    The mode `REFERENCE` is upstream effdet, whose device is the CPU.

    Raises:
        BenchError: the archive has no completed accuracy pass of the mode, or is damaged.
    """
    passes = accuracy_folders(archive)
    if (device, mode) not in passes:
        known = ", ".join(f"{one} on {where}" for where, one in passes) or "none"
        raise BenchError(
            f"{archive.root} has no accuracy pass of {mode} on {device}, but of: {known}; "
            "docs/accuracy.md says how to run passes."
        )
    folder = passes[device, mode]
    if reason := records.read_json(folder / layout.PASS_RECORD, "accuracy_pass")["reason"]:
        raise BenchError(
            f"the accuracy pass of {mode} on {device} did not complete ({reason}): "
            "`effdet-bench retry` has the next run repeat it."
        )
    models = [entry["model"] for entry in records.settings_of(archive)["ensemble"]]
    annotations = records.read_json(archive.annotations, "annotations")
    ids = {image["file_name"]: image["id"] for image in annotations["images"]}
    written = []
    for model, tables in read_tables(folder, models).items():
        results = results_of({ids[photo]: table for photo, table in tables.items()})
        written.append(output / f"{mode}-{device}-{model}.json")
        records.write_text(written[-1], json.dumps(results))
    return written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results(parser)
    parser.add_argument("--mode", required=True, help=f"a mode, or {REFERENCE}")
    parser.add_argument("--device", default=DEVICES[0], choices=DEVICES)
    parser.add_argument("--output", type=Path, default=Path(), help="folder for the files")


def run(args: argparse.Namespace) -> None:
    for path in write_results(chosen(args), args.device, args.mode, args.output):
        print(path)
