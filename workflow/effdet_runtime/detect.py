"""Detects objects in files, and writes what was found as JSON, as CSV and as pictures."""

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from effdet_runtime.detector import Detector
from effdet_runtime.draw import drawn
from effdet_runtime.errors import DeploymentError, PhotoError
from effdet_runtime.results import Detections, Result

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
WRITTEN = (".json", ".csv")


def detect(args: argparse.Namespace) -> None:
    """The command `detect`.

    Raises:
        DeploymentError: there is no photo, the bundle cannot be used, or no photo can be decoded.
    """
    if args.output.suffix not in WRITTEN:
        raise DeploymentError(f"{args.output} must end in {' or '.join(WRITTEN)}.")
    photos = list_photos(args.photos)
    ids = image_ids(photos)
    rows: list[dict[str, Any]] = []
    failed = []
    with Detector(args.bundle, args.threads) as detector:
        for photo in _with_progress(photos):
            try:
                encoded = photo.read_bytes()
                result = detector(encoded)
            except (PhotoError, OSError) as error:
                failed.append(photo)
                print(f"{photo}: {error}", file=sys.stderr)
                continue
            chosen = [one.above(args.min_score) for one in _tables(result, args.merge)]
            rows += [
                {"file_name": photo.name, **row}
                for one in chosen
                for row in one.to_coco(ids[photo])
            ]
            if args.draw:
                _draw(
                    detector,
                    encoded,
                    result.merged().above(args.draw_score),
                    args.draw / photo.name,
                )
    _write(rows, args.output)
    print(f"{args.output}: {len(rows)} detections in {len(photos) - len(failed)} photos.")
    if failed:
        raise PhotoError(f"{len(failed)} of {len(photos)} photos could not be read: see above.")


def list_photos(given: list[Path]) -> list[Path]:
    """The files in `given`, and the photos in its folders, by name.

    Raises:
        DeploymentError: a path does not exist, or there is no photo.
    """
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            found += sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES)
        elif path.exists():
            found.append(path)
        else:
            raise DeploymentError(f"{path} does not exist: give photos, or folders of photos.")
    if not found:
        raise DeploymentError(
            f"{', '.join(map(str, given))} has no photos ({', '.join(SUFFIXES)})."
        )
    return found


def image_ids(photos: list[Path]) -> dict[Path, int]:
    """The `image_id` of each photo: the number that is its name, as in COCO, if all names are
    numbers; else its place in the list, from 1.
    """
    if all(photo.stem.isdecimal() for photo in photos):
        return {photo: int(photo.stem) for photo in photos}
    return {photo: place for place, photo in enumerate(photos, start=1)}


def _tables(result: Result, merge: bool) -> list[Detections]:
    return [result.merged()] if merge else list(result.models.values())


def _draw(detector: Detector, encoded: bytes, found: Detections, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image: Image.Image = detector.pipeline.decode(encoded)
    drawn(image, found).save(path.with_suffix(".jpg"), quality=90)


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1) + "\n")
        return
    columns = ["file_name", "image_id", "model", "category_id", "class_name", "score"]
    with path.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow([*columns, "x", "y", "width", "height"])
        out.writerows([*(row[key] for key in columns), *row["bbox"]] for row in rows)


def _with_progress(photos: list[Path]) -> Iterator[Path]:
    """`photos`, with a bar on a terminal that shows how many are done."""
    shown = sys.stderr.isatty()
    for done, photo in enumerate(photos):
        if shown:
            bar = "#" * (40 * done // len(photos))
            print(f"\r[{bar:40}] {done}/{len(photos)}", end="", file=sys.stderr, flush=True)
        yield photo
    if shown:
        print(f"\r[{'#' * 40}] {len(photos)}/{len(photos)}", file=sys.stderr)
