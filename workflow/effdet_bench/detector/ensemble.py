"""The networks of an ensemble: effdet builds them, and weights must fit them exactly."""

import functools
import io
import pickle
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import effdet
import torch
from effdet.anchors import Anchors, get_feat_sizes
from effdet.config.model_config import efficientdet_model_param_dict
from effdet.data.transforms import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from effdet_bench.config.names import COCO_CLASSES
from effdet_bench.errors import BenchError, did_you_mean
from effdet_bench.records import Record

# unpacked bytes ÷ bytes of a checkpoint; torch compresses nothing, so a real ratio is near 1
LARGEST_RATIO = 10


@dataclass(frozen=True)
class Model:
    """One network of the ensemble and what a request needs to know about it.

    `config` is effdet's configuration of the network; `image_size` is (height, width) in pixels;
    `mean` and `std` are of RGB in [0, 1]; `anchors` is float32 [anchors, 4] in yxyx pixels of the
    network's input. `built` is the network in PyTorch, and `export` the folder of an engine's
    export of the network. Each may be `None`.
    """

    name: str
    config: Any
    image_size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    anchors: torch.Tensor
    built: torch.nn.Module | None = None
    export: Path | None = None

    @property
    def network(self) -> torch.nn.Module:
        """The network in PyTorch, which modes that run on an export do not have."""
        assert self.built is not None, "this mode runs on an export, and its engine says so"
        return self.built

    # cached, because reading effdet's configuration takes longer than some stages of a request
    @functools.cached_property
    def classes(self) -> int:
        """Number of classes that the network tells apart."""
        return int(self.config.num_classes)

    @functools.cached_property
    def anchors_per_cell(self) -> int:
        """Number of anchors per cell of a feature level; each has a box and a score per class."""
        return int(self.config.num_scales * len(self.config.aspect_ratios))

    @property
    def exported(self) -> Path:
        """The folder of the model's export.

        Raises:
            BenchError: the model has no export.
        """
        if self.export is None:
            raise BenchError(f"{self.name} has no export: run `snakemake --cores 1 timing`.")
        return self.export

    @functools.cached_property
    def cells(self) -> list[tuple[int, int]]:
        """(height, width) of every feature level."""
        sizes: list[tuple[int, int]] = get_feat_sizes(self.image_size, self.config.max_level)
        return sizes[self.config.min_level :]

    @functools.cached_property
    def levels(self) -> tuple[tuple[int, int, int], ...]:
        """(height, width, anchors of a cell) of every feature level."""
        return tuple((high, wide, self.anchors_per_cell) for high, wide in self.cells)


def describe_model(
    architecture: str, classes: int = COCO_CLASSES, name: str | None = None
) -> Model:
    """The model of effdet's `architecture` with `classes` classes, without a network.

    `name` is its name in the ensemble; by default that is `architecture`.

    Raises:
        BenchError: effdet knows no such model.
    """
    if architecture not in efficientdet_model_param_dict:
        hint = did_you_mean(architecture, efficientdet_model_param_dict)
        raise BenchError(f"effdet has no model {architecture!r}{hint}.")
    config = effdet.get_efficientdet_config(architecture)
    config.num_classes = classes
    return Model(
        name=name or architecture,
        config=config,
        image_size=tuple(config.image_size),
        mean=tuple(config.get("mean") or IMAGENET_DEFAULT_MEAN),
        std=tuple(config.get("std") or IMAGENET_DEFAULT_STD),
        anchors=Anchors.from_config(config).boxes,
    )


def build_model(architecture: str, classes: int = COCO_CLASSES, name: str | None = None) -> Model:
    """`describe_model` with effdet's network: new weights, in fp32 and in evaluation mode."""
    model = describe_model(architecture, classes, name)
    return replace(model, built=_build(architecture, classes))


def _build(architecture: str, classes: int) -> torch.nn.Module:
    network: torch.nn.Module = effdet.create_model(
        architecture, num_classes=classes, pretrained=False, pretrained_backbone=False
    )
    return network.eval()


def load_model(entry: Record, data: bytes, where: str) -> Model:
    """`build_model` of `entry` with the weights in `data`, a state dict as torch.save writes it.

    `entry` has `model`, `architecture` and `classes`, as a record of `verify` does. `where` names
    the file in messages. No code in `data` runs.

    Raises:
        BenchError: `data` is no such file, would run code, unpacks to more than `LARGEST_RATIO`
            times its size, or does not fit the network.
    """
    try:
        if zipfile.is_zipfile(io.BytesIO(data)):
            _refuse_bomb(data, where)
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BenchError(
            f"{where} is not loaded, because it is damaged, or is a pickle that would run code: "
            f"use a plain state dict instead (torch says: {_first_line(error)})."
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, MemoryError, zipfile.BadZipFile) as error:
        raise BenchError(
            f"{where} is not a checkpoint that torch can read ({_first_line(error)}): replace it."
        ) from None
    model = describe_model(entry["architecture"], entry["classes"], entry["model"])
    if not isinstance(state, dict):
        raise BenchError(f"{where} holds a {type(state).__name__}, not a state dict: replace it.")
    with torch.device("meta"):  # skips initial weights, which are replaced below
        network = _build(entry["architecture"], entry["classes"])
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    try:
        network.load_state_dict(_in_fp32(state, shapes), strict=True, assign=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        detail = " ".join(str(error).split())[:200]
        raise BenchError(
            f"{where} does not fit the network {entry['architecture']} for {entry['classes']} "
            f"classes: name the model and the classes that it was trained for ({detail})."
        ) from None
    return replace(model, built=network)


def _refuse_bomb(data: bytes, where: str) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        size = sum(file.file_size for file in packed.infolist())
    if size > LARGEST_RATIO * len(data):
        raise BenchError(
            f"{where} is not loaded, because its {len(data)} bytes unpack to {size}: use a "
            "checkpoint that torch.save has written."
        )


def _in_fp32(state: dict[str, Any], shapes: dict[str, torch.Size]) -> dict[str, Any]:
    """`state` with its weights in fp32, whatever their precision in the file.

    A tensor whose shape is not the network's stays as it is, because a small file can claim a
    tensor that is larger than the memory, which a conversion would allocate.
    """
    return {
        key: value.float()
        if torch.is_tensor(value) and value.is_floating_point() and value.shape == shapes.get(key)
        else value
        for key, value in state.items()
    }


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
