"""What `forward` returns is checked while a mode warms up; a mistake is a sentence."""

import pytest
import torch

from effdet_bench.detector.request import serve
from effdet_bench.engines.base import Engine
from effdet_bench.engines.contract import checked, fault
from effdet_bench.engines.loading import add_place
from effdet_bench.errors import BenchError
from effdet_bench.facts.photos import list_photos
from helpers import SHIPPED

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def outputs(lite0):
    """Of the right shapes, and zero."""
    sizes = [lite0.anchors_per_cell * values for values in (lite0.classes, 4)]
    return tuple([torch.zeros(1, size, *cell) for cell in lite0.cells] for size in sizes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c, b: None, "it returned a value of the type NoneType"),
        (lambda c, b: (c, b, b), "it returned 3 values"),
        (lambda c, b: (b, c), "it returned the boxes before the class logits"),
        (lambda c, b: (c[0], b), "the class logits are a value of the type torch.Tensor"),
        (lambda c, b: ([one.numpy() for one in c], b), "of the type numpy.ndarray in level 1"),
        (lambda c, b: (c[:4], b[:4]), "the class logits have 4 levels instead of 5"),
        (lambda c, b: (c, b[::-1]), "the boxes have the shape [1, 36, 3, 3] in level 1, not ["),
        (lambda c, b: ([one.int() for one in c], b), "which is no floating-point type"),
        (lambda c, b: ([one.to("meta") for one in c], b), "on meta in level 1"),
    ],
)
def test_what_is_wrong_is_told(lite0, outputs, change, words):
    assert words in fault(lite0, change(*outputs), 1, CPU)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_any_floating_point_type_is_right(lite0, outputs, kind):
    given = tuple([level.to(kind) for level in levels] for levels in outputs)
    assert fault(lite0, given, 1, CPU) is None
    assert fault(lite0, tuple(map(tuple, given)), 1, CPU) is None


class Swapping(Engine):
    version = "swapping"

    def forward(self, index, pixels):
        classes, boxes = self.models[index].network(pixels)
        return boxes, classes


def test_the_sentence_names_the_file(lite0):
    engine = checked(Swapping([lite0], CPU, {}), "eager")
    with pytest.raises(BenchError) as caught, torch.inference_mode():
        serve(engine, list_photos(SHIPPED)[0].read_bytes())
    assert str(caught.value) == (
        "engines/eager.py: forward must return (class logits, boxes), each a list of 5 tensors "
        "[photos, channels, height, width] on cpu. For the network tf_efficientdet_lite0 it "
        "returned the boxes before the class logits."
    )


def test_an_error_says_which_engine_did_what():
    error = ValueError("no")
    add_place(error, "eager", "served warmup request 0 (a.jpg)")
    assert error.__notes__ == ["while engines/eager.py served warmup request 0 (a.jpg)"]


class Changing(Engine):
    version = "changing"

    def forward(self, index, pixels):
        return self.models[index].network(pixels.mul_(2))


def test_an_input_that_forward_changes_is_told(lite0):
    engine = checked(Changing([lite0], CPU, {}), "eager")
    wanted = pytest.raises(BenchError, match="forward changed its input `pixels`")
    with wanted, torch.inference_mode():
        serve(engine, list_photos(SHIPPED)[0].read_bytes())
