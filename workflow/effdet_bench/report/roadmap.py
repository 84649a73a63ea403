"""What the field tries, and which measured modes show it."""

from itertools import pairwise
from typing import Any, NamedTuple, TypedDict

from effdet_bench.config.names import JOINT_ENGINES
from effdet_bench.report.words import around, name
from effdet_bench.summary.rows import Row, Summary


class Technique(NamedTuple):
    """One thing to try.

    `concerns` is the kind of machine that it is for (`cuda`, `mps`, or `accelerator` for any); on
    others the report is silent about it. A row shows it whose traits have one of the values in
    `signs`, for each of them.
    """

    name: str
    what: str
    concerns: str | None
    signs: dict[str, tuple[Any, ...]]


class RoadmapLine(TypedDict):
    """A technique, and what it gave here, in words; nothing where it is open."""

    name: str
    what: str
    measured: list[str]


TECHNIQUES = (
    Technique(
        "Device selection",
        "an accelerator in place of the CPU",
        "accelerator",
        {"device": ("cuda", "mps")},
    ),
    Technique("Layout", "channels-last", None, {"channels_last": (True,)}),
    Technique(
        "Fusion", "BatchNorm folded, BiFPN rewritten, exact top-k", None, {"rewritten": (True,)}
    ),
    Technique("Compilation", "`torch.compile`", None, {"engine": ("compile",)}),
    Technique(
        "Batching of models",
        "`torch.vmap`, grouped convolutions",
        None,
        {"engine": JOINT_ENGINES},
    ),
    Technique("Concurrency", "the ensemble's models side by side", None, {"parallel": (True,)}),
    Technique("16-bit arithmetic", "bfloat16 or float16", None, {"precision": ("bf16", "fp16")}),
    Technique(
        "INT8 quantisation",
        "calibrated on photos that are not the timed ones",
        None,
        {"precision": ("int8",)},
    ),
    Technique("ONNX Runtime", "the networks exported to ONNX", None, {"engine": ("onnxruntime",)}),
    Technique("OpenVINO", "the networks converted to it", None, {"engine": ("openvino",)}),
    Technique(
        "TensorRT", "the networks compiled for NVIDIA GPUs", "cuda", {"engine": ("tensorrt",)}
    ),
    Technique(
        "Core ML", "the networks converted for Apple devices", "mps", {"engine": ("coreml",)}
    ),
)


def roadmap(valid: list[Row], summary: Summary, kinds: set[str]) -> list[RoadmapLine]:
    """What concerns a machine of these `kinds`, with what it gave the `valid` modes.

    A step of the ablation that adds one technique alone says what that technique gives. Without
    such a step, the modes with the fewest other techniques stand for it, and these are named.
    """
    return [
        {
            "name": technique.name,
            "what": technique.what,
            "measured": _steps(technique, valid, summary) or _modes(technique, valid),
        }
        for technique in TECHNIQUES
        if technique.concerns is None or technique.concerns in kinds
    ]


def _steps(technique: Technique, valid: list[Row], summary: Summary) -> list[str]:
    rows = {(row["device"], row["mode"]): row for row in valid}
    lines = []
    for before, after in pairwise(summary["ablation"]):
        old, new = (rows.get((one["device"], one["mode"])) for one in (before, after))
        if old and new and after["step"] and _shown(new) - _shown(old) == {technique.name}:
            lines.append(f"{name(new)}: {around(after['step'])} as fast as `{old['mode']}`")
    return lines


def _modes(technique: Technique, valid: list[Row]) -> list[str]:
    rows = [row for row in valid if technique.name in _shown(row)]
    fewest = min((len(_shown(row)) for row in rows), default=0)
    lines = []
    for row in rows:
        others = [one.name for one in TECHNIQUES if one.name in _shown(row) and one != technique]
        if len(others) + 1 == fewest and row["comparison"]:
            also = f", together with: {', '.join(others)}" if others else ""
            lines.append(f"{name(row)}: {around(row['comparison'])} as fast as `baseline`{also}")
    return lines


def _shown(row: Row) -> set[str]:
    """Names of the techniques that `row` shows."""
    known = {**row, **row["options"]}
    return {
        technique.name
        for technique in TECHNIQUES
        if all(known.get(key) in values for key, values in technique.signs.items())
    }
