"""The validity gate: judges one mode on one device by what its timed requests answered.

`judge` is a pure function; `run` is its files.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml

from effdet_bench import layout, records
from effdet_bench.errors import BenchError
from effdet_bench.records import Record
from effdet_bench.validity.accuracy import mean_average_precision
from effdet_bench.validity.agreement import agreement, duplicates, match

EMPTY = np.zeros((0, len(records.DETECTION)), np.float32)


class Gate(NamedTuple):
    """A figure of the gate, whether more of it is worse, and how it is put in words."""

    name: str
    at_most: bool
    text: str


# in this order: the first one that fails is the one that is reported
GATES = (
    Gate("class_error", True, "relative error of class logits"),
    Gate("box_error", True, "relative error of box regressions"),
    Gate("count", False, "number of detections, as a share of the reference's,"),
    Gate("duplicates", True, "share of detections that NMS should have suppressed"),
    Gate("matched", False, "share of detections matched"),
    Gate("box_drift_px", True, "largest drift of a matched box in pixels"),
    Gate("score_drift", True, "largest drift of a matched score"),
    Gate("agreement", False, "COCO AP against the reference's detections"),
)
FAULTS = {
    "no answer": "there is no answer",
    "shape": "outputs or detections have another shape than the reference's",
    "not finite": "outputs or detections are not finite",
}


class Answers(NamedTuple):
    """What the timed requests of one round answered: rows of `outputs.csv`, tables by number."""

    rows: pd.DataFrame
    tables: dict[int, np.ndarray]


def tolerance_of(precision: str) -> dict[str, float]:
    """The row of tolerances.yaml for answers computed in `precision`."""
    row = "16-bit" if precision in ("bf16", "fp16") else precision
    tolerance: dict[str, float] = yaml.safe_load(layout.TOLERANCES.read_text())[row]
    return tolerance


def judge(
    rounds: list[Answers], references: dict[str, dict[str, np.ndarray]], tolerance: Record
) -> Record:
    """Judges all `rounds` of a mode by `tolerance`, a row of tolerances.yaml.

    `references` maps a model's name to its reference tables [n, 6] by photo.

    Returns:
        `verdict` (`valid` or `invalid`), `failed` (the first gate that failed, or `None`), `reason`
        in words, and for each model its worst figures and those of each photo.
    """
    models = [_model(name, rounds, references[name]) for name in references]
    found = next(_failures(models, tolerance), None)
    return {
        "verdict": "invalid" if found else "valid",
        "failed": found[0] if found else None,
        "reason": found[1] if found else None,
        "models": models,
    }


def _model(name: str, rounds: list[Answers], reference: dict[str, np.ndarray]) -> Record:
    rows = [answers.rows[answers.rows["model"] == name] for answers in rounds]
    requests = pd.concat(rows)
    faults = [fault for fault in requests["fault"] if fault]
    result = {"model": name, "requests": len(requests), "fault": faults[0] if faults else None}
    if faults or requests.empty:
        return result | {gate.name: None for gate in GATES} | {"photos": []}
    # by photo and content, so that an answer which comes back for another photo is judged there
    distinct = {}
    for answers, part in zip(rounds, rows, strict=True):
        for photo, number in dict.fromkeys(zip(part["photo"], part["table"], strict=True)):
            table = answers.tables.get(int(number), EMPTY)
            distinct[photo, table.tobytes()] = reference.get(photo, EMPTY), table
    photos = [
        _photo(str(photo), part, [pair for (of, _), pair in distinct.items() if of == photo])
        for photo, part in requests.groupby("photo")
    ]
    worst = {
        gate.name: (max if gate.at_most else min)(photo[gate.name] for photo in photos)
        for gate in GATES[:-1]
    }
    return result | worst | {"agreement": agreement(list(distinct.values())), "photos": photos}


def _photo(name: str, rows: pd.DataFrame, pairs: list[tuple[np.ndarray, np.ndarray]]) -> Record:
    """The worst figures of one photo, over its requests and the distinct answers to it."""
    matches = [match(expected, found) for expected, found in pairs]
    return {
        "photo": name,
        "class_error": float(pd.to_numeric(rows["class_error"]).max()),
        "box_error": float(pd.to_numeric(rows["box_error"]).max()),
        "count": min(matched.size for matched in matches),
        "duplicates": max(duplicates(found) for _, found in pairs),
        "matched": min(matched.share for matched in matches),
        "box_drift_px": max(matched.box_drift_px for matched in matches),
        "score_drift": max(matched.score_drift for matched in matches),
    }


def _failures(models: list[Record], tolerance: Record) -> Iterator[tuple[str, str]]:
    """Name and words of every gate that fails, in the order of the gates."""
    for model in models:
        if model["requests"] == 0:
            yield "answers", f"{model['model']}: no answer of a timed request was kept"
        elif model["fault"]:
            yield model["fault"], f"{model['model']}: {FAULTS[model['fault']]}"
    for gate in GATES:
        for model in models:
            value, limit = model[gate.name], tolerance[gate.name]
            if value is not None and not (value <= limit if gate.at_most else value >= limit):
                word = "at most" if gate.at_most else "at least"
                yield (
                    gate.name,
                    f"{model['model']}: {gate.text} {value:.3g}, but {word} {limit:g} is valid",
                )


def read_answers(folder: Path, record: Record) -> Answers:
    """The answers of the completed timing job in `folder`, whose record is `record`.

    Raises:
        BenchError: a file is missing or broken, or a timed request has no row.
    """
    columns = records.RAW_COLUMNS[layout.OUTPUTS]
    rows = records.read_table(folder / layout.OUTPUTS, columns)
    expected = record["requests"] * len(record["ensemble"])
    if len(rows) != expected:
        raise BenchError(
            f"{folder / 'outputs.csv'} has {len(rows)} rows, but {record['requests']} timed "
            f"requests of {len(record['ensemble'])} models make {expected}: run this timing again."
        )
    return Answers(rows, records.read_detections(folder / layout.DETECTIONS, "table"))


def judge_jobs(folders: list[Path], references: list[Path], annotations: Path | None) -> Record:
    """The record of one mode's timing jobs in `folders`, judged by the records `references`.

    Raises:
        BenchError: a file is missing or broken.
    """
    jobs = [(folder, records.read_json(folder / layout.JOB_RECORD, "job")) for folder in folders]
    completed = [(folder, record) for folder, record in jobs if record["outcome"] == "completed"]
    first = jobs[0][1]
    result = {"device": first["device"], "mode": first["mode"]}
    if not completed:
        reason = "no round completed"
        return result | {"verdict": "not judged", "failed": None, "reason": reason, "models": []}
    record = completed[0][1]
    tolerance = tolerance_of(record["precision"])
    rounds = [read_answers(folder, record) for folder, record in completed]
    expected = {
        records.read_json(path, "reference")["model"]: records.read_detections(
            layout.reference_detections(path), "photo"
        )
        for path in references
    }
    result |= {"precision": record["precision"], "tolerance": tolerance}
    result |= judge(rounds, expected, tolerance)
    known = annotations and records.read_json(annotations, "annotations")
    accuracy = known and mean_average_precision(*rounds[0], record["ensemble"], known)
    return result | {"accuracy": accuracy}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=Path, nargs="+", required=True, help="of one mode's jobs")
    parser.add_argument(
        "--references", type=Path, nargs="+", required=True, help="records of `reference`"
    )
    parser.add_argument("--annotations", type=Path, help="record of `annotations`")
    parser.add_argument("--output", required=True, help="the record to write")


def run(args: argparse.Namespace) -> None:
    result = judge_jobs(args.jobs, args.references, args.annotations)
    records.write_json(args.output, result, "validity")
    words = result["verdict"] + (f": {result['reason']}" if result["reason"] else "")
    print(f"{result['device']} {result['mode']}: {words}")
