"""Agreement of detections: what is equal agrees in full, and every difference is seen."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effdet_bench.errors import BenchError
from effdet_bench.reference.annotations import select_annotations
from effdet_bench.validity.agreement import agreement, duplicates, iou, match
from effdet_runtime.boxes import solid
from helpers import SHIPPED, UNSEEN

ANNOTATIONS = UNSEEN / "instances.json"


def table(count: int, seed: int = 0) -> np.ndarray:
    """`count` detections [count, 6] on a photo of 640 by 480, no two of which overlap by much."""
    generator = np.random.default_rng(seed)
    place = generator.permutation(60)[:count]
    corner = np.stack([place % 10 * 64, place // 10 * 80], axis=1) + generator.uniform(0, 4)
    size = generator.uniform(20, 60, (count, 2))
    score = np.sort(generator.uniform(0.05, 0.95, count))[::-1]
    kind = generator.integers(1, 91, count)
    return np.column_stack([corner, corner + size, score, kind]).astype(np.float32)


@given(st.integers(0, 60), st.integers(0, 100))
def test_a_table_agrees_with_itself_in_any_order(count, seed):
    same = table(count, seed)
    shuffled = same[np.random.default_rng(seed).permutation(count)]
    assert match(same, shuffled) == (1.0, 1.0, 0.0, 0.0)


def test_equal_tables_have_an_average_precision_of_one():
    assert agreement([(table(40, seed), table(40, seed)) for seed in range(3)]) == pytest.approx(1)


def test_a_missing_and_an_additional_detection_both_lower_the_share():
    whole = table(40)
    assert match(whole, whole[:-4]).share == 0.9
    assert match(whole[:-4], whole).share == 0.9


def test_another_class_is_another_detection():
    wrong = table(40)
    wrong[:, 5] += 1
    assert match(table(40), wrong).share == 0


def test_drifts_are_those_of_matched_pairs():
    moved = table(40)
    moved[3, 2] += 0.75
    moved[5, 4] -= 0.03
    found = match(table(40), moved)
    assert found.share == 1
    assert found.box_drift_px == pytest.approx(0.75, abs=1e-4)
    assert found.score_drift == pytest.approx(0.03, abs=1e-6)


def full_table() -> np.ndarray:
    """100 detections, as many as effdet returns, by falling score."""
    rows = np.concatenate([table(50, 1), table(50, 2) + np.float32([2000, 0, 2000, 0, 0, 0])])
    return rows[np.argsort(-rows[:, 4])]


@pytest.mark.parametrize(("apart", "share"), [(2e-5, 1.0), (5e-3, 0.99)])
def test_who_comes_last_of_those_kept_is_left_out_only_where_rounding_decides(apart, share):
    """Two more candidates for the last place: each set keeps another one of them."""
    one, other = full_table(), full_table()
    other[-1] = [3000, 0, 3050, 50, one[-1, 4] - apart, 7]
    assert match(one, other).share == pytest.approx(share)
    assert match(one[:-1], other[:-1]).share == 1


def test_nothing_is_left_out_of_sets_that_are_not_cut_off():
    one, other = full_table()[50:], full_table()[50:]
    other[-1] = [3000, 0, 3050, 50, one[-1, 4], 7]
    assert match(one, other).share == 0.98


def test_wrong_detections_are_not_left_out_for_coming_last():
    wrong = full_table()
    wrong[-10:, 5] += 1
    assert match(full_table(), wrong).share <= 0.92


def test_one_detection_is_matched_once():
    doubled = np.concatenate([table(10), table(10)])
    found = match(table(10), doubled)
    assert found.share == found.size == 0.5


def test_duplicates_are_what_overlaps_a_better_one_of_its_class():
    rows = table(10)
    near = rows[:4].copy()
    near[:, :4] += 1
    near[:, 4] -= 0.01
    assert duplicates(rows) == 0
    assert duplicates(np.concatenate([rows, near])) == pytest.approx(4 / 14)
    near[:, 5] += 1
    assert duplicates(np.concatenate([rows, near])) == 0


def test_slivers_and_filling_are_no_detections():
    odd = table(3)
    odd[0, 2] = odd[0, 0] + 1e-3
    odd[1] = 0
    assert len(solid(odd)) == 1


def test_nothing_agrees_with_nothing_alone():
    empty = np.zeros((0, 6), np.float32)
    assert match(empty, empty).share == 1
    assert match(empty, table(3)).share == match(table(3), empty).share == 0
    assert agreement([(empty, empty)]) == 1
    assert agreement([(empty, table(3))]) == agreement([(table(3), empty)]) == 0


def test_overlap_of_known_boxes():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    expected = [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(iou(boxes, boxes), expected)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("not json", "no COCO instances file"),
        ("[]", "no COCO instances file"),
        ('{"images": [], "annotations": [], "categories": []}', "lacks the photo x.jpg"),
    ],
)
def test_annotations_that_cannot_be_used_are_one_sentence(tmp_path, content, words):
    path = tmp_path / "instances.json"
    path.write_text(content)
    with pytest.raises(BenchError, match=words):
        select_annotations(path, ["x.jpg"])


def test_annotations_of_the_tests_know_all_photos_of_the_project():
    photos = [path.name for folder in (SHIPPED, UNSEEN) for path in folder.glob("*.jpg")]
    known = json.loads(ANNOTATIONS.read_text())
    assert {image["file_name"] for image in known["images"]} == set(photos)
