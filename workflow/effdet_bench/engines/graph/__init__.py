"""CUDA graphs of all that follows decoding: two launches start a request's work on a GPU.

One graph makes the networks' inputs. Another graph runs the networks and their postprocessing, and
copies the detections to the host.
"""

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from PIL.JpegImagePlugin import get_sampling
from torchvision.io import ImageReadMode, decode_jpeg

from effdet_bench.config.modes import Options
from effdet_bench.detector import request
from effdet_bench.detector.devices import synchronize
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs, detect
from effdet_bench.detector.rewrite import rewritten
from effdet_bench.detector.static import detect_statically
from effdet_bench.engines.base import TYPES, Engine, T, check_triton
from effdet_bench.errors import UnavailableError

OPTIONS = {
    "precision": ["fp16", "bf16", "fp32"],
    "parallel": [False, True],
    "kernels": [False, True],
    "gpu_decode": [False, True],
}
PACKAGES = ["triton"]


class Graph(Engine):
    """The rewritten networks in one precision; BatchNorm stays in fp32 where it is not folded.

    With `parallel`, networks run side by side. With `kernels`, Triton kernels do what memory
    bandwidth limits. With `gpu_decode`, nvJPEG decodes photos where it is exact. Outputs are valid
    until the next request.
    """

    version = f"torch {torch.__version__}"

    def __init__(self, models: list[Model], device: torch.device, options: Options) -> None:
        super().__init__(models, device, {"precision": "fp16", **options})
        # here, because they need Triton
        from effdet_bench.engines.graph.letterbox import Letterbox, captured

        # for one photo cuDNN is a fifth faster on NCHW; the Triton kernels need NHWC
        kernels = bool(self.options.get("kernels"))
        self._layout = torch.channels_last if kernels else torch.contiguous_format
        self._networks = [self._placed(model.network, kernels) for model in models]
        pinned = device.type == "cuda"
        asked = [model.config.max_det_per_image for model in models]
        self._tables = [torch.zeros(rows, 6, pin_memory=pinned) for rows in asked]
        self._certain = torch.zeros(len(models), dtype=torch.bool, pin_memory=pinned)
        self._outputs: list[Outputs] = []
        self._photo: torch.Tensor | None = None
        self._launched = self._waited = False
        with torch.no_grad():
            self._letterbox = Letterbox(models, device)
            self._launch = captured(self._run, device)
        self._warm_up()

    def _placed(self, network: torch.nn.Module, kernels: bool) -> torch.nn.Module:
        # Folded only for `kernels`: PyTorch's convolutions round before they add a bias, and the
        # bias of a folded BatchNorm is itself rounded. D2's box error would be 2.4 times the error
        # that rounding gives upstream.
        placed = rewritten(network, folded=kernels).to(self.device, TYPES[self.precision])
        placed = placed.to(memory_format=self._layout)
        if not kernels:
            for module in placed.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.float()
            return placed
        from effdet_bench.engines.graph.lowered import lowered

        return lowered(placed)

    @torch.inference_mode()
    def _warm_up(self) -> None:
        """Runs the networks once, and upstream's postprocessing twice.

        Few requests need upstream's postprocessing, and PyTorch compiles it in its second run.
        """
        self._launch()
        for index, (_, scale, size) in enumerate(self._letterbox.inputs):
            for _ in range(2):
                detect(self.models[index], self._outputs[index], self._anchors[index], scale, size)

    def _run(self) -> None:
        """Runs all networks on the current inputs, and copies their detections to the host."""
        indices = range(len(self.models))
        if self.options.get("parallel") and self.device.type == "cuda":
            found = self._on_streams(indices)
        else:
            found = [self._answer(index) for index in indices]
        self._outputs = [outputs for outputs, _, _ in found]
        for host, (_, table, _) in zip(self._tables, found, strict=True):
            host.copy_(table, non_blocking=True)
        self._certain.copy_(torch.stack([certain for _, _, certain in found]), non_blocking=True)

    def _on_streams(self, indices: range) -> list[tuple[Outputs, torch.Tensor, torch.Tensor]]:
        current = torch.cuda.current_stream(self.device)
        streams = [torch.cuda.Stream(self.device) for _ in indices]
        found = []
        for index, stream in zip(indices, streams, strict=True):
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                found.append(self._answer(index))
        for stream in streams:
            current.wait_stream(stream)
        return found

    def _answer(self, index: int) -> tuple[Outputs, torch.Tensor, torch.Tensor]:
        pixels, scale, size = self._letterbox.inputs[index]
        pixels = pixels.to(TYPES[self.precision], memory_format=self._layout)
        outputs = self._networks[index](pixels)
        found = detect_statically(self.models[index], outputs, self._anchors[index], scale, size)
        return outputs, *found

    def decode(self, encoded: bytes) -> torch.Tensor:
        """The photo, uint8 [height, width, 3], decoded on the GPU where that gives the same bytes.

        The bytes are the same for photos with a colour value for every pixel (4:4:4). For photos
        with fewer colour values (4:2:0), nvJPEG interpolates otherwise than libjpeg does.
        """
        if self.options.get("gpu_decode") and _has_all_colour(encoded):
            data = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
            photo: torch.Tensor = decode_jpeg(data, ImageReadMode.RGB, device=self.device)
            return photo.permute(1, 2, 0)
        return torch.from_numpy(np.array(request.decode(encoded)))

    def preprocess(self, index: int, photo: torch.Tensor) -> request.ModelInput:
        """The input of network `index`; a new photo makes the inputs of all networks."""
        if photo is not self._photo:
            self._letterbox.load(photo)
            self._photo, self._launched = photo, False
        return self._letterbox.inputs[index]

    def each_model(self, task: Callable[[int], T]) -> list[T]:
        return [task(index) for index in range(len(self.models))]

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        """The outputs of network `index`; the first call of a request runs all networks."""
        if not self._launched:
            self._launch()
            self._launched, self._waited = True, False
        return self._outputs[index]

    def postprocess(
        self, index: int, outputs: Outputs, scale: torch.Tensor, size: torch.Tensor
    ) -> torch.Tensor:
        if not self._waited:
            synchronize(self.device)
            self._waited = True
        if not self._certain[index]:
            return detect(self.models[index], outputs, self._anchors[index], scale, size)
        return self._tables[index].clone()


def _has_all_colour(encoded: bytes) -> bool:
    """Whether `encoded` is a JPEG in three colours, each with a value for every pixel."""
    image = Image.open(io.BytesIO(encoded))  # reads no more than the header
    return image.mode == "RGB" and get_sampling(image) == 0 and image.format == "JPEG"


def load(models: list[Model], device: torch.device, options: Options) -> Engine:
    if device.type != "cuda":
        raise UnavailableError(f"CUDA graphs need an NVIDIA GPU; this is a mode on {device}.")
    check_triton("the engine graph")
    return Graph(models, device, options)
