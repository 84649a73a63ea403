"""A request gives exactly what effdet's own transform and `DetBenchPredict` give."""

import io

import numpy as np
import pytest
import torch
from effdet import DetBenchPredict
from PIL import Image

from effdet_bench.detector.request import decode, preprocess, serve, serve_in_stages
from effdet_bench.engines.loading import load_engine
from effdet_bench.errors import BenchError, UnavailableError
from effdet_bench.reference.reference import upstream_input
from helpers import SHIPPED, UNSEEN

CPU = torch.device("cpu")
ORIENTATION = 0x112  # the tag of Exif
PHOTOS = sorted([*SHIPPED.glob("*.jpg"), *UNSEEN.glob("*.jpg")])


def resized(size: tuple[int, int], mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.open(PHOTOS[0]).convert(mode).resize(size).save(buffer, "JPEG")
    return buffer.getvalue()


def assert_as_effdet(model, encoded: bytes) -> np.ndarray:
    given = upstream_input(model, encoded)
    ours = preprocess(decode(encoded), model, CPU)
    assert torch.equal(ours.pixels, given.pixels)
    assert ours.pixels.stride() == given.pixels.contiguous().stride()
    assert torch.equal(ours.scale, given.scale)
    info = {"img_scale": given.scale, "img_size": given.size}
    with torch.inference_mode():
        expected = DetBenchPredict(model.network).eval()(given.pixels, info)[0].numpy()
        (table,) = serve(load_engine("eager", [model], CPU), encoded).tables
    np.testing.assert_array_equal(table, expected)
    return table


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda path: path.stem)
def test_photos_give_identical_boxes_scores_and_classes(lite0, photo):
    table = assert_as_effdet(lite0, photo.read_bytes())
    with Image.open(photo) as image:
        width, height = image.size
    scored = table[table[:, 4] > 0]
    assert len(scored) > 20
    assert (scored[:, :4] >= -1e-3).all()
    assert (scored[:, [0, 2]] <= width + 1e-2).all()
    assert (scored[:, [1, 3]] <= height + 1e-2).all()
    assert set(scored[:, 5]) <= set(range(1, 91))
    assert (np.diff(scored[:, 4]) <= 0).all()


def test_a_network_with_imagenet_mean_and_std_too(d0):
    assert_as_effdet(d0, PHOTOS[0].read_bytes())


@pytest.mark.parametrize("size", [(1, 1), (3, 997), (997, 3), (320, 320), (321, 319), (1931, 1087)])
def test_odd_sizes(lite0, size):
    assert_as_effdet(lite0, resized(size)) if min(size) > 3 else serve_any(lite0, resized(size))


def serve_any(model, encoded: bytes) -> None:
    """Sizes whose letterbox would have a side of no pixel are refused by Pillow, here as there."""
    try:
        expected = upstream_input(model, encoded).pixels
    except BenchError:
        with pytest.raises(ValueError, match="height and width must be > 0"):
            preprocess(decode(encoded), model, CPU)
    else:
        assert torch.equal(preprocess(decode(encoded), model, CPU).pixels, expected)


def test_grey_and_cmyk_photos(lite0):
    for mode in ("L", "CMYK"):
        assert_as_effdet(lite0, resized((200, 150), mode))


def test_a_photo_taken_sideways_is_read_as_it_lies(lite0):
    """As upstream does, whatever a camera says of how it was held."""
    sideways = Image.Exif()
    sideways[ORIENTATION] = 6
    buffer = io.BytesIO()
    Image.open(PHOTOS[0]).resize((300, 200)).save(buffer, "JPEG", exif=sideways)
    assert decode(buffer.getvalue()).size == (300, 200)
    assert_as_effdet(lite0, buffer.getvalue())


def test_invalid_has_the_shapes_of_the_network_and_nothing_but_zeros(lite0, d0):
    for model in (lite0, d0):
        engine = load_engine("no_network", [model], CPU)
        pixels = torch.randn(1, 3, *model.image_size)
        with torch.inference_mode():
            real, zeros = model.network(pixels), engine.forward(0, pixels)
        for ours, theirs in zip(zeros, real, strict=True):
            assert [level.shape for level in ours] == [level.shape for level in theirs]
            assert not any(level.any() for level in ours)


def test_stages_are_marked_in_order(lite0):
    seen = []
    engine = load_engine("no_network", [lite0, lite0], CPU)
    serve_in_stages(engine, PHOTOS[0].read_bytes(), lambda *mark: seen.append(mark))
    of_model = [(stage, lite0.name) for stage in ("preprocess", "forward", "postprocess")]
    assert seen == [("decode", ""), *of_model, *of_model]


def test_an_unknown_engine_is_one_sentence(lite0):
    with pytest.raises(BenchError, match="no engine 'quantum'"):
        load_engine("quantum", [lite0], CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_device_that_is_not_there_says_why():
    from effdet_bench.detector.devices import open_device

    with pytest.raises(UnavailableError, match="CUDA"):
        open_device("cuda")
