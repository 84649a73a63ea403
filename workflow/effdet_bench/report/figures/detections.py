"""Draws detections of a mode and of the reference on photos, so that differences stand out."""

import base64
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from effdet_bench import layout, records
from effdet_bench.accuracy.kept import accuracy_folders, read_tables
from effdet_bench.config.names import COCO_CLASSES, SEEN
from effdet_bench.config.names import REFERENCE as UPSTREAM
from effdet_bench.facts.photos import THUMBNAIL
from effdet_bench.layout import Archive
from effdet_bench.records import Record
from effdet_bench.report.figures.style import COLOURS
from effdet_bench.summary.rows import Row, Summary, standing
from effdet_bench.validity.agreement import pairs
from effdet_bench.validity.answers import Answers, read_captured
from effdet_bench.validity.figures import EMPTY, first_tables
from effdet_runtime.boxes import solid

MOST_QUIET = 20  # drawn on a photo: the best detections that mode and reference share
GAP = 8  # pixels between photos
TOP, CAPTION = 44, 16  # pixels of a figure above its first photo, and of a caption above a photo
IN_ROW = 5  # photos side by side
LEAST_WIDTH = 640  # pixels, for the words above
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
    if not photos:
        return
    fastest = min((row for row in summary["rows"] if row["ranked"]), key=standing, default=None)
    rounds = _rounds_of(archive, fastest) if fastest else []
    for entry in summary["ensemble"]:
        path = archive.reference(entry["model"])
        known = records.read_detections(layout.reference_detections(path), "photo")
        found = first_tables(rounds, entry["model"])
        panels = [
            _panel(photo, sizes, known.get(photo.name), found.get(photo.name), entry["classes"])
            for photo in photos
        ]
        text = _drawing(_title(entry, fastest), panels)
        records.write_text(folder / archive.pictured(entry["model"]).name, text)


def draw_differences(archive: Archive, summary: Summary, folder: Path) -> None:
    """Writes a figure of each mode with an accuracy pass: the photos on which it differs most."""
    passes = accuracy_folders(archive)
    reference = passes.pop(("cpu", UPSTREAM), None)
    if reference is None:
        return
    sizes = records.read_json(archive.photos, "photos")["photos"]
    classes = {entry["model"]: entry["classes"] for entry in summary["ensemble"]}
    expected = read_tables(reference, list(classes))
    for (device, mode), of_mode in passes.items():
        shown = records.read_json(of_mode / layout.ACCURACY, "accuracy")["differences"]
        found = read_tables(of_mode, list(classes)) if shown else {}
        panels = []
        for one in shown:
            model, photo = one["model"], one["photo"]
            tables = expected[model][photo], found[model][photo]
            panel = _panel(archive.different_photos / photo, sizes, *tables, classes[model])
            panels.append(panel | {"caption": f"{photo}, {model}"})
        words = "photos on which it differs most" if panels else "it differs on no photo"
        if records.read_json(of_mode / layout.PASS_RECORD, "accuracy_pass")["reason"]:
            words = "its accuracy pass did not complete"
        text = _drawing(f"{mode} on {device.upper()}, over the reference: {words}.", panels)
        records.write_text(folder / archive.differences(device, mode).name, text)


def _title(entry: Record, row: Row | None) -> str:
    mode = f"{row['mode']} on {row['device'].upper()}, the fastest valid mode" if row else "no mode"
    synthetic = " Synthetic weights: no detection means anything." * (
        entry["weights"] == "synthetic"
    )
    return f"{entry['model']}: {mode}, over the reference.{synthetic}"


def _rounds_of(archive: Archive, row: Row) -> list[Answers]:
    """The captured answers of the mode of `row`."""
    device, mode = row["device"], row["mode"]
    return [read_captured(archive.job(device, mode, done["round"])) for done in row["rounds"]]


def _panel(
    photo: Path,
    sizes: list[Record],
    reference: np.ndarray | None,
    found: np.ndarray | None,
    classes: int,
) -> dict[str, Any]:
    """A photo in a figure: its copy, the size of the copy in pixels, and the boxes on it."""
    names = layout.COCO_NAMES.read_text().splitlines() if classes == COCO_CLASSES else []
    size = next(one for one in sizes if one["file"] == photo.name)
    scale = min(1.0, THUMBNAIL / max(size["width"], size["height"]))
    return {
        "width": round(size["width"] * scale),
        "height": round(size["height"] * scale),
        "data": base64.b64encode(photo.read_bytes()).decode(),
        "boxes": _boxes(reference, found, scale, names),
        "caption": "",
    }


def _drawing(title: str, panels: list[dict[str, Any]]) -> str:
    """The figure, as SVG, of `panels` in rows."""
    caption = CAPTION if any(panel["caption"] for panel in panels) else 0
    width, y = 0, TOP
    for first in range(0, len(panels), IN_ROW):
        row, x = panels[first : first + IN_ROW], GAP
        for panel in row:
            panel |= {"x": x, "y": y + caption}
            x += panel["width"] + GAP
        width, y = max(width, x), y + caption + max(panel["height"] for panel in row) + GAP
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(layout.TEMPLATES), trim_blocks=True, autoescape=True
    ).get_template("detections.svg.j2")
    return template.render(
        title=title,
        only={REFERENCE: "by the reference alone", MODE: "by the mode alone"},
        colours=TINTS,
        strokes={name: Markup(stroke) for name, stroke in STROKES.items()},
        least=SEEN,
        panels=panels,
        width=max(width, LEAST_WIDTH),
        height=y,
    )


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
    return [_box(kind, one, scale, names) for kind, one in drawn if one[4] >= SEEN]


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
