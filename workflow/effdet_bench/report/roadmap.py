"""What the field tries, and which measured modes show it."""

from typing import Any, NamedTuple, TypedDict

from effdet_bench.config.names import JOINT_ENGINES
from effdet_bench.summary.rows import Row, traits


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
    """A technique, and the valid modes that show it; none where it is open."""

    name: str
    what: str
    measured: list[Row]


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


def roadmap(valid: list[Row], kinds: set[str]) -> list[RoadmapLine]:
    """What concerns a machine of these `kinds`, with the `valid` modes that show it."""
    return [
        {
            "name": technique.name,
            "what": technique.what,
            "measured": [row for row in valid if _shows(row, technique)],
        }
        for technique in TECHNIQUES
        if technique.concerns is None or technique.concerns in kinds
    ]


def _shows(row: Row, technique: Technique) -> bool:
    shown = traits(row)
    return all(shown.get(key) in values for key, values in technique.signs.items())
