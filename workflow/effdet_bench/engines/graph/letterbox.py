"""Makes all inputs from a photo on a GPU, in one launch, equal to Pillow's to the last bit."""

import functools
from collections.abc import Callable

import numpy as np
import torch

from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.request import ModelInput, letterbox_scale
from effdet_bench.engines.graph.kernels import LETTERBOX_HEAD, letterbox
from effdet_bench.engines.graph.resample import columns_first, taps

PHOTO_BYTES = 2**23  # room at first; a larger photo enlarges it
TAPS = 8
WARM_UPS = 3  # runs before a capture: Triton compiles its kernels, and libraries choose theirs


def captured(function: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """A function that launches `function` as one CUDA graph; without CUDA, `function` itself.

    The tensors that `function` uses must stay at their place in memory.
    """
    if device.type != "cuda":
        return function
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            function()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


class Letterbox:
    """The inputs of `models`, in tensors that every photo overwrites.

    These tensors keep their place in memory, because the graph of the networks reads them.
    """

    def __init__(self, models: list[Model], device: torch.device) -> None:
        self._models = models
        self._device = device
        self._colours = [_colours(model).to(device) for model in models]
        self._sizes = [torch.zeros(3, device=device) for _ in models]
        self.inputs = [
            ModelInput(
                torch.zeros(1, 3, *model.image_size, device=device), size[:1], size[1:].view(1, 2)
            )
            for model, size in zip(models, self._sizes, strict=True)
        ]
        self._make_room(PHOTO_BYTES, 1 + TAPS)

    def _make_room(self, size: int, step: int) -> None:
        """Makes room for photos of `size` bytes and resizes of at most `step` - 1 taps a value."""
        self._size, self._step = size, step
        lengths = [LETTERBOX_HEAD + step * sum(model.image_size) for model in self._models]
        # pinned memory, which the GPU reads without the CPU
        pinned = self._device.type == "cuda"
        self._upload = torch.empty(size, dtype=torch.uint8, pin_memory=pinned)
        self._filled = torch.zeros(sum(lengths), dtype=torch.int32, pin_memory=pinned)
        self._photo = torch.zeros(size, dtype=torch.uint8, device=self._device)
        self._table = torch.zeros_like(self._filled, device=self._device)
        self._tables = self._table.split(lengths)
        self._parts = [part.numpy() for part in self._filled.split(lengths)]
        self._launch = captured(self._run, self._device)

    def _run(self) -> None:
        each = zip(self._tables, self._colours, self.inputs, self._sizes, strict=True)
        for table, colours, made, size in each:
            letterbox(self._photo, table, colours, made.pixels)
            size.copy_(table[9:LETTERBOX_HEAD].view(torch.float32))

    def load(self, photo: torch.Tensor) -> None:
        """Makes every network's input from `photo`, uint8 [height, width, 3] of any strides."""
        size, strides = tuple(photo.shape[:2]), tuple(photo.stride())
        filled = [_numbers(size, strides, model.image_size) for model in self._models]
        room = photo.numel(), max(table.shape[1] for _, table in filled)
        if room[0] > self._size or room[1] > self._step:
            self._make_room(max(room[0], self._size), max(room[1], self._step))
        for part, (head, table) in zip(self._parts, filled, strict=True):
            part[:LETTERBOX_HEAD] = head
            part[LETTERBOX_HEAD : LETTERBOX_HEAD + table.size] = table.reshape(-1)
        self._table.copy_(self._filled, non_blocking=True)
        count = room[0]
        flat = photo.permute(_memory_order(photo)).reshape(-1)
        if photo.device.type == "cpu":
            self._upload[:count] = flat
            flat = self._upload[:count]
        self._photo[:count].copy_(flat, non_blocking=True)
        self._launch()


# cached, because many photos share a size
@functools.lru_cache(maxsize=64)
def _numbers(
    size: tuple[int, int], strides: tuple[int, ...], wanted: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The head of the `table` of `kernels.letterbox`, and the taps that follow the head.

    `size` and `strides` are the photo's, `size` as (height, width). `wanted` is the (height, width)
    of the network's input.
    """
    rows, columns = size
    scale = letterbox_scale((columns, rows), wanted)
    high, wide = int(rows * scale), int(columns * scale)
    table = taps([(rows, high), (columns, wide)])
    head = np.zeros(LETTERBOX_HEAD, np.int32)
    first = columns_first(size, (high, wide))
    head[:9] = (rows, columns, high, wide, *strides, table.shape[1], first)
    head[9:].view(np.float32)[:] = (1 / scale, columns, rows)
    return head, table


def _memory_order(photo: torch.Tensor) -> list[int]:
    return sorted(range(photo.ndim), key=lambda axis: -photo.stride()[axis])


def _colours(model: Model) -> torch.Tensor:
    """fp32 [3, 3], see `kernels.letterbox`."""
    # times 255 in double precision, as in `request`
    rows = zip(model.mean, model.std, strict=True)
    return torch.tensor([[255 * mean, 255 * std, round(255 * mean)] for mean, std in rows])
