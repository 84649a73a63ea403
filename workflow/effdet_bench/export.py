"""Exports one model for an engine, and checks that the export answers as PyTorch does."""

import argparse
import json
import multiprocessing
import shutil
import time
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from effdet_bench import records
from effdet_bench.capture import relative_errors
from effdet_bench.checkpoints.verify import check_file
from effdet_bench.devices import open_device
from effdet_bench.engine import engine_module, load_engine, missing_package
from effdet_bench.ensemble import Model, load_model
from effdet_bench.errors import BenchError, cause_of_death, outcome_of
from effdet_bench.modes import engine_versions
from effdet_bench.photos import list_photos
from effdet_bench.reference import sample_outputs
from effdet_bench.request import decode, preprocess
from effdet_bench.rewrite import fuse
from effdet_bench.validity import tolerance_of

CPU = torch.device("cpu")


def export_model(
    engine: str, device: torch.device, options: dict, model: Model, folder: Path, photos: list[Path]
) -> dict:
    """Has `engine` export `model` for `device` to `folder`, which is emptied first.

    `options` are the `precision` of the export, and whether it is of the `fused` network. `photos`
    are to calibrate it on.

    Returns:
        `seconds` that it took, `bytes` of what is there now, and how far its answer to the first of
        the photos is from PyTorch's: relative `class_error` and `box_error`.

    Raises:
        UnavailableError: a package that the engine needs is not installed.
        BenchError: an fp32 export answers otherwise.
    """
    module = engine_module(engine)
    samples = [preprocess(decode(path.read_bytes()), model, CPU).pixels for path in photos]
    with torch.inference_mode():
        expected = sample_outputs(model.network(samples[0].clone()), model.anchors_per_cell).numpy()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begin = time.monotonic()
    network = fuse(model.network) if options["fused"] else model.network
    module.export(replace(model, network=network), device, options, samples, folder)
    seconds = time.monotonic() - begin
    exported = load_engine(engine, [replace(model, export=folder)], device, options)
    with torch.inference_mode():
        found = exported.forward(0, samples[0].to(device))
        errors = relative_errors(found, expected, model.anchors_per_cell)
    if options["precision"] == "fp32" and max(errors) > tolerance_of("fp32")["class_error"]:
        raise BenchError(
            f"the export of {model.name} for {engine} answers otherwise than PyTorch (error "
            f"{max(errors):.2g}): install versions that work together, those of constraints.txt."
        )
    return {
        "seconds": round(seconds, 3),
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "class_error": errors[0],
        "box_error": errors[1],
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", required=True)
    parser.add_argument("--device", required=True, choices=["cpu", "cuda", "mps"])
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--options", type=json.loads, required=True, help="{precision, fused}")
    parser.add_argument("--record", required=True, help="record of `verify`")
    parser.add_argument("--checkpoint", required=True, help="the file that it is of")
    parser.add_argument("--photos", required=True, help="folder of JPEG files to calibrate on")
    parser.add_argument("--output", required=True, help="the record to write, FOLDER.json")


def run(args: argparse.Namespace) -> None:
    checkpoint = records.read_json(args.record, "checkpoint")
    record = {key: getattr(args, key) for key in ("engine", "device", "options")}
    record |= {key: checkpoint[key] for key in ("model", "sha256")}
    record["versions"] = engine_versions(args.engine)
    # in a process of its own, so that a crash of a converter is a record and not the run's end
    theirs, ours = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_send_outcome, args=(ours, args, checkpoint))
    process.start()
    ours.close()
    try:
        record |= theirs.recv()
    except EOFError:
        process.join()
        record |= {"outcome": "failed", "reason": cause_of_death(process.exitcode)}
    process.join()
    records.write_json(args.output, record, "export")
    done = record["reason"] or f"{record['seconds']} s"
    print(f"{args.engine} {record['model']}: export {record['outcome']}: {done}")


def _send_outcome(result: Connection, args: argparse.Namespace, checkpoint: dict) -> None:
    """Exports in this process, and sends what there is to record of it."""
    torch.set_num_threads(args.threads)
    folder = Path(args.output).with_suffix("")
    try:
        device = open_device(args.device)
        data = check_file(args.checkpoint, checkpoint["sha256"])
        model = load_model(checkpoint, data, args.checkpoint)
        photos = list_photos(args.photos)
        found = export_model(args.engine, device, args.options, model, folder, photos)
        result.send({"outcome": "completed", "reason": None, **found})
    except ImportError as error:
        result.send(outcome_of(missing_package(args.engine, error)))
    except Exception as error:
        if not isinstance(error, BenchError):
            traceback.print_exc()
        result.send(outcome_of(error))
