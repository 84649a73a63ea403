"""What a detector returns: the detections of each model for one photo."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from effdet_runtime.boxes import suppress

MERGED = "merged"  # the name of a table of all models together
MOST = 100  # rows of such a table


@dataclass(frozen=True)
class Detections:
    """The detections of one model, by falling score.

    `boxes` is float32 [n, 4]: x_min, y_min, x_max, y_max in pixels of the photo. `scores` is
    float32 [n], `class_ids` int64 [n] from 1, and `class_names` has n names.
    """

    model: str
    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, score: float) -> "Detections":
        """The detections whose score is at least `score`."""
        return self._chosen(np.flatnonzero(self.scores >= score))

    def _chosen(self, places: np.ndarray) -> "Detections":
        names = tuple(self.class_names[place] for place in places)
        own = self.boxes[places], self.scores[places], self.class_ids[places]
        return Detections(self.model, *own, names)

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """COCO's results format, with two more keys: the model and the name of the class."""
        return [
            {
                "image_id": image_id,
                "category_id": int(class_id),
                "bbox": [left, top, right - left, bottom - top],
                "score": float(score),
                "model": self.model,
                "class_name": name,
            }
            for (left, top, right, bottom), score, class_id, name in zip(
                self.boxes.astype(float).round(3).tolist(),
                self.scores,
                self.class_ids,
                self.class_names,
                strict=True,
            )
        ]

    def to_supervision(self) -> Any:
        """`supervision.Detections`, with class names and the model in `data`.

        Raises:
            ImportError: the package supervision is not installed.
        """
        import supervision

        return supervision.Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=self.class_ids,
            data={
                "class_name": np.array(self.class_names, str),
                "model": np.full(len(self), self.model),
            },
        )


@dataclass(frozen=True)
class Result:
    """The detections of every model for one photo; `size` is the photo's (width, height)."""

    size: tuple[int, int]
    models: dict[str, Detections]

    def merged(self) -> Detections:
        """One table of all models: their detections by falling score, after NMS within each class.

        The threshold of NMS is that of each model (`boxes.IOU_THRESHOLD`).
        """
        every = list(self.models.values())
        scores = np.concatenate([one.scores for one in every])
        order = np.argsort(-scores, kind="stable")
        together = Detections(
            MERGED,
            np.concatenate([one.boxes for one in every]),
            scores,
            np.concatenate([one.class_ids for one in every]),
            tuple(name for one in every for name in one.class_names),
        )._chosen(order)
        return together._chosen(suppress(together.boxes, together.class_ids, MOST))

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """COCO's results format of all models, one after the other: see `Detections.to_coco`."""
        return [row for one in self.models.values() for row in one.to_coco(image_id)]


def result_of(
    size: tuple[int, int], tables: dict[str, np.ndarray], names: dict[int, str]
) -> Result:
    """The result with the `tables` of `boxes.detect`, by model; `names` are by class id."""
    return Result(
        size, {model: _detections(model, table, names) for model, table in tables.items()}
    )


def _detections(model: str, table: np.ndarray, names: dict[int, str]) -> Detections:
    found = table[table[:, 4] > 0]  # rows of zeros fill a table up
    ids = found[:, 5].astype(np.int64)
    called = tuple(names.get(one, f"class {one}") for one in ids.tolist())
    return Detections(model, found[:, :4], found[:, 4], ids, called)
