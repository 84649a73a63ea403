"""The engine of CUDA graphs, its kernels run by Triton's interpreter where there is no GPU."""

import copy
import io
from dataclasses import replace

import effdet
import numpy as np
import pytest
import torch
from effdet.anchors import Anchors
from effdet.config import get_efficientdet_config
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.layers import create_conv2d

from effdet_bench.detector import request
from effdet_bench.detector.ensemble import Model, describe_model
from effdet_bench.detector.nms import detect
from effdet_bench.engines import graph
from effdet_bench.engines.graph import Graph, letterbox
from effdet_bench.engines.graph.lowered import Depthwise

CPU = torch.device("cpu")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SIDE = 64
THREE = torch.zeros(3, 7, 9, dtype=torch.uint8)


def small(architecture: str, seed: int = 0) -> Model:
    """`architecture` on photos of 64 × 64, with weights and statistics of no special kind."""
    torch.manual_seed(seed)
    config = get_efficientdet_config(architecture)
    config.image_size, config.num_classes = (SIDE, SIDE), 5
    config.max_detection_points = 1000
    network = effdet.EfficientDet(config, pretrained_backbone=False).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    model = describe_model(architecture, 5)
    anchors = Anchors.from_config(config).boxes
    return replace(model, config=config, image_size=(SIDE, SIDE), anchors=anchors, built=network)


def jpeg(width: int, height: int, subsampling: int = 0) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", subsampling=subsampling)
    return out.getvalue()


BOX = letterbox.Letterbox(
    [replace(describe_model("tf_efficientdet_d0"), image_size=(12, 16))], DEVICE
)


@settings(deadline=None, max_examples=6)
@given(st.integers(1, 40), st.integers(1, 40))
def test_the_letterbox_of_a_gpu_is_pillows_to_the_last_bit(width, height):
    """Tall photos too, whose columns Pillow resizes first from version 13 on."""
    image = request.decode(jpeg(width, height))
    model = replace(describe_model("tf_efficientdet_d0"), image_size=(12, 16))
    try:
        expected = request.preprocess(image, model, CPU)
    except ValueError:
        return  # so narrow that nothing is left of it
    BOX.load(torch.from_numpy(np.array(image)))
    for ours, theirs in zip(BOX.inputs[0], expected, strict=True):
        assert torch.equal(ours.cpu(), theirs)


def test_the_letterbox_makes_room_for_larger_photos(monkeypatch):
    monkeypatch.setattr(letterbox, "PHOTO_BYTES", 1000)
    monkeypatch.setattr(letterbox, "TAPS", 3)
    model = replace(describe_model("tf_efficientdet_d0"), image_size=(8, 8))
    larger = replace(model, image_size=(20, 20))  # which is made of fewer values each, and first
    box = letterbox.Letterbox([larger, model], DEVICE)
    places = [[one.data_ptr() for one in made] for made in box.inputs]
    image = request.decode(jpeg(40, 36))
    channels_first = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    box.load(channels_first.permute(1, 2, 0))
    for made, one in zip(box.inputs, (larger, model), strict=True):
        for ours, theirs in zip(made, request.preprocess(image, one, CPU), strict=True):
            assert torch.equal(ours.cpu(), theirs)
    # a graph that was captured before reads them
    assert [[one.data_ptr() for one in made] for made in box.inputs] == places


@pytest.mark.parametrize(
    ("architecture", "kernels"), [("tf_efficientdet_lite0", False), ("tf_efficientdet_d0", True)]
)
def test_the_graph_answers_as_effdet_does(architecture, kernels, monkeypatch):
    if kernels and DEVICE.type == "cpu":  # its interpreter takes ten seconds for one run of them
        monkeypatch.setattr(Graph, "_warm_up", lambda _: None)
    model = small(architecture)
    network = copy.deepcopy(model.network)
    engine = Graph([model], DEVICE, {"precision": "fp32", "kernels": kernels, "parallel": True})
    encoded = jpeg(70, 50)
    with torch.inference_mode():
        answer = request.serve(engine, encoded)
        given_ = request.preprocess(request.decode(encoded), model, CPU)
        expected = network(given_.pixels)
        outputs = tuple([level.cpu() for level in levels] for levels in answer.outputs[0])
        for levels, others in zip(outputs, expected, strict=True):
            for level, other in zip(levels, others, strict=True):
                torch.testing.assert_close(level, other, rtol=1e-3, atol=1e-4)
        table = detect(model, outputs, model.anchors, *given_[1:])
    np.testing.assert_allclose(answer.tables[0], table.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padding", ["", "same"])
@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 1, 6), (3, 2, 6), (5, 2, 8), (5, 2, 7)])
def test_depthwise_convolutions_pad_as_their_network_does(padding, kernel, stride, side):
    """Networks of TensorFlow (tf_…) pad below and to the right, others on all sides alike."""
    torch.manual_seed(0)
    given = {"stride": stride, "padding": padding, "depthwise": True, "bias": True}
    conv = create_conv2d(4, 4, kernel, **given).to(DEVICE)
    maps = torch.randn(1, 4, side, side + 1, device=DEVICE).to(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(Depthwise(conv)(maps), conv(maps), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernels", [False, True])
def test_shifts_of_batch_norm_are_not_rounded_after_a_convolution_was(kernels, monkeypatch):
    """Twice rounded, they made D2's boxes INVALID; the kernels add them before they round."""
    monkeypatch.setattr(Graph, "_warm_up", lambda _: None)  # what is built is looked at, not run
    engine = Graph([small("tf_efficientdet_d0")], DEVICE, {"precision": "fp16", "kernels": kernels})
    modules = list(engine._networks[0].modules())
    norms = [one for one in modules if isinstance(one, torch.nn.BatchNorm2d)]
    assert bool(norms) != kernels
    assert {one.bias.dtype for one in norms} <= {torch.float32}
    assert all(
        p.dtype == torch.float16
        for one in modules
        if isinstance(one, torch.nn.Conv2d)
        for p in one.parameters()
    )


@pytest.mark.parametrize(("subsampling", "on_gpu"), [(0, True), (1, False), (2, False)])
def test_photos_whose_colour_was_thinned_out_are_decoded_by_the_cpu(
    monkeypatch, subsampling, on_gpu
):
    """nvJPEG fills such colour in otherwise than libjpeg, which the gate would call invalid."""
    asked = []
    monkeypatch.setattr(graph, "decode_jpeg", lambda *given, device: asked.append(1) or THREE)
    engine = object.__new__(Graph)
    engine.options, engine.device = {"gpu_decode": True}, CPU
    photo = engine.decode(jpeg(9, 7, subsampling=subsampling))
    assert photo.shape == (7, 9, 3)
    assert bool(asked) == on_gpu
