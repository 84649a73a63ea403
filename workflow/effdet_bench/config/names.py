"""Names and numbers that several steps use."""

from collections.abc import Iterable

from effdet_bench import layout

DEVICES = ("cpu", "cuda", "mps")
BASELINE = "baseline"
CONTROL = "baseline-twin"  # the A/A control: baseline again, timed in every round as its own mode
TUNED = "baseline-malloc"  # baseline with an allocator that keeps memory
SEEN = 0.3  # score from which on a detection is drawn, and counts as a difference
REFERENCE = "reference"  # upstream effdet, where a mode is named
NO_NETWORK = "no_network"  # the engine without a network
PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "int8")
JOINT_ENGINES = ("vmap", "grouped")  # engines that run all networks of an ensemble as one network
COCO_CLASSES = 90  # highest label id of COCO; the released networks have 90 classes
DRAWINGS = ("speedup", "distribution", "stages", "ablation", "roofline", "course")  # of all reports
UNSEEN_MARK = "+unseen"  # in the name of a photo that no mode was sent before
# settings of the constraints that a recommended mode must meet
NEEDS = ("recommend_p90_ms", "recommend_memory_mib", "recommend_precisions")


def class_names(counts: Iterable[int]) -> dict[int, str]:
    """Names of classes by class id: COCO's, if every model has that many classes, else none.

    `counts` are the numbers of classes of the models. A few ids of COCO have no class.
    """
    if any(count != COCO_CLASSES for count in counts):
        return {}
    names = layout.COCO_NAMES.read_text().splitlines()
    return {number: name for number, name in enumerate(names, start=1) if name != "-"}
