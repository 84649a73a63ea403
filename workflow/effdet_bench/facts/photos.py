"""The photos (JPEG files) that requests send."""

import argparse
import hashlib
import io
from pathlib import Path

from PIL import Image

from effdet_bench import records
from effdet_bench.errors import BenchError
from effdet_bench.progress import progress
from effdet_bench.records import Record

SUFFIXES = {".jpg", ".jpeg"}
PICTURED, THUMBNAIL = 4, 320  # how many photos the report shows, and their longer side in pixels
CARRIED = 32  # photos of a large folder that timed requests use
TOLD = 100  # photos after which the terminal shows progress


def list_photos(folder: str | Path) -> list[Path]:
    """The JPEG files of `folder`, sorted by name, which is the order in which requests send them.

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
        # Snakemake reads braces in a path as wildcards, and a line break as the end of the path
        if not str(path).isprintable() or {*"{}"} & {*str(path)}:
            raise BenchError(
                f"config: photos has a file {str(path)!r}, whose name has braces or unprintable "
                "characters: rename it."
            )
    return found


def describe_photos(paths: list[Path]) -> list[Record]:
    """Decodes every photo once and describes it.

    Returns:
        For each photo `file`, `bytes`, `sha256`, and `width` and `height` in pixels.

    Raises:
        BenchError: a file is not a JPEG file that can be decoded; the text names the file.
    """
    described = []
    for number, path in enumerate(paths, start=1):
        described.append(_describe(path))
        if number % TOLD == 0:
            progress(number / len(paths), f"photos: {number:,} of {len(paths):,} checked")
    return described


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
    """Writes small copies of `paths` to `folder`; the report draws detections on them."""
    for path in paths:
        with Image.open(path) as image:
            small = image.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        out = io.BytesIO()
        small.save(out, "JPEG", quality=70)
        records.write_bytes(folder / path.name, out.getvalue())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", required=True, help="folder of JPEG files")
    parser.add_argument("--output", required=True, help="the record to write")
    parser.add_argument("--thumbnails", type=Path, help="folder for copies of the first photos")


def run(args: argparse.Namespace) -> None:
    paths = list_photos(args.folder)
    records.write_json(args.output, {"photos": describe_photos(paths)}, "photos")
    if args.thumbnails:
        write_thumbnails(paths[:PICTURED], args.thumbnails)
