"""Checks that COCO annotations contain every photo, and keeps the part that AP needs."""

import argparse
import json
from hashlib import sha256
from pathlib import Path

from effdet_bench import layout, records
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive
from effdet_bench.records import Record

VAL2017 = {"images": 5000, "annotations": 36_781}
KEPT = {
    "images": ("id", "file_name", "width", "height"),
    "categories": ("id", "name"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd"),
}


def select_annotations(path: str | Path, photos: list[str]) -> Record:
    """The part of the COCO instances file `path` that AP needs, for `photos` by file name.

    Returns:
        `images`, `categories` and `annotations`, with the keys of `KEPT`.

    Raises:
        BenchError: the file is missing, is not a COCO instances file, or lacks a photo.
    """
    setting = f"config: annotations is {str(path)!r}"
    try:
        found = json.loads(Path(path).read_text())
        images = {one["file_name"]: one for one in found["images"]}
        ids = {images[photo]["id"] for photo in photos if photo in images}
        found["images"] = [one for one in found["images"] if one["id"] in ids]
        found["annotations"] = [one for one in found["annotations"] if one["image_id"] in ids]
        kept = {name: [{k: o[k] for k in keys} for o in found[name]] for name, keys in KEPT.items()}
        # pycocotools takes the object 0 for none
        kept["annotations"] = [
            one | {"id": number} for number, one in enumerate(kept["annotations"], start=1)
        ]
    except OSError as error:
        raise BenchError(f"{setting}, which cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BenchError(
            f"{setting}, but that is no COCO instances file: it must hold images, annotations and "
            f"categories as COCO has them ({type(error).__name__}: {error})."
        ) from None
    missing = [photo for photo in photos if photo not in images]
    if missing:
        raise BenchError(
            f"{setting}, which lacks the photo {missing[0]} ({len(missing)} of {len(photos)} "
            "are missing): give the file that belongs to these photos."
        )
    return kept


def is_val2017(annotations: Record, photos: list[Record]) -> bool:
    """Whether `photos` (file, sha256) and their `annotations` are COCO's val2017, as a whole.

    Photos and annotations must be as many as in val2017, and must include the photos of val2017
    that this package has copies of, byte for byte.
    """
    known = {photo["file"]: photo["sha256"] for photo in photos}
    folders = layout.SHIPPED_PHOTOS, layout.CALIBRATION_PHOTOS
    copies = [path for folder in folders for path in folder.glob("*.jpg")]
    return {name: len(annotations[name]) for name in VAL2017} == VAL2017 and all(
        known.get(path.name) == sha256(path.read_bytes()).hexdigest() for path in copies
    )


def annotations_of(archive: Archive) -> Path | None:
    """The annotations that the run of `archive` used; a file of an earlier run may lie there."""
    config = records.settings_of(archive)
    return archive.annotations if config.get("annotations") else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", required=True, help="COCO instances file")
    parser.add_argument("--photos", required=True, help="record of `photos`")
    parser.add_argument("--output", required=True, help="the record to write")


def run(args: argparse.Namespace) -> None:
    photos = records.read_json(args.photos, "photos")["photos"]
    kept = select_annotations(args.file, [photo["file"] for photo in photos])
    kept["val2017"] = is_val2017(kept, photos)
    records.write_json(args.output, kept, "annotations")
