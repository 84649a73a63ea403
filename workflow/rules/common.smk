# Settings, names and helpers that both workflows use: that of a machine and that of a cluster.
import json
import os
import signal
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

try:
    from effdet_bench import layout, runs
    from effdet_bench.checkpoints import sources
    from effdet_bench.checkpoints.catalogue import RELEASE
    from effdet_bench.config import files, modes, settings
    from effdet_bench.config.names import TUNED
    from effdet_bench.facts.code import module_files
    from effdet_bench.facts.versions import versions
    from effdet_bench.errors import BenchError
except ImportError as error:
    raise WorkflowError(
        f"effdet-bench is not installed for {sys.executable} ({error}): "
        "run `make report`, or `pip install -e . -c constraints.txt`."
    )

try:
    runs.refuse_unwritable([".", runs.KEPT, layout.RESULTS, layout.CHECKPOINTS, layout.EXPORTS])
    files.refuse_ambiguous(workflow.configfiles)
    CONFIG = settings.resolve(config)
    SOURCES = {source.model: source for source in sources.choose(CONFIG)}
except BenchError as error:
    raise WorkflowError(str(error))

FALLBACK = [source for source in SOURCES.values() if source.weights == "synthetic"]
if FALLBACK and CONFIG["weights"] == "auto":
    models = ", ".join(source.model for source in FALLBACK)
    logger.warning(f"WARNING: SYNTHETIC WEIGHTS for {models}: {FALLBACK[0].why}.")

ENSEMBLE = [
    {key: entry[key] for key in ("model", "architecture", "classes")}
    for entry in CONFIG["ensemble"]
]
CHECKPOINTS = [source.path for source in SOURCES.values()]
RECORDS = [
    str(layout.checkpoint_record(source.model, source.weights)) for source in SOURCES.values()
]
# Priorities. First come rules that can find mistakes of the user, to report these before long work begins. Then come
# rules that timing needs, and the rounds. All other rules follow, because a user waits for the first standings.
AT_ONCE, BEFORE_TIMING = CONFIG["rounds"] + 2, CONFIG["rounds"] + 1

# An interpreter whose allocator keeps the memory of large tensors, for synthetic weights and emulated rounding. The
# default allocator requests new memory for each tensor. With the default allocator, emulated rounding takes twice as
# long, and synthetic weights take a third longer.
VARIABLES = " ".join(f"{k}={v}" for k, v in modes.shipped_modes()[TUNED]["env"].items())
KEEPING = f"env {VARIABLES} python3"

# Whether another run of this workflow started this process, as its job on a node of a cluster.
ON_NODE = runs.RUN in os.environ
# The environment of the steps' shells. `python3` is the interpreter that runs Snakemake, which has the packages. The
# mirror is not a param, because a changed param would download a verified file again.
os.environ.update(
    {
        "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.getenv('PATH')}",
        "EFFDET_BENCH_MIRROR": CONFIG["mirror"],
        runs.RUN: str(os.getpid()),
    }
)


def begin():
    """Holds the folder for this run, and has SIGTERM do what Ctrl-C does."""
    # Snakemake's own handler waits for a lock that the interrupted code may hold
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        runs.hold_folder()
    except BenchError as error:
        raise WorkflowError(str(error))


def step(name, *arguments, python="python3"):
    """The shell command of a step. It writes to the rule's log, which the logger plugin shows."""
    return " ".join((f"{python} -m effdet_bench", name, *arguments, "> {log:q} 2>&1"))


def step_code(*modules, engine=None):
    """Files that a step runs, with those of an engine. As inputs they rerun the step after an edit."""
    return [os.path.relpath(path) for path in module_files(*modules, engine=engine)]


def package_files(folder, pattern):
    """Files of the package other than code that a step reads."""
    return sorted(os.path.relpath(path) for path in folder.glob(pattern))


def released_model(wildcards):
    """The model whose release checkpoint is called `file`."""
    return next(
        name for name, release in RELEASE.items() if Path(release.file).stem == wildcards.file
    )


def expected(source):
    """What the record of a checkpoint says of its source, and SHA-256 and size that it must have, if known."""
    return {key: getattr(source, key) for key in ("weights", "why", "sha256", "bytes")}
