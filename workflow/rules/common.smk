# Settings, names and helpers of all steps.
import atexit
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

try:
    from effdet_bench import layout, runs
    from effdet_bench.checkpoints import sources
    from effdet_bench.checkpoints.catalogue import RELEASE
    from effdet_bench.cluster import scheduler
    from effdet_bench.config import files, machine, modes, settings
    from effdet_bench.config.code import module_files
    from effdet_bench.config.names import CONTROL, NEEDS, NO_NETWORK, TUNED
    from effdet_bench.config.photos import PICTURED, carried, list_photos
    from effdet_bench.config.versions import versions
    from effdet_bench.errors import BenchError
    from effdet_bench.records import RAW_COLUMNS
except ImportError as error:
    raise WorkflowError(
        f"effdet-bench is not installed for {sys.executable} ({error}): "
        "run `make report`, or `pip install -e . -c constraints.txt`."
    )

# Targets that measure nothing, and so take whatever archive they are told.
READING = {"archive", "import_archive", "audit", "compare", "recommend"}
READS_ONLY = not READING.isdisjoint(sys.argv)
# Of a cluster: asked for here, on a login node; or a job of it, on a node.
ASKS_CLUSTER = "cluster" in sys.argv
ON_NODE = any(word.startswith("time_type_") for word in sys.argv)

try:
    runs.refuse_unwritable([".", runs.KEPT, layout.RESULTS, layout.CHECKPOINTS, layout.EXPORTS])
    # Jobs of a cluster run the Snakefile once more, on their nodes, and have a --mode.
    HELD = runs.begin(forgets="--mode" not in sys.argv)
    runs.refuse_missing_profile(sys.argv[1:], Path(workflow.basedir))
    files.refuse_ambiguous(workflow.configfiles)
    CONFIG = settings.resolve(config)
    SOURCES = {source.model: source for source in sources.choose(CONFIG)}
    PHOTOS = [str(path) for path in list_photos(os.path.relpath(CONFIG["photos"]))]
    EXPORTS = {
        export["name"]: export
        for device in CONFIG["devices"]
        for mode in CONFIG["modes"]
        if device in mode["devices"] and (export := modes.export_of(mode, device)) is not None
    }
    AUTOMATIC = CONFIG["machine"]
    if not (READS_ONLY or ASKS_CLUSTER or ON_NODE) or config.get("machine", "auto") == "auto":
        CONFIG["machine"] = machine.archive_name(config.get("machine", "auto"), layout.RESULTS)
    if not (READS_ONLY or ASKS_CLUSTER or ON_NODE):
        settings.refuse_too_many(CONFIG["threads"])
    MACHINE_TYPES = {kind["name"]: kind for kind in CONFIG["cluster"]}
    if ASKS_CLUSTER and not MACHINE_TYPES:
        raise BenchError("config: cluster names no machine type to time: see docs/cluster.md.")
    STANDINGS = (
        {name: scheduler.standing(kind) for name, kind in MACHINE_TYPES.items()}
        if ASKS_CLUSTER
        else {}
    )
except BenchError as error:
    raise WorkflowError(str(error))


def modes_of(device):
    """The modes that are run on `device`."""
    return [mode for mode in CONFIG["modes"] if device in mode["devices"]]


FALLBACK = [source for source in SOURCES.values() if source.weights == "synthetic"]
if FALLBACK and CONFIG["weights"] == "auto" and not READS_ONLY:
    models = ", ".join(source.model for source in FALLBACK)
    logger.warning(f"WARNING: SYNTHETIC WEIGHTS for {models}: {FALLBACK[0].why}.")
if CONFIG["machine"] != AUTOMATIC:
    logger.warning(
        f"results/{AUTOMATIC} is of another machine: this run writes results/{CONFIG['machine']}."
    )

ARCHIVE = layout.Archive(layout.RESULTS / CONFIG["machine"])
JOB = str(ARCHIVE.job("{device}", "{mode}", "{round}"))
DEVICES = CONFIG["devices"]
MODES = {device: [mode["name"] for mode in modes_of(device)] for device in DEVICES}
MODE = {mode["name"]: mode for mode in CONFIG["modes"]}
# Who asks for the target `load` by its name wants some.
LOAD = CONFIG["load"] or ("quick" if "load" in sys.argv else None)
# of all modes but those that have no detector, or are there as a control
LOADS = [
    ARCHIVE.load(device, mode) / layout.LOAD_RECORD
    for device in DEVICES
    for mode in MODES[device]
    if LOAD and MODE[mode]["engine"] not in NO_NETWORK and mode != CONTROL
]
ROUNDS = range(1, CONFIG["rounds"] + 1)
# The priority of what finds mistakes of the user: they are told before anything takes long.
AT_ONCE = len(ROUNDS) + 1
# For the time that a run takes, as the terminal estimates it from what two cores took: to load and warm up
# a mode in a round; and for `load`, in all (quick), or for each mode (full).
MODE_SECONDS = 4.5
LOAD_SECONDS = {"quick": 540, "full": 5400}
STAGE_REQUESTS = 4  # of each mode, in the separate pass of a round that has one
ENSEMBLE = [
    {key: entry[key] for key in ("model", "architecture", "classes")}
    for entry in CONFIG["ensemble"]
]
RECORDS = [
    str(layout.checkpoint_record(source.model, source.weights)) for source in SOURCES.values()
]
REFERENCES = [str(ARCHIVE.reference(model)) for model in SOURCES]
THUMBNAILS = [ARCHIVE.thumbnails / os.path.basename(path) for path in PHOTOS[:PICTURED]]
# How many of them requests carry.
FIRST = carried(len(PHOTOS), CONFIG["requests"], CONFIG["rounds"])
ROUNDINGS = [str(layout.reference_rounding(record)) for record in REFERENCES]
ROUNDING_TABLES = [str(layout.rounding_table(record)) for record in ROUNDINGS]
# int8 is no rounding of the same network, so that none is emulated
PRECISIONS = sorted({modes.precision_of(mode) for mode in CONFIG["modes"]} - {"int8"})
# An interpreter that keeps large tensors in place of mapping each anew, which halves the time that
# emulated rounding takes.
KEEPING = " ".join(f"{k}={v}" for k, v in modes.shipped_modes()[TUNED]["env"].items())
KEEPING = f"env {KEEPING} python3"
FIGURES = ["speedup", "distribution", "stages", "ablation", "roofline", "course"]
FIGURES += ["accuracy"] if CONFIG["annotations"] else []
FIGURES += ["load"] if LOAD else []
REPORT_LOG = str(ARCHIVE.logs / "report.log")
STARTED = time.time()

# Of the steps' shells: `python3` is the interpreter that runs Snakemake, which has the packages. The
# mirror is no param, as another address of a verified file is no reason to fetch it again.
os.environ.update(
    PATH=f"{os.path.dirname(sys.executable)}{os.pathsep}{os.getenv('PATH')}",
    EFFDET_BENCH_MIRROR=CONFIG["mirror"],
)

# One token that everything that computes must take: nothing runs beside a timing, whatever --cores
# says. The workflow's own limit holds against --resources too; Snakemake does not document it.
workflow.global_resources["timing"] = 1


wildcard_constraints:
    device="|".join(DEVICES),
    mode="|".join(mode["name"] for mode in CONFIG["modes"]),
    round="[1-9][0-9]*",
    model="|".join(SOURCES),
    export="|".join(EXPORTS) or "none",
    weights="release|file|synthetic",


def step(name, *arguments, python="python3"):
    """The shell command of a step. The logger plugin shows what the rule's log says."""
    return " ".join((f"{python} -m effdet_bench", name, *arguments, "> {log:q} 2>&1"))


def step_code(*modules):
    """Files of the package that a step runs: an edit of one reruns the step."""
    return [os.path.relpath(path) for path in module_files(*modules)]


def package_files(folder, pattern):
    """Files that the package brings along, and that a step reads."""
    return sorted(os.path.relpath(path) for path in folder.glob(pattern))


def unnoted_of(device):
    """A resource of a round of `device`: 1 if its run ended before it could note the round's end."""

    def unnoted(wildcards, input):
        asked = workflow.dag_settings
        if asked.forceall or asked.forcetargets or asked.forcerun:
            return 0
        path, modes = f"{JOB}/{layout.JOB_RECORD}", MODES[device]
        records = expand(path, device=device, mode=modes, round=wildcards.round)
        inputs = set(input) - set(input.checks)  # which are ancient
        return int(runs.finished_unnoted(workflow.persistence, records, inputs))

    return unnoted


def job_files(name, device=None, mode=None):
    """The file `name` of every timing job, or of those of one device, or of one mode on it."""
    devices = [device] if device else DEVICES
    return [
        file
        for one in devices
        for file in expand(
            f"{JOB}/{name}", device=one, mode=[mode] if mode else MODES[one], round=ROUNDS
        )
    ]


def export_records(device):
    """The records of all exports for `device`."""
    return [
        str(layout.export_record(export["name"], source.model, source.weights))
        for export in EXPORTS.values()
        if export["device"] == device
        for source in SOURCES.values()
    ]


def source_of(wildcards):
    return SOURCES[wildcards.model]


def record_of(wildcards):
    return str(layout.checkpoint_record(wildcards.model, wildcards.weights))


def network_of(wildcards):
    """The network of a model of the ensemble, as arguments of a step."""
    entry = next(entry for entry in ENSEMBLE if entry["model"] == wildcards.model)
    return " ".join(f"--{key} {value}" for key, value in entry.items())


def export_of(wildcards):
    return EXPORTS[wildcards.export]


def released_model(wildcards):
    """The model whose release checkpoint is called `file`."""
    return next(
        name for name, release in RELEASE.items() if Path(release.file).stem == wildcards.file
    )


def expected(wildcards):
    """What the file of a source must be, as arguments of the step that verifies it."""
    source = source_of(wildcards)
    known = {"--sha256": source.sha256, "--bytes": source.bytes}
    return " ".join(f"{flag} {value}" for flag, value in known.items() if value is not None)


def resources_of(machine_type):
    """What the scheduler is asked for: one whole node of the machine type."""
    kind = MACHINE_TYPES[machine_type]
    standing = STANDINGS.get(machine_type)
    wanted = {
        "slurm_partition": kind["partition"],
        "slurm_account": kind["account"],
        "constraint": kind["constraint"],
        "gres": kind["gres"],
        "tasks_per_gpu": 0 if kind["gres"] else None,
        "cpus_per_task": standing.cpus if standing else None,
        "mem_mb": standing.memory_mb if standing else None,
        "runtime": kind["minutes"],
        "slurm_extra": f"--exclusive --deadline=now+{kind['minutes'] + kind['wait']}minutes",
    }
    return {key: value for key, value in wanted.items() if value is not None}


def show_cluster():
    """Compares the machine types, whatever became of their jobs, once the run has ended."""
    if ASKS_CLUSTER:
        reasons = {
            name: standing.why_not or scheduler.why_not_measured(name, STARTED)
            for name, standing in STANDINGS.items()
        }
        command = [sys.executable, "-m", "effdet_bench", "compare", "--types", json.dumps(reasons)]
        subprocess.run(command)


def show_plan():
    """Tells the logger plugin and the user what this run measures, and for about how long."""
    modes = sum(len(MODES[device]) for device in DEVICES)
    where = " and ".join(device.upper() for device in DEVICES)
    each = max((len(MODES[device]) for device in DEVICES), default=0)
    load = LOAD_SECONDS[LOAD] if LOAD else 0
    logger.info(
        f"effdet-bench: {modes} modes on {where}, {len(ROUNDS)} rounds. Close other programs.",
        extra={
            "round_seconds": each * (CONFIG["seconds"] + MODE_SECONDS),
            "load_seconds": load * (len(LOADS) if LOAD == "full" else 1),
        },
    )


def show_finding():
    """Prints what the report finds, if this run wrote it, so that the terminal ends with it."""
    if os.path.exists(REPORT_LOG) and os.path.getmtime(REPORT_LOG) > STARTED:
        # at exit, as Snakemake has a few lines of its own to say after this
        atexit.register(print, Path(REPORT_LOG).read_text())
