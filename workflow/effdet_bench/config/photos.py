"""The encoded photographs that requests carry."""

import argparse
import hashlib
import io
from pathlib import Path

from PIL import Image

from effdet_bench import records
from effdet_bench.errors import BenchError
from effdet_bench.records import Record

SUFFIXES = {".jpg", ".jpeg"}
PICTURED, THUMBNAIL = 4, 320  # how many are shown, and their longer side in pixels
CARRIED = 32  # photos of a large folder that requests carry, where no more are asked for


def list_photos(folder: str | Path) -> list[Path]:
    """The JPEG files of `folder`, by name: the order in which requests carry them.

    Raises:
        BenchError: there is no such folder, or no JPEG file in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BenchError(f"config: photos is {str(folder)!r}, but there is no such folder.")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise BenchError(f"config: photos is {str(folder)!r}, a folder without any JPEG file.")
    for path in found:
        # Snakemake reads braces in a path as wildcards; line breaks end one in its lists
        if not str(path).isprintable() or {*"{}"} & {*str(path)}:
            raise BenchError(
                f"config: photos has a file {str(path)!r}, with braces or what cannot be printed "
                "in its name: rename it."
            )
    return found


def carried(photos: int, requests: int, rounds: int) -> int:
    """How many of so many `photos` requests carry, the first ones.

    Every mode sends at least `requests` of them in each of `rounds`. Each photo costs a reference,
    and how many a fast mode will send is not known before.
    """
    return min(photos, max(CARRIED, requests * rounds))


def describe_photos(paths: list[Path]) -> list[Record]:
    """Decodes every photo once and tells what it is.

    Returns:
        For each `file`, `bytes`, `sha256`, `width` and `height` in pixels.

    Raises:
        BenchError: one is no JPEG file that can be decoded; the text names it.
    """
    return [_describe(path) for path in paths]


def _describe(path: Path) -> Record:
    try:
        encoded = path.read_bytes()
        with Image.open(io.BytesIO(encoded), formats=["JPEG"]) as image:
            image.convert("RGB")
            width, height = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        text = str(error).split(" <")[0]
        raise BenchError(
            f"{path} is broken or no JPEG file ({text}): repair it or remove it from the folder."
        ) from None
    return {
        "file": path.name,
        "bytes": len(encoded),
        "sha256": hashlib.sha256(encoded).hexdigest(),
        "width": width,
        "height": height,
    }


def write_thumbnails(paths: list[Path], folder: Path) -> None:
    """Small copies of the first `PICTURED` photos, for the report to show detections on."""
    for path in paths[:PICTURED]:
        with Image.open(path) as image:
            small = image.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        out = io.BytesIO()
        small.save(out, "JPEG", quality=70)
        records.write_bytes(folder / path.name, out.getvalue())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", required=True, help="folder of JPEG files")
    parser.add_argument("--output", required=True, help="the record to write")
    parser.add_argument("--thumbnails", type=Path, help="folder for small copies of the first ones")


def run(args: argparse.Namespace) -> None:
    paths = list_photos(args.folder)
    records.write_json(args.output, {"photos": describe_photos(paths)}, "photos")
    if args.thumbnails:
        write_thumbnails(paths, args.thumbnails)
