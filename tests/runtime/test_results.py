"""What a detector returns, and the formats of others that it is written in."""

import json

import numpy as np
import pytest
import supervision
from pycocotools.coco import COCO

from effdet_runtime.detect import image_ids, list_photos
from effdet_runtime.errors import DeploymentError
from effdet_runtime.results import result_of
from effdet_runtime.verify import matched

NAMES = {1: "person", 3: "car"}
FIRST = np.array(
    [[10, 20, 30, 60, 0.9, 1], [100, 100, 140, 120, 0.5, 3], [0, 0, 0, 0, 0, 0]], np.float32
)
# the person again, a little aside, and an object of a class without a name
SECOND = np.array([[11, 20, 31, 60, 0.95, 1], [50, 50, 60, 60, 0.2, 12]], np.float32)


@pytest.fixture
def result():
    return result_of((640, 480), {"d0": FIRST, "d1": SECOND}, NAMES)


def test_rows_of_zeros_are_no_detections(result):
    assert [len(one) for one in result.models.values()] == [2, 2]
    assert result.models["d0"].class_names == ("person", "car")
    assert result.models["d1"].class_names == ("person", "class 12")
    assert result.models["d1"].above(0.5).scores.tolist() == [np.float32(0.95)]


def test_models_are_merged_by_nms_within_each_class(result):
    merged = result.merged()
    assert merged.scores.round(2).tolist() == [np.float32(x) for x in (0.95, 0.5, 0.2)]
    assert merged.class_names == ("person", "car", "class 12")
    assert merged.boxes[0].tolist() == [11, 20, 31, 60]
    assert merged.model == "merged"


def test_an_empty_photo_has_no_detections():
    empty = result_of((5, 5), {"d0": np.zeros((100, 6), np.float32)}, NAMES)
    assert len(empty.merged()) == len(empty.to_coco(1)) == 0
    assert len(empty.models["d0"].to_supervision()) == 0


def test_coco_reads_the_results(result, tmp_path):
    rows = result.to_coco(7)
    assert rows[1]["bbox"] == [100, 100, 40, 20]
    assert {row["image_id"] for row in rows} == {7}
    truth = COCO()
    truth.dataset = {"images": [{"id": 7}], "categories": [{"id": k} for k in (1, 3, 12)]}
    truth.createIndex()
    (tmp_path / "found.json").write_text(json.dumps(rows))
    read = truth.loadRes(str(tmp_path / "found.json"))
    assert len(read.getAnnIds(imgIds=[7])) == 4


def test_supervision_takes_the_detections(result):
    found = result.models["d0"].to_supervision()
    assert isinstance(found, supervision.Detections)
    assert found.xyxy.tolist() == FIRST[:2, :4].tolist()
    assert found.data["class_name"].tolist() == ["person", "car"]
    assert supervision.Detections.merge([found, result.models["d1"].to_supervision()])


def test_ids_are_numbers_of_files_where_all_have_different_ones(tmp_path):
    numbered = [tmp_path / name for name in ("0007.jpg", "12.jpg")]
    assert [number for _, number in image_ids(numbered)] == [7, 12]
    for other in ("7.jpg", "cat.jpg"):
        assert [number for _, number in image_ids([*numbered, tmp_path / other])] == [1, 2, 3]


def test_folders_give_their_photos_by_name(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in list_photos([tmp_path])] == ["a.png", "b.JPG"]
    for path, words in ((tmp_path / "none", "does not exist"), (tmp_path / "empty", "no photos")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(DeploymentError, match=words):
            list_photos([path])


@pytest.mark.parametrize(
    ("found", "share"),
    [
        (FIRST, 1),
        (FIRST[::-1], 1),
        (FIRST[:1], 1 / 2),
        (np.concatenate([FIRST, SECOND]), 2 / 4),
        (FIRST * np.float32([1, 1, 1, 1, 1, 2]), 0),
        (np.zeros((100, 6), np.float32), 0),
    ],
)
def test_detections_match_by_class_and_place(found, share):
    assert matched(FIRST, found) == share


def test_boxes_without_area_do_not_count():
    sliver = np.array([[5, 5, 5, 40, 0.9, 1]], np.float32)
    assert matched(np.concatenate([FIRST, sliver]), FIRST) == 1
    assert matched(sliver, FIRST[2:]) == 1
