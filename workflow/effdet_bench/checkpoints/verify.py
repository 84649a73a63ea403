"""Verifies one checkpoint: size, SHA-256, no code in its pickle, all weights, parameters."""

import argparse
import hashlib
from pathlib import Path

from effdet_bench import records
from effdet_bench.checkpoints.catalogue import RELEASE
from effdet_bench.config.names import COCO_CLASSES
from effdet_bench.errors import BenchError
from effdet_bench.records import Record


def check_file(path: str | Path, sha256: str | None, size: int | None = None) -> bytes:
    """Reads `path` and checks its size in bytes and its SHA-256, each where it is given.

    Returns the bytes, so that the caller loads exactly what was checked.

    Raises:
        BenchError: the file is missing, or its size or SHA-256 is wrong.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BenchError(
            f"{path}: the checkpoint cannot be read ({error.strerror}); check the path in "
            "config.yaml."
        ) from None
    mend = "delete it to have it downloaded again, or replace it by the right file."
    if size is not None and len(data) != size:
        raise BenchError(f"{path} has {len(data)} bytes instead of {size}: {mend}")
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise BenchError(f"{path} has SHA-256 {found} instead of {sha256}: {mend}")
    return data


def verify(entry: Record, path: str | Path, sha256: str | None, size: int | None = None) -> Record:
    """Checks the checkpoint at `path` of `entry`, as `ensemble.load_model` takes it.

    Returns:
        `file`, `bytes`, `sha256`, `parameters` and `image_size` (height, width in pixels).

    Raises:
        BenchError: any check fails; the text says which.
    """
    from effdet_bench.detector.ensemble import load_model

    data = check_file(path, sha256, size)
    loaded = load_model(entry, data, str(path))
    parameters = sum(parameter.numel() for parameter in loaded.network.parameters())
    release = RELEASE.get(entry["architecture"]) if entry["classes"] == COCO_CLASSES else None
    if release and parameters != release.parameters:
        raise BenchError(
            f"{entry['architecture']} has {parameters} parameters in the installed effdet instead "
            f"of {release.parameters}: install the versions of constraints.txt."
        )
    return {
        "file": Path(path).name,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "parameters": parameters,
        "image_size": list(loaded.image_size),
    }


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="its name in the ensemble")
    parser.add_argument("--architecture", help="effdet model name, if it differs from --model")
    parser.add_argument("--classes", type=int, default=COCO_CLASSES)


def network_of(args: argparse.Namespace) -> Record:
    """The entry of an ensemble that the arguments of `add_network_arguments` describe."""
    architecture = args.architecture or args.model
    return {"model": args.model, "architecture": architecture, "classes": args.classes}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network_arguments(parser)
    parser.add_argument("--weights", required=True, choices=["release", "file", "synthetic"])
    parser.add_argument("--why", required=True, help="why these weights were chosen, in words")
    parser.add_argument("--file", required=True, help="the checkpoint")
    parser.add_argument("--sha256", help="SHA-256 that it must have")
    parser.add_argument("--bytes", type=int, help="size in bytes that it must have")
    parser.add_argument("--output", required=True, help="the record to write")


def run(args: argparse.Namespace) -> None:
    entry = network_of(args)
    found = verify(entry, args.file, args.sha256, args.bytes)
    record = {**entry, "weights": args.weights, "why": args.why, **found}
    records.write_json(args.output, record, "checkpoint")
