"""Verifies checkpoints: size, SHA-256, no code in its pickle, all weights, parameters."""

import argparse
import hashlib
import json
from pathlib import Path

from effdet_bench import records
from effdet_bench.checkpoints.catalogue import RELEASE
from effdet_bench.config.names import COCO_CLASSES
from effdet_bench.errors import BenchError
from effdet_bench.imports import importing
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
    with importing():
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ensemble",
        type=json.loads,
        required=True,
        help="JSON: [{model, architecture, classes, weights, why, sha256, bytes}]; the last two "
        "are null if they are unknown",
    )
    parser.add_argument("--files", nargs="+", required=True, help="the checkpoints")
    parser.add_argument("--outputs", nargs="+", required=True, help="the records to write")


def run(args: argparse.Namespace) -> None:
    for entry, file, output in zip(args.ensemble, args.files, args.outputs, strict=True):
        found = verify(entry, file, entry["sha256"], entry["bytes"])
        records.write_json(output, {**entry, **found}, "checkpoint")
