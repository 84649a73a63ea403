"""COCO annotations of the photos: read, and checked to know every one of them."""

import json
from pathlib import Path

from effdet_bench.errors import BenchError

LISTS = ("images", "annotations", "categories")


def read_annotations(path: str | Path, photos: list[str]) -> dict:
    """Reads COCO instances that must know every file name in `photos`.

    Raises:
        BenchError: the file is missing, is no such file, or does not know a photo.
    """
    setting = f"config: annotations is {str(path)!r}"
    try:
        annotations = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise BenchError(f"{setting}, which cannot be read ({error}).") from None
    if not isinstance(annotations, dict) or not all(
        isinstance(annotations.get(key), list) for key in LISTS
    ):
        raise BenchError(
            f"{setting}, but that is no COCO instances file: it must hold the lists "
            f"{', '.join(LISTS)}."
        )
    known = {image["file_name"] for image in annotations["images"]}
    missing = [photo for photo in photos if photo not in known]
    if missing:
        raise BenchError(
            f"{setting}, which does not know the photo {missing[0]} ({len(missing)} of "
            f"{len(photos)} are missing): take the file that belongs to these photos."
        )
    return annotations
