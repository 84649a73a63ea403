"""Tables against the outputs they were made of: ties are forgiven and counted, errors are not."""

import pytest
import torch

from effdet_bench.detector.ensemble import describe_model
from effdet_bench.detector.nms import detect, detect_sparingly
from effdet_bench.reference.logic import check_table

MODEL = describe_model("tf_efficientdet_lite0")
SCALE, SIZE = torch.tensor([2.0]), torch.tensor([[640.0, 480.0]])


def outputs(step: float):
    """Outputs of no network; logits are multiples of `step`, so that a large one makes equals."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, MODEL.anchors_per_cell, high, wide) for high, wide in MODEL.cells]
    classes, boxes = (
        [torch.randn(1, a * values, h, w, generator=generator) for _, a, h, w in shapes]
        for values in (MODEL.classes, 4)
    )
    # scores in the middle, where one differs from the next
    return [(level / step).round() * step - 5 for level in classes], [
        level * 0.1 for level in boxes
    ]


def table_of(given, find=detect):
    return find(MODEL, given, MODEL.anchors, SCALE, SIZE).numpy()


def test_upstreams_own_table_is_right_to_the_last_detection():
    given = outputs(1e-6)
    assert check_table(MODEL, given, table_of(given), SCALE, SIZE) == (0, 0)


def test_a_table_that_is_not_full_is_right_although_millions_of_scores_are_zero():
    classes, boxes = outputs(1e-6)
    few = [torch.full_like(level, -200) for level in classes]
    few[0][..., ::8, ::8] = classes[0][..., ::8, ::8]
    for level in few[:1]:
        level[:, 3:] = -200
    table = table_of((few, boxes))
    assert 0 < (table[:, 4] > 0).sum() < len(table)
    assert check_table(MODEL, (few, boxes), table, SCALE, SIZE) == (0, 0)
    table[2, 0] += 1
    assert check_table(MODEL, (few, boxes), table, SCALE, SIZE).wrong > 0


@pytest.mark.parametrize("step", [0.05, 0.25])
def test_which_of_two_equals_came_first_is_a_tie(step):
    given = outputs(step)
    found = check_table(MODEL, given, table_of(given, detect_sparingly), SCALE, SIZE)
    assert found.wrong == 0
    assert found.ties > 0


@pytest.mark.parametrize("step", [1e-4, 0.05, 0.25])
def test_an_error_is_none(step):
    given = outputs(step)
    for row, column, by in ((0, 0, 0.5), (40, 5, 1), (99, 4, -0.01), (3, 4, 0.2)):
        table = table_of(given)
        table[row, column] += by
        assert check_table(MODEL, given, table, SCALE, SIZE).wrong > 0


def test_a_missing_detection_is_wrong_although_the_next_one_takes_its_place():
    given = outputs(1e-4)
    table = table_of(given)
    more = table_of(given)
    table[10:-1] = more[11:]
    assert check_table(MODEL, given, table, SCALE, SIZE).wrong > 0
