"""effdet_runtime makes inputs and tables as effdet does, with NumPy alone."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import batched_nms

from effdet_bench.detector import request
from effdet_bench.detector.ensemble import describe_model
from effdet_bench.engines.base import INPUTS, OUTPUTS
from effdet_bench.engines.lean import model_of
from effdet_bench.facts.photos import list_photos
from effdet_bench.reference.logic import check_table
from effdet_runtime import boxes, photos
from effdet_runtime.errors import PhotoError
from effdet_runtime.networks import onnxruntime as networks
from effdet_runtime.networks import share
from helpers import SHIPPED
from tables import as_array, levels_of

CPU = torch.device("cpu")
MODEL = describe_model("tf_efficientdet_lite0")
RULES = boxes.Rules(100, 5000, MODEL.anchors_per_cell)
SIZE = (640, 480)


def encoded(mode="RGB", size=(64, 48), kind="JPEG", **options) -> bytes:
    image = Image.effect_noise(size, 90).convert(mode)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(exif=exif)


def plain(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (7, 90, 200)).save(file, "JPEG")
    return file.getvalue()


SHAPES = {
    "shipped": list_photos(SHIPPED)[0].read_bytes(),
    "grey": encoded("L"),
    "CMYK": encoded("CMYK"),
    "rotated by EXIF": rotated(),
    "one pixel": encoded(size=(1, 1)),
    "wide": encoded(size=(3000, 20)),
    "100 megapixels": plain(10_000),
    "palette": encoded("P", kind="PNG"),
    "transparent": encoded("RGBA", kind="PNG"),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("architecture", ["tf_efficientdet_lite0", "tf_efficientdet_d1"])
def test_inputs_are_those_of_effdet_to_the_last_bit(name, architecture):
    model = describe_model(architecture)
    expected = request.preprocess(request.decode(SHAPES[name]), model, CPU)
    image = photos.decode(SHAPES[name])
    given = photos.prepare(image, model.image_size, model.mean, model.std)
    assert np.array_equal(given.pixels, expected.pixels.numpy())
    assert given.scale == expected.scale.numpy()[0]
    assert list(given.size) == expected.size[0].tolist()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no photo in a known format"),
        (b"no photo", "no photo in a known format"),
        (encoded(kind="ICO"), "no photo in a known format"),
        (SHAPES["shipped"][:5000], "cannot be decoded"),
        (plain(2000), "2000 x 2000 pixels, but at most 1000000"),
    ],
)
def test_what_is_no_photo_is_refused(data, says):
    with pytest.raises(PhotoError, match=says):
        photos.decode(data, 1_000_000)


def test_a_photo_of_which_no_pixel_would_remain_is_refused():
    with pytest.raises(PhotoError, match="too thin"):
        photos.prepare(Image.new("RGB", (1, 5000)), MODEL.image_size, MODEL.mean, MODEL.std)


def outputs(mean: float, sd: float, bf16: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Random class logits [anchors, classes] and box regressions [anchors, 4]."""
    made = torch.Generator().manual_seed(3)
    classes = torch.randn(len(MODEL.anchors), MODEL.classes, generator=made) * sd + mean
    regressions = torch.randn(len(MODEL.anchors), 4, generator=made) * 0.3
    kind = torch.bfloat16 if bf16 else torch.float32
    return classes.to(kind), regressions.to(kind)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("mean", [-5.0, 0.0, 3.0])  # all logits negative, both signs, all positive
def test_a_table_keeps_every_rule_of_effdet(mean, bf16):
    classes, regressions = outputs(mean, 0.5, bf16)
    scale = np.float32(1.25)
    table = boxes.detect(
        as_array(classes), as_array(regressions), model_of(MODEL).anchors, scale, SIZE, RULES
    )
    given = levels_of(MODEL, classes), levels_of(MODEL, regressions)
    size = torch.tensor([SIZE], dtype=torch.float32)
    assert check_table(MODEL, given, table, torch.tensor([scale]), size).wrong == 0
    assert table.shape == (100, 6)
    assert len(np.unique(table[:, 4])) > 5


def test_a_table_is_filled_up_with_zeros_where_all_boxes_overlap():
    """Then NMS keeps one box of each class, of any number of candidates."""
    classes, regressions = outputs(-6.0, 1.0)
    anchors = np.tile(np.float32([10, 10, 50, 50]), (len(classes), 1))
    table = boxes.detect(
        classes.numpy(), 0 * regressions.numpy(), anchors, np.float32(1), SIZE, RULES
    )
    assert (table[:90, 4] > 0).all()
    assert sorted(table[:90, 5]) == list(range(1, 91))
    assert not table[90:].any()


@pytest.mark.parametrize("count", [1, 2, 40, 500, 501, 3000])
def test_nms_is_torchvisions(count):
    made = np.random.default_rng(count)
    corners = made.uniform(0, 100, (count, 2))
    found = np.concatenate(
        [corners, corners + made.uniform(0, 60, (count, 2))], 1, dtype=np.float32
    )
    found[:2] = 7  # boxes without area
    labels = made.integers(0, 3, count)
    scores = torch.arange(count, 0, -1).float()
    expected = batched_nms(torch.from_numpy(found), scores, torch.from_numpy(labels), 0.5)
    assert boxes.suppress(found, labels, 100).tolist() == expected[:100].tolist()


def test_cores_are_shared_between_models():
    assert share(3, 2, parallel=False) == (1, 2)
    assert share(3, 2, parallel=True) == (2, 1)
    assert share(3, 16, parallel=True) == (3, 5)


def test_names_in_onnx_are_those_of_the_exports():
    assert [networks.INPUT] == INPUTS
    assert networks.OUTPUTS == OUTPUTS
