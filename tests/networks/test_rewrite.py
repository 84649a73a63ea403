"""Rewritten networks and postprocessing give what upstream effdet gives."""

import dataclasses

import effdet
import pytest
import torch
import torchvision
from effdet.anchors import Anchors

from effdet_bench.detector.nms import (
    FIRST_CANDIDATES,
    IOU_THRESHOLD,
    detect,
    detect_sparingly,
    suppress,
)
from effdet_bench.detector.request import decode, preprocess, serve
from effdet_bench.detector.rewrite import Flat, rewritten
from effdet_bench.engines.loading import load_engine
from effdet_bench.facts.photos import list_photos
from helpers import SHIPPED

CPU = torch.device("cpu")
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / (expected - expected.mean()).norm())


@pytest.fixture(scope="module", params=["lite0", "d0"])
def model(request):
    return request.getfixturevalue(request.param)


def resized(model, height: int, width: int):
    """`model` for another size of its input, with the same weights."""
    network = effdet.create_model(
        model.name, pretrained=False, pretrained_backbone=False, image_size=(height, width)
    ).eval()
    network.load_state_dict(model.network.state_dict())
    anchors = Anchors.from_config(network.config).boxes
    return dataclasses.replace(model, built=network, image_size=(height, width), anchors=anchors)


def inputs(model, batch: int = 1) -> torch.Tensor:
    photos = list_photos(SHIPPED)[:batch]
    pixels = [preprocess(decode(path.read_bytes()), model, CPU).pixels for path in photos]
    return torch.cat(pixels)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", [1, 3])
def test_outputs_differ_by_rounding_alone(model, batch, layout):
    pixels = inputs(model, batch)
    network = rewritten(model.network).to(memory_format=layout)
    with torch.inference_mode():
        expected = model.network(pixels.clone())
        found = network(pixels.contiguous(memory_format=layout))
    for ours, theirs in zip(found, expected, strict=True):
        assert [level.shape for level in ours] == [level.shape for level in theirs]
        ours, theirs = (torch.cat([one.flatten() for one in levels]) for levels in (ours, theirs))
        assert relative_error(ours, theirs) < 1e-5


@pytest.mark.parametrize(("height", "width"), [(320, 256), (300, 470), (257, 391)])
def test_odd_sizes(lite0, height, width):
    odd = resized(lite0, height, width)
    pixels = inputs(odd)
    with torch.inference_mode():
        expected, found = odd.network(pixels.clone()), rewritten(odd.network)(pixels)
        for ours, theirs in zip(found, expected, strict=True):
            for one, other in zip(ours, theirs, strict=True):
                assert relative_error(one, other) < 1e-5


def test_the_original_is_left_alone(lite0):
    before = {key: value.clone() for key, value in lite0.network.state_dict().items()}
    rewritten(lite0.network)
    after = lite0.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_nothing_is_left_to_fold_or_to_stack(model):
    kinds = {type(module).__name__ for module in rewritten(model.network).modules()}
    assert not kinds & {"BatchNorm2d", "BatchNormAct2d", "FpnCombine", "HeadNet", "MaxPool2dSame"}


def test_flat_outputs_are_in_the_order_of_anchors(lite0):
    pixels = inputs(lite0)
    with torch.inference_mode():
        levels, tables = lite0.network(pixels.clone()), Flat(lite0.network)(pixels)
    for ours, theirs, values in zip(tables, levels, (90, 4), strict=True):
        rows = [level.permute(0, 2, 3, 1).reshape(1, -1, values) for level in theirs]
        assert torch.equal(ours, torch.cat(rows, 1))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("photo", range(8))
def test_sparing_detections_are_bit_for_bit_those_of_effdet(model, photo, layout):
    given = preprocess(decode(list_photos(SHIPPED)[photo].read_bytes()), model, CPU)
    with torch.inference_mode():
        classes, boxes = model.network(given.pixels)
        outputs = tuple(
            [one.contiguous(memory_format=layout) for one in part] for part in (classes, boxes)
        )
        rest = (model.anchors, given.scale, given.size)
        assert torch.equal(detect_sparingly(model, outputs, *rest), detect(model, outputs, *rest))


def outputs_of(model, fill):
    """Outputs whose class logits `fill(shape)` gives, with boxes of seeded noise."""
    torch.manual_seed(0)
    with torch.inference_mode():
        classes, boxes = model.network(torch.zeros(1, 3, *model.image_size))
    return [fill(level.shape) for level in classes], [torch.randn_like(level) for level in boxes]


REST = (torch.tensor([1.0]), torch.tensor([[320.0, 320.0]]))


def test_candidates_grow_where_nms_leaves_too_few(lite0):
    """All boxes on one spot: NMS leaves one per class, fewer than 100 even of 5,000 candidates."""
    classes, boxes = outputs_of(lite0, torch.randn)
    anchors = lite0.anchors[:1].expand_as(lite0.anchors)
    boxes = [torch.zeros_like(level) for level in boxes]
    found = detect_sparingly(lite0, (classes, boxes), anchors, *REST)
    assert torch.equal(found, detect(lite0, (classes, boxes), anchors, *REST))
    assert 0 < (found[:, 4] > 0).sum() <= 90


def test_one_anchor_may_hold_many_of_the_best(lite0):
    """The best scores are all classes of few anchors: none of them may be missed."""

    def few_anchors(shape):
        logits = torch.randn(shape) - 6
        logits[..., :2, :2] += 6
        return logits

    outputs = outputs_of(lite0, few_anchors)
    found = detect_sparingly(lite0, outputs, lite0.anchors, *REST)
    assert torch.equal(found, detect(lite0, outputs, lite0.anchors, *REST))


def test_with_ties_the_scores_are_the_same(lite0):
    """Which of equal candidates is taken is left to `torch.topk`, upstream as here."""
    outputs = outputs_of(lite0, lambda shape: torch.randn(shape).round(decimals=1))
    found, expected = (
        find(lite0, outputs, lite0.anchors, *REST) for find in (detect_sparingly, detect)
    )
    assert torch.equal(found[:10, 4], expected[:10, 4])
    assert (found[:, 4] - expected[:, 4]).abs().max() < 0.02


@pytest.mark.parametrize("classes", [1, 7])
@pytest.mark.parametrize("count", [1, FIRST_CANDIDATES, FIRST_CANDIDATES + 1])
def test_nms_of_all_classes_is_that_of_one_after_the_other(count, classes):
    """On a grid: boxes without area, overlaps at the threshold, equal scores."""
    generator = torch.Generator().manual_seed(count)
    corners = torch.randint(0, 8, (count, 2, 2), generator=generator).sort(1).values
    boxes, labels = corners.flatten(1).float(), torch.arange(count) % classes
    scores = torch.randint(0, 50, (count,), generator=generator) / 50
    kept = []
    for label in range(classes):
        own = (labels == label).nonzero()[:, 0]
        kept += own[torchvision.ops.nms(boxes[own], scores[own], IOU_THRESHOLD)].tolist()
    expected = sorted(kept, key=lambda index: (-scores[index], index))
    assert suppress(boxes, scores, labels).tolist() == expected
    assert len(expected) < count or count == 1


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_detections_of_a_request(model, sparse, channels_last):
    encoded = list_photos(SHIPPED)[0].read_bytes()
    options = {"rewritten": True, "sparse_postprocess": sparse, "channels_last": channels_last}
    with torch.inference_mode():
        (expected,) = serve(load_engine("eager", [model], CPU), encoded).tables
        (found,) = serve(load_engine("eager", [model], CPU, options), encoded).tables
    assert abs(found[:, :4] - expected[:, :4]).max() < 0.05
    assert abs(found[:, 4] - expected[:, 4]).max() < 1e-4
    assert (found[:, 5] == expected[:, 5]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shift", [-9, 0, 9])
def test_the_best_candidates_are_those_of_their_values_in_fp32(lite0, dtype, shift):
    """Those of 16 bits are found by their bits: all negative, of both signs, and all positive."""
    torch.manual_seed(0)
    classes = [(torch.randn(1, 9 * 90, *cell) + shift).to(dtype) for cell in lite0.cells]
    boxes = [torch.randn(1, 9 * 4, *cell) for cell in lite0.cells]
    found = detect_sparingly(lite0, (classes, boxes), lite0.anchors, *REST)
    wide = [level.float() for level in classes]
    assert torch.equal(found, detect_sparingly(lite0, (wide, boxes), lite0.anchors, *REST))
