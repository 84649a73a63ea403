"""The unseen photo, which no mode was sent before: a variant of a known one, made for each round.

An engine must not know its photos. All modes of a round serve the same variant, in the same turn. A
mode that keeps answers takes longer for the variant than for known photos (after MLPerf's
compliance tests).
"""

import hashlib
import io
import random
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import get_sampling

from effdet_bench import layout
from effdet_bench.config.names import UNSEEN_MARK
from effdet_bench.reference.reference import write_reference
from effdet_bench.worker.networks import Networks, load_networks
from effdet_bench.worker.spec import JobSpec

MOST_CROPPED = 0.04  # of a side: every pixel moves, and the size hardly changes
QUALITIES = range(85, 96)


def vary(name: str, encoded: bytes, order: random.Random) -> tuple[str, bytes]:
    """A variant of the JPEG file `encoded`: mirrored, cropped, and compressed again.

    The variant keeps the subsampling of colours, so that it takes no longer to decode.

    Returns:
        The variant's name and its content. The name has the photo's name, the corners of the crop
        and the quality.
    """
    given = Image.open(io.BytesIO(encoded))
    sampling, image = get_sampling(given), given.convert("RGB")
    most = [int(side * MOST_CROPPED) for side in image.size]
    left, top, right, bottom = (order.randint(min(1, side), side) for side in (*most, *most))
    box = (left, top, image.width - right, image.height - bottom)
    quality = order.choice(QUALITIES)
    out = io.BytesIO()
    ImageOps.mirror(image.crop(box)).save(out, "JPEG", quality=quality, subsampling=sampling)
    corners = "-".join(map(str, box))
    return f"{Path(name).stem}{UNSEEN_MARK}-{corners}-{quality}.jpg", out.getvalue()


def make_unseen(spec: JobSpec, seed: str, networks: Networks | None) -> None:
    """Writes a variant of a photo to the folder `spec.unseen`, and its reference for each model."""
    folder = spec.unseen
    assert folder is not None, "the step `timing` makes one"
    torch.set_num_threads(spec.threads)
    order = random.Random(f"{seed} unseen")
    path = Path(order.choice(spec.photos))
    name, encoded = vary(path.name, path.read_bytes(), order)
    (folder / name).write_bytes(encoded)
    photos = [{"file": name, "sha256": hashlib.sha256(encoded).hexdigest()}]
    models = [replace(files, export=None) for files in spec.models]
    if networks is None or any(f.record["model"] not in networks.loaded for f in models):
        networks = load_networks(models)
    for files in models:
        model = networks.model(files)
        record = layout.unseen_reference(folder, model.name)
        write_reference(model, files.record["sha256"], photos, folder, record)
