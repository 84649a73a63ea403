"""Makes many annotated photos of a few.

`python tests/many_photos.py PHOTOS INSTANCES COUNT OUTPUT` makes COUNT photos. Each is a crop of
one of PHOTOS (a folder), mirrored in half of the cases, and then scaled. The boxes of INSTANCES (a
COCO instances file) are cropped, mirrored and scaled with it. OUTPUT gets the folder `photos` and
the file `instances.json`.
"""

import json
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

SIDE = 0.6, 1.0  # of a crop, as shares of the photo's sides
SCALE = 0.7, 1.3
VISIBLE = 0.5  # share of a box that must lie in the crop


def make_photo(
    source: Path, boxes: list[dict[str, Any]], seed: int, path: Path
) -> tuple[tuple[int, int], list[dict[str, Any]]]:
    """Writes one photo to `path`; returns its (width, height), and its boxes as COCO has them."""
    chance = random.Random(seed)
    image = Image.open(source).convert("RGB")
    wide, high = (round(side * chance.uniform(*SIDE)) for side in image.size)
    left, top = chance.randint(0, image.width - wide), chance.randint(0, image.height - high)
    mirrored, scale = chance.random() < 0.5, chance.uniform(*SCALE)
    image = image.crop((left, top, left + wide, top + high))
    image = ImageOps.mirror(image) if mirrored else image
    image = image.resize((round(wide * scale), round(high * scale)))
    image.save(path, quality=90)
    kept = []
    for one in boxes:
        x, y, width, height = one["bbox"]
        low = max(x - left, 0), max(y - top, 0)
        far = min(x + width - left, wide), min(y + height - top, high)
        shown = max(far[0] - low[0], 0) * max(far[1] - low[1], 0)
        if shown < VISIBLE * width * height or not shown:
            continue
        begin = wide - far[0] if mirrored else low[0]
        sides = begin, low[1], far[0] - low[0], far[1] - low[1]
        share = shown / (width * height)
        moved = {"bbox": [scale * side for side in sides], "area": one["area"] * share * scale**2}
        kept.append(one | moved)
    return image.size, kept


def make_photos(photos: Path, instances: dict[str, Any], count: int, output: Path) -> None:
    """Writes `count` photos, each from one of `photos` in turn, and their COCO instances file."""
    (output / "photos").mkdir(parents=True)
    sources = instances["images"]
    jobs = []
    for number in range(count):
        source = sources[number % len(sources)]
        boxes = [one for one in instances["annotations"] if one["image_id"] == source["id"]]
        path = output / "photos" / f"{number:06}.jpg"
        jobs.append((photos / source["file_name"], boxes, number, path))
    images, annotations = [], []
    with ProcessPoolExecutor() as pool:
        made = pool.map(make_photo, *zip(*jobs, strict=True), chunksize=50)
        for number, ((width, height), boxes) in enumerate(made):
            name = jobs[number][3].name
            images.append({"id": number, "file_name": name, "width": width, "height": height})
            for one in boxes:
                # COCO's evaluation needs ids above 0
                annotations.append(one | {"id": len(annotations) + 1, "image_id": number})
    known = {"images": images, "annotations": annotations, "categories": instances["categories"]}
    (output / "instances.json").write_text(json.dumps(known))


if __name__ == "__main__":
    folder, file, number, target = sys.argv[1:]
    make_photos(Path(folder), json.loads(Path(file).read_text()), int(number), Path(target))
