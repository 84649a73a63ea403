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
from effdet_runtime.results import Result

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
WRITTEN = (".json", ".csv")
DRAWN_SCORE = 0.4


def detect(args: argparse.Namespace) -> None:
    """The command `detect`.

    Raises:
        DeploymentError: there is no photo, the bundle cannot be used, or a photo cannot be decoded.
            Detections in all other photos are written before.
    """
    if args.output.suffix not in WRITTEN:
        raise DeploymentError(f"{args.output} must end in {' or '.join(WRITTEN)}.")
    photos = list_photos(args.photos)
    if args.draw and len({photo.stem for photo in photos}) < len(photos):
        raise DeploymentError("two photos have the same name: draw one folder at a time.")
    if args.draw and any(photo.parent.resolve() == args.draw.resolve() for photo in photos):
        raise DeploymentError(f"pictures in {args.draw} could replace photos: draw to another one.")
    rows: list[dict[str, Any]] = []
    with Detector(args.bundle, args.threads) as detector:
        # before the work, so that a path that cannot be written ends the command at once
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.touch()
        if args.draw:
            args.draw.mkdir(parents=True, exist_ok=True)
        try:
            failed = _detect_all(detector, photos, args, rows)
        finally:
            _write(rows, args.output)  # what was found before Ctrl-C is kept, too
    print(f"{args.output}: {len(rows)} detections in {len(photos) - failed} photos.")
    if failed:
        raise PhotoError(f"{failed} of {len(photos)} photos could not be read or drawn: see above.")


def _detect_all(
    detector: Detector, photos: list[Path], args: argparse.Namespace, rows: list[dict[str, Any]]
) -> int:
    """Adds to `rows` what is found, photo by photo. Returns how many photos failed."""
    failed = 0
    for photo, image_id in _with_progress(image_ids(photos)):
        try:
            image = detector.read(photo)
            result = detector(image)
            rows += _rows(photo, image_id, result, args)
            if args.draw:
                _draw(image, result, args.min_score, args.draw / f"{photo.stem}.jpg")
        except PhotoError as error:
            failed += 1
            print(f"{photo}: {error}", file=sys.stderr)
    return failed


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


def image_ids(photos: list[Path]) -> list[tuple[Path, int]]:
    """Each photo with its `image_id`: the number that is its name, as in COCO, if all names are
    different numbers; else its place in the list, from 1.
    """
    if all(photo.stem.isdecimal() for photo in photos):
        numbers = [int(photo.stem) for photo in photos]
        if len({*numbers}) == len(photos):
            return list(zip(photos, numbers, strict=True))
    return [(photo, place) for place, photo in enumerate(photos, start=1)]


def _rows(
    photo: Path, image_id: int, result: Result, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """What is written of a photo."""
    tables = [result.merged()] if args.merge else result.models.values()
    return [
        {"file_name": photo.name, **row}
        for table in tables
        for row in table.above(args.min_score or 0).to_coco(image_id)
    ]


def _draw(image: Image.Image, result: Result, min_score: float | None, path: Path) -> None:
    found = result.merged().above(DRAWN_SCORE if min_score is None else min_score)
    try:
        drawn(image, found).save(path, quality=90)
    except OSError as error:  # the disk is full, or a side is too long for a JPEG
        raise PhotoError(
            f"the picture {path} cannot be written ({error.strerror or error})."
        ) from None


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1) + "\n")
        return
    columns = ["file_name", "image_id", "model", "category_id", "class_name", "score"]
    # names of files may be in another encoding
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow([*columns, "x", "y", "width", "height"])
        out.writerows([*(row[key] for key in columns), *row["bbox"]] for row in rows)


def _with_progress(photos: list[tuple[Path, int]]) -> Iterator[tuple[Path, int]]:
    """`photos`, with a bar on a terminal that shows how many are done."""
    for done, photo in enumerate(photos):
        _show(done, len(photos))
        yield photo
    _show(len(photos), len(photos))


def _show(done: int, total: int) -> None:
    if sys.stderr.isatty():
        bar = "#" * (40 * done // total)
        end = "\n" if done == total else ""
        print(f"\r[{bar:40}] {done}/{total} photos", end=end, file=sys.stderr, flush=True)
