# Settings, names and helpers for the rules of all steps.
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
    from effdet_bench.config.photos import CARRIED, PICTURED, carried, list_photos
    from effdet_bench.config.versions import versions
    from effdet_bench.errors import BenchError
    from effdet_bench.records import RAW_COLUMNS
    from effdet_bench.timing import sets
except ImportError as error:
    raise WorkflowError(
        f"effdet-bench is not installed for {sys.executable} ({error}): "
        "run `make report`, or `pip install -e . -c constraints.txt`."
    )

# Targets that measure nothing, so they accept an archive of any machine.
READING = {"archive", "import_archive", "audit", "compare", "recommend"}
ASKED = runs.asked(sys.argv[1:])
TARGETS = {*ASKED.targets}
# Whether the user forces the timing of modes that have all their rounds.
FORCED = ASKED.forceall or "timing" in [*ASKED.forcerun, *(ASKED.targets if ASKED.force else [])]
READS_ONLY = bool(TARGETS) and TARGETS <= READING
# Whether this process runs the target `cluster` on a login node, or a job of that target on a node.
ASKS_CLUSTER = "cluster" in TARGETS
ON_NODE = any(word.startswith("time_type_") for word in sys.argv)

try:
    runs.refuse_unwritable([".", runs.KEPT, layout.RESULTS, layout.CHECKPOINTS, layout.EXPORTS])
    # Jobs of a cluster run this Snakefile again on their nodes, with the option --mode.
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
        f"results/{AUTOMATIC} is of another machine: this run writes to results/{CONFIG['machine']}."
    )

ARCHIVE = layout.Archive(layout.RESULTS / CONFIG["machine"])
DEVICES = CONFIG["devices"]
MODES = {device: [mode["name"] for mode in modes_of(device)] for device in DEVICES}
MODE = {mode["name"]: mode for mode in CONFIG["modes"]}
# A user who names the target `load` wants load tests, even if the setting `load` is off.
LOAD = CONFIG["load"] or ("quick" if "load" in TARGETS else None)
# records of all modes under load, except `no-network` and the control `baseline-twin`
LOADS = [
    ARCHIVE.load(device, mode) / layout.LOAD_RECORD
    for device in DEVICES
    for mode in MODES[device]
    if LOAD and MODE[mode]["engine"] not in NO_NETWORK and mode != CONTROL
]
# Priorities. First come rules that can find mistakes of the user, to report these before long work begins. Then come
# rules that timing needs, and the rounds. All other rules follow, because a user waits for the first standings.
AT_ONCE, BEFORE_TIMING = CONFIG["rounds"] + 2, CONFIG["rounds"] + 1
# The terminal estimates the duration of a run by these seconds, which were measured on two cores: to load and warm up a
# mode in a round, less what fast modes save of `seconds`; and for a load test, of all modes together (quick) or of each
# mode (full).
MODE_SECONDS = 3
LOAD_SECONDS = {"quick": 540, "full": 5400}
STAGE_REQUESTS = 4  # of each mode, in a round's separate pass that times stages
ENSEMBLE = [
    {key: entry[key] for key in ("model", "architecture", "classes")}
    for entry in CONFIG["ensemble"]
]
RECORDS = [
    str(layout.checkpoint_record(source.model, source.weights)) for source in SOURCES.values()
]
REFERENCES = [str(ARCHIVE.reference(model)) for model in SOURCES]
THUMBNAILS = [ARCHIVE.thumbnails / os.path.basename(path) for path in PHOTOS[:PICTURED]]
# How many of the photos requests use.
FIRST = carried(len(PHOTOS), CONFIG["requests"], CONFIG["rounds"])
# What the modes of each device depend on, and the rounds in which they are timed.
try:
    SHARED = sets.shared_digests(CONFIG, [*SOURCES.values()], PHOTOS[:FIRST])
    DEPENDS = {
        device: {mode["name"]: SHARED | sets.own_digests(mode, device) for mode in modes_of(device)}
        for device in ([] if READS_ONLY or ASKS_CLUSTER else DEVICES)
    }
except BenchError as error:
    raise WorkflowError(str(error))
PLANS = {
    device: sets.plan_rounds(
        ARCHIVE, device, DEPENDS[device], CONFIG["rounds"], CONFIG["stage_rounds"], FORCED
    )
    for device in DEPENDS
}
ROUNDINGS = [str(layout.reference_rounding(record)) for record in REFERENCES]
ROUNDING_TABLES = [str(layout.rounding_table(record)) for record in ROUNDINGS]
# int8 is not emulated, because quantisation is not a rounding of the same network
PRECISIONS = sorted({modes.precision_of(mode) for mode in CONFIG["modes"]} - {"int8"})
# An interpreter whose allocator keeps the memory of large tensors. The default one requests new memory for each
# tensor, with which emulated rounding takes twice as long.
KEEPING = " ".join(f"{k}={v}" for k, v in modes.shipped_modes()[TUNED]["env"].items())
KEEPING = f"env {KEEPING} python3"
FIGURES = ["speedup", "distribution", "stages", "ablation", "roofline", "course"]
FIGURES += ["accuracy"] if CONFIG["annotations"] else []
FIGURES += ["load"] if LOAD else []
REPORT_LOG = str(ARCHIVE.logs / "report.log")
STARTED = time.time()

# The environment of the steps' shells. `python3` is the interpreter that runs Snakemake, which has the packages. The
# mirror is not a param, because a changed param would download a verified file again.
os.environ.update(
    PATH=f"{os.path.dirname(sys.executable)}{os.pathsep}{os.getenv('PATH')}",
    EFFDET_BENCH_MIRROR=CONFIG["mirror"],
)

# One token that every computing job must take, so that nothing runs beside a timing, even with more --cores. This
# limit of the workflow itself also overrides --resources, which Snakemake does not document.
workflow.global_resources["timing"] = 1


wildcard_constraints:
    device="|".join(DEVICES),
    mode="|".join(mode["name"] for mode in CONFIG["modes"]),
    model="|".join(SOURCES),
    export="|".join(EXPORTS) or "none",


def step(name, *arguments, python="python3"):
    """The shell command of a step. It writes to the rule's log, which the logger plugin shows."""
    return " ".join((f"{python} -m effdet_bench", name, *arguments, "> {log:q} 2>&1"))


def step_code(*modules):
    """Files of the package that a step runs. As inputs they rerun the step after an edit."""
    return [os.path.relpath(path) for path in module_files(*modules)]


def package_files(folder, pattern):
    """Files of the package other than code that a step reads."""
    return sorted(os.path.relpath(path) for path in folder.glob(pattern))


def job_files(name, device=None, mode=None, last=None):
    """The file `name` of every timing job that counts.

    Or only of those of one `device`, of one `mode` on it, and up to the round `last`.
    """
    return [
        str(ARCHIVE.job(where, which, number) / name)
        for where, plan in PLANS.items()
        for which in MODES[where]
        for number in plan.counted[which]
        if device in (None, where) and mode in (None, which) and (last is None or number <= last)
    ]


def standings_files():
    """The standings after each new round."""
    return [ARCHIVE.standings(device, number) for device in PLANS for number in PLANS[device].new]


def export_records(device, names):
    """The records of the exports that the modes with these `names` need on `device`."""
    needed = [modes.export_of(MODE[name], device) for name in names]
    exports = dict.fromkeys(export["name"] for export in needed if export)
    return [record for export in exports for record in exports_of(export)]


def exports_of(export):
    """The records of an export, one for each model."""
    found = [
        layout.export_record(export, source.model, source.weights) for source in SOURCES.values()
    ]
    return [str(record) for record in found]


def export_of(wildcards):
    return EXPORTS[wildcards.export]


def released_model(wildcards):
    """The model whose release checkpoint is called `file`."""
    return next(
        name for name, release in RELEASE.items() if Path(release.file).stem == wildcards.file
    )


def expected(source):
    """What the record of a checkpoint says of its source, and SHA-256 and size that it must have, if known."""
    return {key: getattr(source, key) for key in ("weights", "why", "sha256", "bytes")}


def resources_of(machine_type):
    """Resources that Snakemake requests from the scheduler: one whole node of the machine type."""
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
    """Compares the machine types after the run, even if some of their jobs failed."""
    if ASKS_CLUSTER:
        reasons = {
            name: standing.why_not or scheduler.why_not_measured(name, STARTED)
            for name, standing in STANDINGS.items()
        }
        command = [sys.executable, "-m", "effdet_bench", "compare", "--types", json.dumps(reasons)]
        subprocess.run(command)


def show_plan():
    """Tells the user what this run measures, and the logger plugin the seconds for its estimate."""
    where = " and ".join(device.upper() for device in PLANS)
    number = sum(len(MODES[device]) for device in PLANS)
    timed = sum(bool(plan.timed(mode)) for plan in PLANS.values() for mode in plan.counted)
    rounds = max((len(plan.new) for plan in PLANS.values()), default=0)
    each = max((len(names) for plan in PLANS.values() for names in plan.new.values()), default=0)
    load = LOAD_SECONDS[LOAD] if LOAD else 0
    some = f"{timed} of " if timed < number else ""
    plan = f"times {some}{number} modes on {where}, {rounds} rounds. Close other programs."
    logger.info(
        f"effdet-bench: {plan if timed else f'{number} modes on {where} keep their figures.'}",
        extra={
            "round_seconds": each * (CONFIG["seconds"] + MODE_SECONDS),
            "load_seconds": load * (len(LOADS) if LOAD == "full" else 1),
        },
    )


def show_modes():
    """Tells for each mode whether it is timed and why: in a dry run, and if there were rounds before."""
    new = [number for plan in PLANS.values() for number in plan.new]
    if new and (ASKED.dryrun or min(new) > 1):
        for device, plan in PLANS.items():
            logger.info("\n".join(sets.describe(plan, device)))


def show_finding():
    """Prints the conclusion of the report as the last lines, if this run wrote the report."""
    if os.path.exists(REPORT_LOG) and os.path.getmtime(REPORT_LOG) > STARTED:
        # at exit, because Snakemake prints a few lines of its own after this
        atexit.register(print, Path(REPORT_LOG).read_text())
