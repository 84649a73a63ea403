"""One request: an encoded photo in memory, to one detection table per model on the host.

Preprocessing is effdet's evaluation transform: an aspect-preserving bilinear resize into the top
left corner, mean colour elsewhere, then (x - mean) / std on the device.
"""

import functools
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from PIL import Image

from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs

Mark = Callable[[str, str], None]
T = TypeVar("T")


class Served(Protocol):
    """What a request needs of an engine; `engines.base.Engine` describes each method."""

    models: list[Model]
    device: torch.device

    def begin_request(self) -> None: ...

    def decode(self, encoded: bytes) -> Any: ...

    def preprocess(self, index: int, photo: Any) -> "ModelInput": ...

    def each_model(self, task: Callable[[int], T]) -> list[T]: ...

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs: ...

    def postprocess(
        self, index: int, outputs: Outputs, scale: torch.Tensor, size: torch.Tensor
    ) -> torch.Tensor: ...


class ModelInput(NamedTuple):
    """The input of one network for a photo.

    `pixels` is float32 [1, 3, height, width], normalised. `scale` [1] is the factor from pixels of
    the network's input to pixels of the photo. `size` [1, 2] is the photo's (width, height).
    """

    pixels: torch.Tensor
    scale: torch.Tensor
    size: torch.Tensor


def decode(encoded: bytes) -> Image.Image:
    """The RGB image in `encoded`; an EXIF orientation is not applied, as in effdet and COCO."""
    return Image.open(io.BytesIO(encoded)).convert("RGB")


def letterbox_scale(size: tuple[int, int], wanted: tuple[int, int]) -> float:
    """The factor from pixels of a photo to pixels of a network's input.

    `size` is the photo's (width, height), as in Pillow; `wanted` is the input's (height, width).
    """
    return min(wanted[0] / size[1], wanted[1] / size[0])


def preprocess(image: Image.Image, model: Model, device: torch.device) -> ModelInput:
    """Letterboxes `image` to the input of `model` and normalises it on `device`."""
    height, width = model.image_size
    scale = letterbox_scale(image.size, model.image_size)
    wide, high = int(image.width * scale), int(image.height * scale)
    resized = image.resize((wide, high), Image.Resampling.BILINEAR)
    bytes_hwc = torch.from_numpy(np.array(resized)).to(device)
    shift, spread, padding = _normalisation(model.mean, model.std, device)
    # effdet gives its networks NCHW in memory too; a permutation alone would keep NHWC in memory
    pixels = torch.empty((1, 3, height, width), device=device)
    inside = pixels[..., :high, :wide]
    inside.copy_(bytes_hwc.permute(2, 0, 1)).sub_(shift).div_(spread)
    pixels[..., high:, :] = padding
    pixels[..., :high, wide:] = padding
    return ModelInput(
        pixels,
        torch.tensor([1 / scale], device=device),
        torch.tensor([image.size], dtype=torch.float32, device=device),
    )


@functools.cache
def _normalisation(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What to subtract from bytes, what to divide them by, and the normalised mean colour.

    Each is [3, 1, 1]. The cache keeps them, so that only the first request copies them to `device`.
    """
    # times 255 in double precision, as in effdet: in fp32 the last bit would differ
    shift, spread = (
        torch.tensor([255 * value for value in values], device=device).view(3, 1, 1)
        for values in (mean, std)
    )
    colour = torch.tensor([round(255 * value) for value in mean], device=device).view(3, 1, 1)
    return shift, spread, (colour - shift) / spread


class Answer(NamedTuple):
    """What a request returns, one entry per model of the ensemble.

    `tables` are float32 [detections, 6]: x_min, y_min, x_max, y_max in pixels of the photo, score,
    COCO class id. Rows are by falling score; rows of zeros fill a table up. `inputs` and `outputs`
    are those of the networks, still on the device: the gate compares them after the clock has
    stopped.
    """

    tables: list[np.ndarray]
    inputs: list[ModelInput]
    outputs: list[Outputs]


OfModel = tuple[np.ndarray, ModelInput, Outputs]  # one entry of an `Answer`


def serve(engine: Served, encoded: bytes) -> Answer:
    """Serves one request with every model of the ensemble, in the order that the engine chooses."""
    photo = engine.decode(encoded)
    engine.begin_request()
    return _together(engine.each_model(lambda index: _answer(engine, index, photo, _no_mark)))


def serve_together(engine: Served, batch: list[bytes], pool: ThreadPoolExecutor) -> list[Answer]:
    """Serves a `batch` of requests as one: each network runs once, on all photos.

    The threads of `pool` decode and preprocess the photos side by side. `engine.accept` must have
    been called with the size of the batch.
    """
    photos = list(pool.map(engine.decode, batch))
    engine.begin_request()
    of_models = engine.each_model(lambda index: _answers(engine, index, photos, pool))
    return [_together(list(of_photo)) for of_photo in zip(*of_models, strict=True)]


def serve_in_stages(engine: Served, encoded: bytes, mark: Mark) -> Answer:
    """Serves one request with one model after the other, even if the engine runs them side by side.

    It calls `mark(stage, model)` when it has issued a stage; `model` is empty for `decode`.
    """
    photo = engine.decode(encoded)
    mark("decode", "")
    engine.begin_request()
    return _together([_answer(engine, index, photo, mark) for index in range(len(engine.models))])


def _answer(engine: Served, index: int, photo: Any, mark: Mark) -> OfModel:
    """What model `index` answers to the decoded `photo`."""
    model = engine.models[index]
    model_input = engine.preprocess(index, photo)
    mark("preprocess", model.name)
    outputs = engine.forward(index, model_input.pixels)
    mark("forward", model.name)
    detections = engine.postprocess(index, outputs, model_input.scale, model_input.size)
    table = detections.cpu().numpy()
    mark("postprocess", model.name)
    return table, model_input, outputs


def _answers(
    engine: Served, index: int, photos: list[Any], pool: ThreadPoolExecutor
) -> list[OfModel]:
    """`_answer` for each of `photos`."""
    inputs = list(pool.map(lambda photo: engine.preprocess(index, photo), photos))
    pixels = torch.cat([one.pixels for one in inputs])
    classes, boxes = engine.forward(index, pixels)
    answers = []
    for number, one in enumerate(inputs):
        own = slice(number, number + 1)
        outputs = [level[own] for level in classes], [level[own] for level in boxes]
        detections = engine.postprocess(index, outputs, one.scale, one.size)
        answers.append((detections.cpu().numpy(), one._replace(pixels=pixels[own]), outputs))
    return answers


def _together(answers: list[OfModel]) -> Answer:
    return Answer(*([answer[part] for answer in answers] for part in range(3)))  # type: ignore[arg-type]


def _no_mark(stage: str, model: str) -> None:
    """The mark of a timed request: nothing happens between its stages."""
