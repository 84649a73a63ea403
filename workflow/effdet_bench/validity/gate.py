"""The gate: judges one mode on one device by the answers of its timed requests.

`judge` is a pure function; `run` reads and writes the files.
"""

import argparse
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from effdet_bench import layout, records
from effdet_bench.config.names import NO_NETWORK
from effdet_bench.errors import BenchError
from effdet_bench.facts.code import code_of_judge
from effdet_bench.progress import tell
from effdet_bench.records import Record
from effdet_bench.validity.accuracy import compared, timed_accuracy
from effdet_bench.validity.answers import Answers, read_answers
from effdet_bench.validity.arithmetic import Rounding, measured_of
from effdet_bench.validity.figures import model_figures
from effdet_bench.validity.unseen import Unseen, compare_unseen
from effdet_bench.validity.usefulness import judge_usefulness

OLD_YARDSTICK = "over what rounding does to upstream's own network,"
# The words for each gate's figure; `{}` stands for the group in which the figure is largest. The
# first gate that fails is reported, so the order matters. A precision's row of tolerances.yaml says
# which gates count. All limits are upper limits, except that of `agreement`.
GATES = {
    "errors": "error of {} over all photos is",
    "photo_errors": "error of {} on one photo is",
    "level_bias": "slope or offset of {} over all photos is",
    "slopes": "slope of {} against the others is",
    "offsets": "offset of {} against the others is",
    "photo_bias": "slope or offset of {} on one photo is",
    # the next three are for archives of schema version 5
    "class_levels": f"error of class logits at a feature level, {OLD_YARDSTICK}",
    "box_levels": f"error of box regressions at a feature level, {OLD_YARDSTICK}",
    "classes": f"error of the logits of one class, {OLD_YARDSTICK}",
    "wrong": "detections that do not follow from the network's own outputs:",
    "class_error": "relative error of class logits",
    "box_error": "relative error of box regressions",
    "agreement": "COCO AP against the reference's detections",
}
FAULTS = {
    "no answer": "there is no answer",
    "shape": "outputs or detections have another shape than the reference's",
    "not finite": "outputs or detections are not finite",
    "input": "the network does not get the photo as upstream's does: preprocessing differs",
    "stale": "a photo is answered with the outputs of another one",
}


def tolerance_of(precision: str, old: bool = False) -> dict[str, float]:
    """The limits for answers in `precision`, by figure; `old` for archives of schema version 5."""
    table = records.read_yaml(layout.TOLERANCES_5 if old else layout.TOLERANCES)
    row = "16-bit" if precision in ("bf16", "fp16") else precision
    tolerance: dict[str, float] = table["every"] | table[row]
    return tolerance


def judge(
    rounds: list[Answers],
    references: dict[str, dict[str, np.ndarray]],
    tolerance: Record,
    roundings: Mapping[str, Rounding | Record],
) -> Record:
    """Judges all `rounds` of a mode by `tolerance`, the limits of its precision.

    By a model's name, `references` gives its reference tables [n, 6] by photo, and `roundings` what
    rounding does to it.

    Returns:
        `verdict` (`valid` or `invalid`), `failed` (the first gate that failed, or `None`), `reason`
        in words, `models` (worst figures, and those of each photo), `unseen` and `outside`.
    """
    models = [
        model_figures(name, rounds, tables, roundings.get(name))
        for name, tables in references.items()
    ]
    requests = [answers.requests for answers in rounds if answers.requests is not None]
    unseen = compare_unseen(requests) if requests else None
    outside = max((one.outside for one in rounds if one.outside is not None), default=None)
    found = next(_failures(models, unseen, outside, tolerance), None)
    return {
        "verdict": "invalid" if found else "valid",
        "failed": found[0] if found else None,
        "reason": found[1] if found else None,
        "models": models,
        "unseen": unseen and unseen._asdict(),
        "outside": outside,
    }


def _failures(
    models: list[Record], unseen: Unseen | None, outside: float | None, tolerance: Record
) -> Iterator[tuple[str, str]]:
    """(name, reason) of every gate that fails, in the order of the gates."""
    for model in models:
        if model["requests"] == 0:
            yield "answers", f"{model['model']}: no answer of a timed request was kept"
        elif model["fault"]:
            yield model["fault"], f"{model['model']}: {FAULTS[model['fault']]}"
    for name in (name for name in GATES if name in tolerance):
        for model in models:
            value, limit, upper = model.get(name), tolerance[name], name != "agreement"
            if value is not None and not (value <= limit if upper else value >= limit):
                word = "at most" if upper else "at least"
                text = f"{GATES[name]} {value:.3g}, but {word} {limit:g} is valid"
                if name in model.get("where", {}):
                    text = (
                        f"{GATES[name].format(model['where'][name])} {value:.3g} times as large "
                        f"as rounding explains, but {word} {limit:g} times is valid"
                    )
                yield name, f"{model['model']}: {text}"
    if unseen and unseen.at_least is not None and unseen.at_least > tolerance["unseen"]:
        yield (
            "unseen",
            f"photos that were never sent before took {unseen.times:.3g} times as long as others, "
            "so answers are kept from one request to the next",
        )
    if outside is not None and outside > tolerance["outside"]:
        yield (
            "outside",
            f"the mode used processor time while other modes had their turn, {outside:.1%} of "
            f"what it used in its own turns, but at most {tolerance['outside']:.0%} is valid, "
            "because that work is not timed",
        )


class Standards(NamedTuple):
    """The arguments of `judge` besides answers: limits, roundings, and reference tables."""

    tolerance: Record
    roundings: dict[str, Rounding | Record]
    expected: dict[str, dict[str, np.ndarray]]


def standards(
    precision: str, references: list[Path], roundings: list[Path], old: bool
) -> Standards:
    """The standards for answers in `precision`.

    `references` and `roundings` are records of the steps `reference` and `rounding`, one for each
    model; `old` is as in `tolerance_of`.

    Raises:
        BenchError: a file is missing or broken, or does not contain the precision.
    """
    tolerance = tolerance_of(precision, old)
    known = {}
    if "errors" in tolerance or "classes" in tolerance:
        known = dict(_rounding(path, precision) for path in roundings)
    expected = {
        records.read_json(path, "reference")["model"]: records.read_detections(
            layout.reference_detections(path), "photo"
        )
        for path in references
    }
    return Standards(tolerance, known, expected)


def judge_jobs(
    folders: list[Path],
    references: list[Path],
    roundings: list[Path],
    annotations: Path | None,
    passes: layout.Archive | None = None,
) -> Record:
    """The record of the gate for one mode, whose timing jobs are in `folders`.

    `references` and `roundings` are records of the steps of these names, one for each model. The
    accuracy is that of the accuracy pass in the archive `passes`, if there is one, and otherwise
    that of the timed answers.

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
    rounds = [read_answers(folder, record) for folder, record in completed]
    precision = record["precision"]
    tolerance, known_roundings, expected = standards(
        precision, references, roundings, rounds[0].old
    )
    result |= {"precision": precision, "tolerance": tolerance}
    # the roundings of archives of schema version 5
    shown = [
        {"model": name} | one for name, one in known_roundings.items() if isinstance(one, dict)
    ]
    result |= {"yardsticks": shown} if shown else {}
    result |= judge(rounds, expected, tolerance, known_roundings)
    accuracy = None
    if annotations:
        known, ensemble = records.read_json(annotations, "annotations"), record["ensemble"]
        measured = passes and _measured(passes, first["device"], first["mode"])
        accuracy = (
            compared(ensemble, known, *measured)
            if measured
            else timed_accuracy(rounds, ensemble, known, expected)
        )
    if result["verdict"] == "valid":
        found = judge_usefulness(result["models"], accuracy or [], tolerance)
        result |= dict(zip(("verdict", "failed", "reason"), found, strict=True)) if found else {}
    return result | {"accuracy": accuracy}


def _measured(
    archive: layout.Archive, device: str, mode: str
) -> tuple[list[Record], list[Record]] | None:
    """COCO's figures of the passes of a mode and of the reference; `None` if it has no pass."""
    folders = archive.accuracy_pass(device, mode), archive.reference_pass
    if not (folders[0] / layout.ACCURACY).exists():
        return None
    ours, theirs = (
        records.read_json(folder / layout.ACCURACY, "accuracy")["models"] for folder in folders
    )
    return (ours, theirs) if ours else None


def _rounding(path: Path, precision: str) -> tuple[str, Rounding | Record]:
    """The model of the record `path`, and what rounding to `precision` does to it."""
    record = records.read_json(path, "rounding")
    if precision not in (record.get("precisions") or record["emulated"]):
        raise BenchError(
            f"{path} does not contain the precision {precision}, in which a mode computes: OPTIONS "
            "in the file of its engine must list this precision, first if it is the default."
        )
    if "precisions" in record:  # archives of schema version 5
        return record["model"], record["precisions"][precision]
    table = records.read_table(layout.rounding_table(path), records.ROUNDING)
    own = table[table["precision"] == precision]
    emulations = [measured_of(rows) for _, rows in own.groupby("emulation")]
    return record["model"], Rounding(record["photos"], record["levels"], emulations)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=Path, nargs="+", required=True, help="folders of rounds")
    parser.add_argument(
        "--references", type=Path, nargs="+", required=True, help="records of `reference`"
    )
    parser.add_argument(
        "--roundings", type=Path, nargs="+", required=True, help="records of `rounding`"
    )
    parser.add_argument("--annotations", type=Path, help="record of `annotations`")
    parser.add_argument("--accuracy", action="store_true", help="read accuracy passes")
    parser.add_argument("--results", type=Path, required=True, help="results/<machine>")


def run(args: argparse.Namespace) -> None:
    archive, judge_code = layout.Archive(args.results), code_of_judge()
    for mode, folders in itertools.groupby(args.jobs, key=lambda folder: folder.parent):
        rounds = [*folders]
        passes = archive if args.accuracy else None
        given = args.references, args.roundings, args.annotations, passes
        result = judge_jobs(rounds, *given)
        record = archive.validity(mode.parent.name, mode.name)
        records.write_json(record, result | {"judge": judge_code}, "validity")
        words = result["verdict"] + (f": {result['reason']}" if result["reason"] else "")
        text = f"{result['device']} {result['mode']}: {words}"
        floor = records.read_json(rounds[0] / layout.JOB_RECORD, "job")["engine"] == NO_NETWORK
        print(text) if floor or result["verdict"] == "valid" else tell(text)
