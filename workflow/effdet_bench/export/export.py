"""Exports the models of an ensemble for an engine that runs its own format."""

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from effdet_bench import layout, records
from effdet_bench.checkpoints.verify import check_file
from effdet_bench.config.modes import Options, engine_versions
from effdet_bench.config.names import DEVICES
from effdet_bench.detector.devices import open_device
from effdet_bench.detector.ensemble import Model, load_model
from effdet_bench.detector.request import decode, preprocess
from effdet_bench.detector.rewrite import rewritten
from effdet_bench.engines.base import allow_tf32
from effdet_bench.engines.loading import engine_module, missing_package
from effdet_bench.facts.photos import list_photos
from effdet_bench.processes import Worker, process_context
from effdet_bench.progress import tell

CPU = torch.device("cpu")
AT_ONCE = 3  # children on the CPU: of D7, the largest network, each takes up to 2.7 GB


@dataclass(frozen=True)
class ExportSpec:
    """What to export and to check, and for which engine.

    `options` are the `precision` of the export, and whether to export the `rewritten` network.
    `checkpoint` is a record of `verify`, and `file` the checkpoint of this record. `photos` is a
    folder of JPEG files to calibrate on. `record` is the path of the export's record.
    """

    engine: str
    device: str
    options: Options
    checkpoint: records.Record
    file: str
    photos: str
    record: str

    @property
    def folder(self) -> Path:
        return layout.export_folder(self.record)

    def model(self) -> Model:
        """The model with its verified weights."""
        data = check_file(self.file, self.checkpoint["sha256"])
        return load_model(self.checkpoint, data, self.file)

    def samples(self, model: Model) -> list[torch.Tensor]:
        """The photos as `model` gets them, each float32 [1, 3, height, width]."""
        paths = list_photos(self.photos)
        return [preprocess(decode(path.read_bytes()), model, CPU).pixels for path in paths]


class Exporter:
    """The export of `spec`, for a process of its own, which alone ends if a converter crashes."""

    def __init__(self, spec: ExportSpec) -> None:
        self._spec = spec

    def export(self) -> records.Record:
        """Writes the export to its folder, which it empties first.

        Returns:
            `bytes` of the files in the folder.

        Raises:
            UnavailableError: a package that the engine needs is not installed.
        """
        spec = self._spec
        torch.set_num_threads(1)  # exports of other models may run beside this one
        allow_tf32(spec.options["precision"] == "tf32")
        module, device = engine_module(spec.engine), open_device(spec.device)
        model = spec.model()
        samples = spec.samples(model)
        shutil.rmtree(spec.folder, ignore_errors=True)
        spec.folder.mkdir(parents=True)
        network = rewritten(model.network) if spec.options["rewritten"] else model.network
        try:
            module.export(replace(model, built=network), device, spec.options, samples, spec.folder)
        except ImportError as error:
            raise missing_package(spec.engine, error) from None
        return {"bytes": sum(path.stat().st_size for path in spec.folder.iterdir())}


def in_children(make: type, specs: Sequence[ExportSpec], method: str) -> list[dict[str, Any]]:
    """What `method` of `make(spec)` returns in a child process of each of `specs`, in order.

    Each result also has the child's `outcome` and `reason`. On the CPU, children work side by side,
    because most exporters use one core. On a GPU they work in turn: TensorRT times kernels.
    """
    at_once = AT_ONCE if all(spec.device == "cpu" for spec in specs) else 1
    results = []
    for begin in range(0, len(specs), at_once):
        batch = specs[begin : begin + at_once]
        workers = [Worker(process_context(), make, spec) for spec in batch]
        for worker in workers:
            worker.ask(method)
        for worker in workers:
            result = worker.answer() or {}
            worker.end()
            results.append({**worker.outcome._asdict(), **result})
    return results


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that the steps `export` and `check_export` share."""
    parser.add_argument("--records", nargs="+", required=True, help="records of `verify`")
    parser.add_argument(
        "--checkpoints", nargs="+", required=True, help="files of these records, in order"
    )
    parser.add_argument("--photos", required=True, help="folder of JPEG files to calibrate on")
    parser.add_argument("--outputs", nargs="+", required=True, help="the records to write")


def specs_of(
    args: argparse.Namespace, known: list[dict[str, Any]], made: list[str]
) -> list[ExportSpec]:
    """The exports of all models, with engine, device and options of `known`, records in `made`."""
    return [
        ExportSpec(
            engine=one["engine"],
            device=one["device"],
            options=one["options"],
            checkpoint=records.read_json(record, "checkpoint"),
            file=file,
            photos=args.photos,
            record=path,
        )
        for one, record, file, path in zip(known, args.records, args.checkpoints, made, strict=True)
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", required=True)
    parser.add_argument("--device", required=True, choices=DEVICES)
    parser.add_argument("--options", type=json.loads, required=True, help="{precision, rewritten}")
    add_network_arguments(parser)


def run(args: argparse.Namespace) -> None:
    specs = specs_of(args, [vars(args)] * len(args.records), args.outputs)
    begin = time.monotonic()
    made = in_children(Exporter, specs, "export")
    seconds = round(time.monotonic() - begin, 3)
    for spec, result in zip(specs, made, strict=True):
        record = {
            "engine": spec.engine,
            "device": spec.device,
            "options": spec.options,
            "model": spec.checkpoint["model"],
            "sha256": spec.checkpoint["sha256"],
            "versions": engine_versions(spec.engine),
            **result,
        }
        if record["outcome"] == "completed":
            record["seconds"] = seconds
        records.write_json(spec.record, record, "export")
        done = record["reason"] or f"{seconds} s for all models"
        text = f"{args.engine} {record['model']}: export {record['outcome']}: {done}"
        print(text, flush=True) if record["outcome"] == "completed" else tell(text)
