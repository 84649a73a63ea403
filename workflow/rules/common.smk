# Settings, names and helpers of all rules.
import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

try:
    from effdet_bench import config as settings
    from effdet_bench.checkpoints import sources
    from effdet_bench.checkpoints.catalogue import RELEASE
    from effdet_bench.errors import BenchError
    from effdet_bench.modules import module_files
    from effdet_bench.photos import list_photos
    from effdet_bench.versions import versions
except ImportError as error:
    raise WorkflowError(
        f"effdet-bench is not installed for {sys.executable} ({error}): "
        "run `make report`, or `pip install -e . -c constraints.txt`."
    )

try:
    CONFIG = settings.resolve(config)
    SOURCES = {source.model: source for source in sources.choose(CONFIG)}
    PHOTOS = list_photos(os.path.relpath(CONFIG["photos"]))
except BenchError as error:
    raise WorkflowError(str(error))

FALLBACK = [source for source in SOURCES.values() if source.weights == "synthetic"]
if FALLBACK and CONFIG["weights"] == "auto":
    models = ", ".join(source.model for source in FALLBACK)
    logger.warning(f"WARNING: SYNTHETIC WEIGHTS for {models}: {FALLBACK[0].why}.")

MACHINE = CONFIG["machine"]
RESULTS = f"results/{MACHINE}"
MODES = {mode["name"]: mode for mode in CONFIG["modes"]}

# Round by round, so that a drift of the machine meets every mode alike.
JOBS = [
    (device, mode, round)
    for round in range(1, CONFIG["rounds"] + 1)
    for device in CONFIG["devices"]
    for mode in MODES
]

# The interpreter that runs Snakemake has the packages.
STEP = f"{sys.executable} -m effdet_bench"

# One token for every rule that computes: nothing runs beside a timing, whatever --cores says. The
# workflow's own limit holds against --resources too; Snakemake does not document it.
workflow.global_resources["timing"] = 1


wildcard_constraints:
    device="|".join(CONFIG["devices"]),
    mode="|".join(MODES),
    round="[1-9][0-9]*",
    model="|".join(SOURCES),
    weights="release|file|synthetic",


def step_code(*modules):
    """Files of the package that a step runs: an edit of one reruns the step."""
    return [os.path.relpath(path) for path in module_files(*modules)]


def job_folder(device, mode, round):
    return f"{RESULTS}/timing/{device}/{mode}/round-{round}"


def optional(flag, value):
    return "" if value is None else f"{flag} {value}"
