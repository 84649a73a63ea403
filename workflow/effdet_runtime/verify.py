"""Checks a bundle on this machine: its files, its detections, and how long they take."""

import statistics
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from effdet_runtime.boxes import MATCH_IOU, overlap, solid
from effdet_runtime.bundle import PHOTOS, read_bundle
from effdet_runtime.errors import BundleError
from effdet_runtime.photos import decode
from effdet_runtime.pipeline import Serves

WARM_UP, REQUESTS = 2, 20


def verify(root: Path, threads: int | None = None) -> None:
    """Prints what was checked.

    Raises:
        BundleError: a file has changed, or detections differ from the measured ones by more than
            the measured mode differed from the original detector.
    """
    bundle = read_bundle(root)
    print("Files: every digest is right.")
    expected = bundle.expected()
    photos = {name: (root / PHOTOS / name).read_bytes() for name in sorted(expected)}
    least = {entry["name"]: entry["matched"] for entry in bundle.record["models"]}
    with closing(bundle.open(threads)) as pipeline:
        _check_detections(expected, least, pipeline, photos)
        milliseconds = _latency(pipeline, list(photos.values()))
    measured = bundle.record["measured"]
    print(
        f"Latency: {milliseconds:.1f} ms at the median of {REQUESTS} requests; "
        f"{measured['p50_ms']:.1f} ms were measured on {measured['machine']}."
    )


def _check_detections(
    expected: dict[str, dict[str, np.ndarray]],
    least: dict[str, float],
    pipeline: Serves,
    photos: dict[str, bytes],
) -> None:
    for photo, encoded in photos.items():
        tables = pipeline.answer(decode(encoded))
        for model, table in zip(pipeline.models, tables, strict=True):
            wanted = expected[photo][model.name]
            found = matched(wanted, table)
            # one detection of a table may fall either way by rounding alone
            if found < least[model.name] - 1 / max(len(solid(wanted)), 1):
                raise BundleError(
                    f"{photo}: {model.name} finds {found:.0%} of the expected detections, but must "
                    f"find {least[model.name]:.0%}: reinstall what the bundle names, or measure "
                    "this machine."
                )
            print(f"Detections: {photo}, {model.name}: {found:.0%} as expected.")


def matched(expected: np.ndarray, found: np.ndarray) -> float:
    """The share of detections with a partner: of one class, with an overlap of `MATCH_IOU`.

    Both are tables [n, 6] of `boxes.detect`. The larger table counts in full, so detections that
    are too many count as well as those that are missing.
    """
    expected, found = solid(expected), solid(found)
    larger = max(len(expected), len(found))
    if not len(expected) or not len(found):
        return float(larger == 0)
    near = overlap(expected[:, None, :4], found[None, :, :4])
    near[expected[:, None, 5] != found[None, :, 5]] = 0
    partners = 0
    for row in near:
        best = int(row.argmax())
        if row[best] >= MATCH_IOU:
            near[:, best] = 0
            partners += 1
    return partners / larger


def _latency(pipeline: Serves, photos: list[bytes]) -> float:
    """The median time of a request, in milliseconds."""
    taken = []
    for number in range(WARM_UP + REQUESTS):
        begin = time.perf_counter()
        pipeline.answer(decode(photos[number % len(photos)]))
        taken.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(taken[WARM_UP:])
