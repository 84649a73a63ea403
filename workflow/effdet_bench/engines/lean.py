"""The option `lean`: a request served by `effdet_runtime`, the package that is deployed.

It decodes, prepares inputs and makes tables of detections with NumPy and Pillow, without PyTorch.
Tensors here share memory with its arrays, so that the harness can judge what was served.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs
from effdet_bench.detector.request import ModelInput
from effdet_bench.engines.base import ExportedEngine, refuse_gpus
from effdet_bench.errors import BenchError, UnavailableError
from effdet_runtime import pipeline
from effdet_runtime.boxes import Rules
from effdet_runtime.errors import DeploymentError
from effdet_runtime.networks import library
from effdet_runtime.photos import decode

T = TypeVar("T")


class Lean(ExportedEngine):
    """Networks of the library `name` in a `pipeline` of effdet_runtime, on the CPU.

    Raises:
        UnavailableError: this machine cannot run the networks.
        BenchError: the mode sets `sparse_postprocess` too.
    """

    def __init__(self, name: str, models: list[Model], device: torch.device, options: Options):
        super().__init__(models, device, options)
        refuse_gpus("effdet_runtime", device)
        if self.options.get("sparse_postprocess"):
            raise BenchError("`lean` has a postprocessing of its own: remove sparse_postprocess.")
        with translated():
            self.pipeline = pipeline.open_pipeline(
                [model_of(model) for model in models],
                [model.exported for model in models],
                name,
                self.precision,
                torch.get_num_threads(),
                bool(self.options.get("parallel")),
            )
        self.version = library(name).VERSION

    def each_model(self, task: Callable[[int], T]) -> list[T]:
        # torch's inference mode is a state of each thread
        return self.pipeline.each_model(torch.inference_mode()(task))

    def decode(self, encoded: bytes) -> Image.Image:
        return decode(encoded)

    def preprocess(self, index: int, photo: Image.Image) -> ModelInput:
        pixels, scale, size = self.pipeline.prepare(index, photo)
        return ModelInput(
            torch.from_numpy(pixels), torch.tensor([scale]), torch.tensor([size]).float()
        )

    def accept(self, photos: int) -> None:
        with translated():
            self.pipeline.accept(photos)

    def run(self, index: int, pixels: torch.Tensor) -> list[torch.Tensor]:
        return [as_tensor(table) for table in self.pipeline.run(index, pixels.numpy())]

    def postprocess(
        self, index: int, outputs: Outputs, scale: torch.Tensor, size: torch.Tensor
    ) -> torch.Tensor:
        model = self.models[index]
        anchors = len(model.anchors)
        classes, boxes = (
            _whole(levels, anchors, values)
            for levels, values in zip(outputs, (model.classes, 4), strict=True)
        )
        wide, high = size[0].tolist()
        found = self.pipeline.table(index, classes, boxes, np.float32(scale[0]), (wide, high))
        return torch.from_numpy(found)


def _whole(levels: list[torch.Tensor], anchors: int, values: int) -> np.ndarray:
    """The table [anchors, values] that the `levels` of one photo are views of, not copied."""
    first = levels[0]
    table = first.as_strided((anchors, values), (values, 1), first.storage_offset())
    bits = table.view(torch.int16) if table.dtype == torch.bfloat16 else table
    return bits.numpy()


def model_of(model: Model) -> pipeline.Model:
    """What effdet_runtime needs to know of `model`."""
    config = model.config
    rules = Rules(config.max_det_per_image, config.max_detection_points, model.anchors_per_cell)
    return pipeline.Model(
        model.name, model.image_size, model.mean, model.std, model.anchors.numpy(), rules
    )


def as_tensor(table: np.ndarray) -> torch.Tensor:
    """A tensor on the memory of `table`; int16 are the bits of bfloat16."""
    tensor = torch.from_numpy(table)
    return tensor.view(torch.bfloat16) if table.dtype == np.int16 else tensor


@contextmanager
def translated() -> Iterator[None]:
    """Raises UnavailableError for an error of effdet_runtime."""
    try:
        yield
    except DeploymentError as error:
        raise UnavailableError(str(error)) from None
