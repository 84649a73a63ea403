"""Makes seeded weights if no real ones are at hand: for latency and parity, never accuracy.

A freshly initialised effdet network gives every anchor the same score, so NMS has nothing to
decide. Here BatchNorm takes its statistics from photos, so that each layer is normalised by its
actual input (data-dependent initialisation, Krähenbühl et al. 2016, arXiv:1511.06856). The
prediction layers are scaled so that scores spread over (0, 1) and over classes. Random pointwise
convolutions read all directions of their input alike, even directions that carry little but
rounding: with such weights bfloat16 had five times the error of trained weights. Pointwise
convolutions are therefore turned towards the directions that vary most, as in trained networks.
"""

import argparse
import io
import json
import zlib
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.hooks import RemovableHandle

from effdet_bench import records
from effdet_bench.detector.ensemble import Model, build_model
from effdet_bench.detector.request import letterbox_scale, preprocess
from effdet_bench.facts.photos import list_photos
from effdet_bench.records import Record

CLASS_STD, BOX_STD = 2.0, 0.15  # of logits and of box regressions, without padding
ALIGNMENT = 0.15  # weights along a direction grow with this power of the input's variance there
SCORED_HALF = 100  # rank of the logit, in the median photo, that gets a score of 0.5
THREADS = 2  # fixed, because the order of sums depends on the number of threads
ALIKE = 0.9  # share of the variance of prediction weights that anchors of a cell have in common
PADDING_ENERGY = 0.98  # share of padding's difference from photos that class scores ignore


def synthesise(entry: Record, photos: list[Path], seed: int) -> dict[str, torch.Tensor]:
    """A state dict for `entry` of an ensemble: the same for the same seed, photos and processor.

    Models that have a name besides their architecture differ, even if they share an architecture.
    """
    named = entry["model"] != entry["architecture"]
    torch.manual_seed(seed + zlib.crc32(entry["model"].encode()) if named else seed)
    torch.set_num_threads(THREADS)
    model = build_model(entry["architecture"], entry["classes"])
    images = [Image.open(path).convert("RGB") for path in photos]
    device = torch.device("cpu")
    pixels = torch.cat([preprocess(image, model, device).pixels for image in images])
    network: Any = model.network
    heads = [network.class_net, network.box_net]
    features: dict[torch.nn.Module, list[torch.Tensor]] = {head: [] for head in heads}
    hooks = [
        head.predict.conv_pw.register_forward_hook(
            lambda _, inputs, __, kept=features[head]: kept.append(inputs[0])
        )
        for head in heads
    ]
    with torch.no_grad():
        _estimate_batchnorm(model, pixels)
        for hook in hooks:
            hook.remove()
        inside = torch.stack([_inside_photo(model, image, features[heads[0]]) for image in images])
        flat = [
            torch.cat([f.permute(0, 2, 3, 1).flatten(1, 2) for f in features[h]], 1) for h in heads
        ]
        for head in heads:
            _liken_anchors(model, head)
        _ignore_padding(heads[0], flat[0], inside)
        logits = _standardise(heads[0], flat[0], inside, CLASS_STD)
        _standardise(heads[1], flat[1], inside, BOX_STD)
        ranked = logits.flatten(1).topk(SCORED_HALF).values[:, -1]
        heads[0].predict.conv_pw.bias.sub_(ranked.median())
    return model.network.state_dict()


def _estimate_batchnorm(model: Model, pixels: torch.Tensor) -> None:
    """Sets every BatchNorm's statistics from one batch of all photos.

    The statistics are those of one batch and not a running mean, so that in evaluation mode the
    network computes the same on these photos as here. The bias of 1 keeps activations where SiLU
    is nearly linear. Around 0, a photo of higher contrast would grow against the others from layer
    to layer.
    """
    norms = [m for m in model.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.bias.fill_(1.0)
        norm.momentum = 1.0
        norm.train()
    _align_to_inputs(model)
    model.network(pixels)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
        norm.eval()


def _align_to_inputs(model: Model) -> None:
    """Has each pointwise convolution turn its weights when the network runs for the first time.

    The convolution that predicts classes is left out, because all classes would follow the same
    few directions.
    """
    network: Any = model.network
    hooks: dict[torch.nn.Module, RemovableHandle] = {}

    def align(layer: Any, inputs: tuple[torch.Tensor]) -> None:
        hooks.pop(layer).remove()  # the first level turns a layer that levels share
        if inputs[0].shape[2:] == (1, 1):
            return  # squeeze-and-excitation: one value per photo is too few to estimate directions
        values = inputs[0].transpose(0, 1).flatten(1)
        energy, directions = torch.linalg.eigh(torch.cov(values).double())
        strength = (energy.clamp(min=0) / energy.max()) ** ALIGNMENT
        turned = (directions * strength) @ directions.T
        layer.weight.copy_((layer.weight.flatten(1).double() @ turned).view_as(layer.weight))

    for layer in network.modules():
        pointwise = isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (1, 1)
        if pointwise and layer.groups == 1 and layer is not network.class_net.predict.conv_pw:
            hooks[layer] = layer.register_forward_pre_hook(align)


def _inside_photo(model: Model, image: Image.Image, levels: list[torch.Tensor]) -> torch.Tensor:
    """bool [cells of all levels]: whether a cell's centre lies on the photo, not on its padding."""
    height, width = model.image_size
    scale = letterbox_scale(image.size, model.image_size)
    masks = []
    for level in levels:
        rows, columns = level.shape[-2:]
        y = (torch.arange(rows) + 0.5) * height / rows < image.height * scale
        x = (torch.arange(columns) + 0.5) * width / columns < image.width * scale
        masks.append((y[:, None] & x[None, :]).flatten())
    return torch.cat(masks)


def _liken_anchors(model: Model, head: Any) -> None:
    """Gives the anchors of a cell nearly the same weights, so that they find the same objects.

    Overlapping boxes of the same class then compete, as in a trained network, and NMS has work.
    """
    weight = head.predict.conv_pw.weight
    split = weight.unflatten(0, (model.anchors_per_cell, -1))
    weight.copy_((ALIKE**0.5 * split[:1] + (1 - ALIKE) ** 0.5 * split).flatten(0, 1))


def _ignore_padding(head: Any, features: torch.Tensor, inside: torch.Tensor) -> None:
    """Projects out of the class weights the directions in which padding differs from photos.

    Otherwise the strongest scores sit on the padding, where boxes are clipped to nothing.
    """
    apart = features[~inside] - features[inside].mean(0)
    energy, directions = torch.linalg.eigh(apart.T @ apart)
    kept = directions[:, energy.cumsum(0) < (1 - PADDING_ENERGY) * energy.sum()]
    weight = head.predict.conv_pw.weight
    weight.copy_((weight.flatten(1) @ kept @ kept.T).view_as(weight))


def _standardise(
    head: Any, features: torch.Tensor, inside: torch.Tensor, std: float
) -> torch.Tensor:
    """Scales the prediction layer to outputs of mean 0 per channel and `std` overall, on photos.

    Returns:
        Its outputs [photos, cells, channels].
    """
    layer = head.predict.conv_pw
    outputs = features @ layer.weight.flatten(1).T
    mean = outputs[inside].mean(0)
    scale = std / (outputs[inside] - mean).std()
    layer.weight.mul_(scale)
    layer.bias.copy_(-mean * scale)
    standard: torch.Tensor = (outputs - mean) * scale
    return standard


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ensemble", type=json.loads, required=True, help="JSON: [{model, architecture, classes}]"
    )
    parser.add_argument("--photos", required=True, help="folder of photos for the statistics")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--outputs", nargs="+", required=True, help="checkpoints to write")


def run(args: argparse.Namespace) -> None:
    photos = list_photos(args.photos)
    for entry, output in zip(args.ensemble, args.outputs, strict=True):
        # to memory first: torch writes a file's name into it, so equal weights would differ
        buffer = io.BytesIO()
        torch.save(synthesise(entry, photos, args.seed), buffer)
        records.write_bytes(output, buffer.getvalue())
