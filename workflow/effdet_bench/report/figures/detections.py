"""Draws detections of a mode and of the reference on photos, so that differences stand out."""

import base64
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from effdet_bench import layout, records
from effdet_bench.config.names import COCO_CLASSES
from effdet_bench.facts.photos import THUMBNAIL
from effdet_bench.layout import Archive
from effdet_bench.records import Record
from effdet_bench.report.figures.style import COLOURS
from effdet_bench.summary.rows import Row, Summary, standing
from effdet_bench.validity.agreement import pairs, solid
from effdet_bench.validity.figures import EMPTY, first_tables

LEAST_SCORE = 0.3
MOST_QUIET = 20  # drawn on a photo: the best detections that mode and reference share
GAP = 8  # pixels between photos
REFERENCE, MODE, BOTH = "reference", "mode", "both"
TINTS = {REFERENCE: COLOURS[1], MODE: COLOURS[0]}
STROKES = {
    BOTH: 'stroke="#ffffff" stroke-opacity="0.6" stroke-width="1"',
    REFERENCE: f'stroke="{TINTS[REFERENCE]}" stroke-width="2" stroke-dasharray="5 3"',
    MODE: f'stroke="{TINTS[MODE]}" stroke-width="2.5"',
}


def draw_detections(archive: Archive, summary: Summary, folder: Path) -> None:
    """Writes a figure of each model to `folder`, with the photos that the archive has copies of.

    The mode is the fastest valid one; without a valid mode, only the reference is drawn.
    """
    sizes = records.read_json(archive.photos, "photos")["photos"]
    # a run with other photos may have left other copies
    copies = [archive.thumbnails / size["file"] for size in sizes]
    photos = [copy for copy in copies if copy.exists()]
    ranked = sorted((row for row in summary["rows"] if row["ranked"]), key=standing)
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(layout.TEMPLATES), trim_blocks=True, autoescape=True
    ).get_template("detections.svg.j2")
    for entry in summary["ensemble"] if photos else []:
        path = archive.reference(entry["model"])
        known = records.read_detections(layout.reference_detections(path), "photo")
        found = _tables_of(archive, ranked[0], entry["model"]) if ranked else {}
        panels = _panels(photos, sizes, known, found, entry["classes"])
        text = template.render(
            title=_title(entry, ranked[0] if ranked else None),
            only={REFERENCE: "by the reference alone", MODE: "by the mode alone"},
            colours=TINTS,
            strokes={name: Markup(stroke) for name, stroke in STROKES.items()},
            least=LEAST_SCORE,
            panels=panels,
            width=panels[-1]["x"] + panels[-1]["width"] + GAP,
            height=44 + max(panel["height"] for panel in panels) + GAP,
        )
        records.write_text(folder / archive.pictured(entry["model"]).name, text)


def _title(entry: Record, row: Row | None) -> str:
    mode = f"{row['mode']} on {row['device'].upper()}, the fastest valid mode" if row else "no mode"
    synthetic = " Synthetic weights: no detection means anything." * (
        entry["weights"] == "synthetic"
    )
    return f"{entry['model']}: {mode}, over the reference.{synthetic}"


def _tables_of(archive: Archive, row: Row, model: str) -> dict[str, np.ndarray]:
    """The first table of each photo that `model` answered in the mode of `row`."""
    columns = records.RAW_COLUMNS[layout.OUTPUTS]
    device, mode = row["device"], row["mode"]
    folders = [archive.job(device, mode, done["round"]) for done in row["rounds"]]
    rounds = (
        (
            records.read_table(folder / layout.OUTPUTS, columns),
            records.read_detections(folder / layout.DETECTIONS, "table"),
        )
        for folder in folders
    )
    return first_tables(rounds, model)


def _panels(
    photos: list[Path],
    sizes: list[Record],
    known: dict[str, np.ndarray],
    found: dict[str, np.ndarray],
    classes: int,
) -> list[dict[str, Any]]:
    """For each photo its place in the figure, its copy, and the boxes on it."""
    names = layout.COCO_NAMES.read_text().splitlines() if classes == COCO_CLASSES else []
    described = {photo["file"]: photo for photo in sizes}
    panels: list[dict[str, Any]] = []
    x = GAP
    for photo in photos:
        size = described[photo.name]
        scale = min(1.0, THUMBNAIL / max(size["width"], size["height"]))
        width, height = round(size["width"] * scale), round(size["height"] * scale)
        boxes = _boxes(known.get(photo.name), found.get(photo.name), scale, names)
        data = base64.b64encode(photo.read_bytes()).decode()
        panels.append({"x": x, "width": width, "height": height, "data": data, "boxes": boxes})
        x += width + GAP
    return panels


def _boxes(
    reference: np.ndarray | None, found: np.ndarray | None, scale: float, names: list[str]
) -> list[dict[str, Any]]:
    """Boxes to draw, differences last; if the mode served no such photo, the reference's."""
    reference = solid(EMPTY if reference is None else reference)
    found = reference if found is None else solid(found)
    matched = pairs(reference, found)
    agreed = {row for row, _ in matched}, {column for _, column in matched}
    drawn = [(BOTH, reference[row]) for row in sorted(agreed[0])[:MOST_QUIET]]
    drawn += [(REFERENCE, one) for k, one in enumerate(reference) if k not in agreed[0]]
    drawn += [(MODE, one) for k, one in enumerate(found) if k not in agreed[1]]
    return [_box(kind, one, scale, names) for kind, one in drawn if one[4] >= LEAST_SCORE]


def _box(found: str, row: np.ndarray, scale: float, names: list[str]) -> dict[str, Any]:
    left, top, right, bottom = (round(float(value) * scale, 1) for value in row[:4])
    number = int(row[5])
    named = names[number - 1] if number <= len(names) else f"class {number}"
    return {
        "found": found,
        "x": left,
        "y": top,
        "width": round(right - left, 1),
        "height": round(bottom - top, 1),
        "label": "" if found == BOTH else f"{named} {row[4]:.2f}",
    }
