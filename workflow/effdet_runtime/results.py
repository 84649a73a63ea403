"""What a detector returns: the detections of each model for one photo."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from effdet_runtime.boxes import merge

MERGED = "merged"  # the name of a table of all models together


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
        count = int((self.scores >= score).sum())  # the first ones, because scores fall
        own = self.boxes[:count], self.scores[:count], self.class_ids[:count]
        return Detections(self.model, *own, self.class_names[:count])

    def table(self) -> np.ndarray:
        """The detections as a table of `boxes.detect`, float32 [n, 6]."""
        return np.column_stack([self.boxes, self.scores, self.class_ids]).astype(np.float32)

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """COCO's results format, with two more keys: the model and the name of the class."""
        corners, sizes = self.boxes[:, :2], self.boxes[:, 2:] - self.boxes[:, :2]
        return [
            {
                "image_id": image_id,
                "category_id": class_id,
                "bbox": box,
                "score": score,
                "model": self.model,
                "class_name": name,
            }
            for box, score, class_id, name in zip(
                np.hstack([corners, sizes]).astype(float).round(3).tolist(),
                self.scores.astype(float).round(6).tolist(),
                self.class_ids.tolist(),
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
    """The detections of every model for one photo.

    `size` is the photo's (width, height), and `names` are names of classes by class id.
    """

    size: tuple[int, int]
    models: dict[str, Detections]
    names: dict[int, str] = field(repr=False)

    def merged(self) -> Detections:
        """One table of all models, of at most 100 detections: see `boxes.merge`."""
        table = merge([one.table() for one in self.models.values()])
        return detections_of(MERGED, table, self.names)

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """COCO's results format of all models, one after the other: see `Detections.to_coco`."""
        return [row for one in self.models.values() for row in one.to_coco(image_id)]


def result_of(
    size: tuple[int, int], tables: dict[str, np.ndarray], names: dict[int, str]
) -> Result:
    """The result with the `tables` of `boxes.detect`, by model; `names` are by class id."""
    found = {model: detections_of(model, table, names) for model, table in tables.items()}
    return Result(size, found, names)


def detections_of(model: str, table: np.ndarray, names: dict[int, str]) -> Detections:
    """The rows of `table` that are detections, not rows of zeros."""
    rows = table[table[:, 4] > 0]
    ids = rows[:, 5].astype(np.int64)
    called = tuple(names.get(one, f"class {one}") for one in ids.tolist())
    return Detections(model, rows[:, :4], rows[:, 4], ids, called)
