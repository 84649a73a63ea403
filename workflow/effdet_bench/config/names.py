"""Names and numbers that mean something to more than one step."""

DEVICES = ("cpu", "cuda", "mps")
BASELINE = "baseline"
CONTROL = "baseline-twin"  # the A/A control: baseline again, timed in every round as its own mode
TUNED = "baseline-malloc"  # baseline with an allocator that keeps what it has
NO_NETWORK = ("no_network", "invalid")  # the engine that runs none, and its name of version 0.1
JOINT_ENGINES = ("vmap", "grouped")  # run all networks of an ensemble as one
COCO_CLASSES = 90  # ids that COCO's labels go up to, which the released networks tell apart
UNSEEN_MARK = "+unseen"  # in the name of a photo that no mode was sent before
# settings that say what a recommended mode must keep
NEEDS = ("recommend_p90_ms", "recommend_memory_mib", "recommend_precisions")
