"""One request: an encoded photo in memory, to one detection table per model on the host.

Preprocessing is effdet's evaluation transform: an aspect-preserving bilinear resize into the top
left corner, mean colour elsewhere, then (x - mean) / std on the device.
"""

import functools
import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from effdet_bench.engine import Engine
from effdet_bench.ensemble import Model
from effdet_bench.postprocess import Outputs

Mark = Callable[[str, str], None]


class ModelInput(NamedTuple):
    """What one network gets of a photo.

    `pixels` is float32 [1, 3, height, width], normalised. `scale` [1] takes boxes of the network's
    input to the photo, `size` [1, 2] is the photo's (width, height) in pixels.
    """

    pixels: torch.Tensor
    scale: torch.Tensor
    size: torch.Tensor


def decode(encoded: bytes) -> Image.Image:
    """The RGB image in `encoded`; an EXIF orientation is not applied, as in effdet and COCO."""
    return Image.open(io.BytesIO(encoded)).convert("RGB")


def letterbox_scale(image: Image.Image, model: Model) -> float:
    """From pixels of `image` to pixels of the network's input."""
    height, width = model.image_size
    return min(height / image.height, width / image.width)


def preprocess(image: Image.Image, model: Model, device: torch.device) -> ModelInput:
    """Letterboxes `image` to the input of `model` and normalises it on `device`."""
    height, width = model.image_size
    scale = letterbox_scale(image, model)
    resized = image.resize(
        (int(image.width * scale), int(image.height * scale)), Image.Resampling.BILINEAR
    )
    fill = tuple(round(255 * value) for value in model.mean)
    letterboxed = Image.new("RGB", (width, height), fill)
    letterboxed.paste(resized)
    bytes_hwc = torch.from_numpy(np.array(letterboxed)).to(device)
    # effdet hands its networks NCHW in memory too; left as they are, strides would say NHWC
    pixels = bytes_hwc.permute(2, 0, 1)[None].contiguous().float()
    shift, spread = _normalisation(model.mean, model.std, device)
    return ModelInput(
        pixels.sub_(shift).div_(spread),
        torch.tensor([1 / scale], device=device),
        torch.tensor([image.size], dtype=torch.float32, device=device),
    )


@functools.cache
def _normalisation(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """What to subtract from and divide bytes by, each [1, 3, 1, 1]; on the device once."""
    # 255 times in double precision, as effdet does it: in fp32 the last bit would differ
    return tuple(
        torch.tensor([255 * value for value in values], device=device).view(1, 3, 1, 1)
        for values in (mean, std)
    )


def no_mark(stage: str, model: str) -> None:
    """The mark of a timed request: nothing happens between its stages."""


class Answer(NamedTuple):
    """What a request returns, one entry per model of the ensemble.

    `tables` are float32 [detections, 6]: x_min, y_min, x_max, y_max in pixels of the photo, score,
    COCO class id; by falling score, filled up with zeros. `outputs` are what the networks returned,
    still on the device: the validity gate looks at them once the clock has stopped.
    """

    tables: list[np.ndarray]
    outputs: list[Outputs]


def serve(engine: Engine, encoded: bytes, mark: Mark = no_mark) -> Answer:
    """Serves one request with every model of the ensemble, as `engine.map` goes through them.

    `mark(stage, model)` is called when a stage has been issued; `model` is empty for `decode`.
    Where stages are marked, models come one after the other.
    """
    image = decode(encoded)
    mark("decode", "")

    def ask(index: int) -> tuple[np.ndarray, Outputs]:
        model = engine.models[index]
        model_input = preprocess(image, model, engine.device)
        mark("preprocess", model.name)
        outputs = engine.forward(index, model_input.pixels)
        mark("forward", model.name)
        detections = engine.postprocess(index, outputs, model_input.scale, model_input.size)
        table = detections.cpu().numpy()
        mark("postprocess", model.name)
        return table, outputs

    through = engine.map if mark is no_mark else map
    tables, outputs = zip(*through(ask, range(len(engine.models))), strict=True)
    return Answer(list(tables), list(outputs))
