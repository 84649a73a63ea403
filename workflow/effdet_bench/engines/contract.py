"""What `Engine.forward` must return, checked in the first request of a process, a warm-up."""

from collections.abc import Sequence
from typing import Any, cast

import torch

from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.nms import Outputs
from effdet_bench.detector.request import Served
from effdet_bench.engines.base import Engine
from effdet_bench.errors import BenchError
from effdet_bench.facts.engines import engine_file

PARTS = ("class logits", "boxes")


def checked(engine: Engine, name: str) -> Served:
    """`engine`, whose file is that of the engine `name`, with a check of each result of `forward`.

    Raises, in a request:
        BenchError: the result is wrong; the text names the file and says what is wrong.
    """
    return cast(Served, _Checked(engine, name))


class _Checked:
    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        given = pixels.clone()
        outputs = self._engine.forward(index, pixels)
        model = self._engine.models[index]
        if not torch.equal(given, pixels):
            raise BenchError(
                f"{engine_file(self._name)}: forward changed its input `pixels`, which the gate "
                "compares afterwards: work on a copy."
            )
        if wrong := fault(model, outputs, len(pixels), pixels.device):
            raise BenchError(
                f"{engine_file(self._name)}: forward must return (class logits, boxes), each a "
                f"list of {len(model.cells)} tensors [photos, channels, height, width] on "
                f"{pixels.device}. For the network {model.name} {wrong}."
            )
        return outputs


def fault(model: Model, outputs: Any, photos: int, device: torch.device) -> str | None:
    """What is wrong with `outputs` for a batch of `photos`, in words; `None` if nothing is."""
    if not isinstance(outputs, tuple | list):
        return f"it returned a value of the type {_kind(outputs)}"
    if len(outputs) != len(PARTS):
        return f"it returned {len(outputs)} values"
    expected = [
        [(photos, model.anchors_per_cell * values, *cell) for cell in model.cells]
        for values in (model.classes, 4)
    ]
    if [_shapes(levels) for levels in outputs] == expected[::-1] and model.classes != 4:
        return "it returned the boxes before the class logits"
    for part, levels, shapes in zip(PARTS, outputs, expected, strict=True):
        if wrong := _fault_of_levels(levels, shapes, device):
            return f"the {part} {wrong}"
    return None


def _fault_of_levels(
    levels: Any, shapes: Sequence[tuple[int, ...]], device: torch.device
) -> str | None:
    if not isinstance(levels, tuple | list):
        return f"are a value of the type {_kind(levels)}"
    if len(levels) != len(shapes):
        return f"have {len(levels)} levels instead of {len(shapes)}"
    for number, (level, shape) in enumerate(zip(levels, shapes, strict=True), start=1):
        if not isinstance(level, torch.Tensor):
            return f"are of the type {_kind(level)} in level {number}"
        if tuple(level.shape) != shape:
            return f"have the shape {list(level.shape)} in level {number}, not {list(shape)}"
        if not level.is_floating_point():
            return f"are of {level.dtype} in level {number}, which is no floating-point type"
        if level.device.type != device.type:
            return f"are on {level.device} in level {number}"
    return None


def _shapes(levels: Any) -> list[tuple[int, ...]]:
    """The shapes of `levels`, as far as it is a list of things that have one."""
    if not isinstance(levels, tuple | list):
        return []
    return [tuple(getattr(level, "shape", ())) for level in levels]


def _kind(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
