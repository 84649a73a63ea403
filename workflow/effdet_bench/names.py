"""Names that mean something to more than one step."""

BASELINE = "baseline"
TWIN = "baseline-twin"  # baseline again, timed in every round as a mode of its own
FLOOR_ENGINE = "invalid"  # runs no network
JOINT_ENGINES = ("vmap", "grouped")  # run all networks of an ensemble as one
