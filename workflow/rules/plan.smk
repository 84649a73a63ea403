# What a run measures on this machine: photos, modes, exports, and the rounds that are new.
import atexit
import time

from effdet_bench.facts import machine
from effdet_bench.config.names import CONTROL, DRAWINGS, NO_NETWORK
from effdet_bench.facts.photos import CARRIED, PICTURED, list_photos
from effdet_bench.records import RAW_COLUMNS
from effdet_bench.timing import sets

ASKED_NAME = CONFIG["machine"]
DEVICES = CONFIG["devices"]
MODE = {mode["name"]: mode for mode in CONFIG["modes"]}
MODES = {
    device: [name for name, mode in MODE.items() if device in mode["devices"]] for device in DEVICES
}

try:
    settings.refuse_too_many(CONFIG["threads"])
    CONFIG["machine"] = machine.archive_name(config.get("machine", "auto"), layout.RESULTS)
    ARCHIVE = layout.Archive(layout.RESULTS / CONFIG["machine"])
    PHOTOS = [str(path) for path in list_photos(os.path.relpath(CONFIG["photos"]))]
    # how many of the photos timed requests use
    FIRST = min(len(PHOTOS), CARRIED)
    EXPORTS = {
        export["name"]: export
        for device in DEVICES
        for name in MODES[device]
        if (export := modes.export_of(MODE[name], device)) is not None
    }
    # what the modes of each device depend on, and the rounds in which they are timed
    SHARED = sets.shared_digests(CONFIG, [*SOURCES.values()], PHOTOS[:FIRST])
    DEPENDS = {
        device: {name: SHARED | sets.own_digests(MODE[name], device) for name in MODES[device]}
        for device in DEVICES
    }
    if CONFIG["load"]:
        from effdet_bench.load.loadgen import generator

        generator()
except BenchError as error:
    raise WorkflowError(str(error))
if CONFIG["machine"] != ASKED_NAME:
    logger.warning(
        f"results/{ASKED_NAME} is of another machine: this run writes to results/{CONFIG['machine']}."
    )

PLANS = {
    device: sets.plan_rounds(
        ARCHIVE, device, DEPENDS[device], CONFIG["rounds"], CONFIG["stage_rounds"], CONFIG["again"]
    )
    for device in DEVICES
}
# all modes except `no-network` and the control `baseline-twin`, which have no load test and no accuracy pass
SERVING = [
    (device, mode)
    for device in DEVICES
    for mode in MODES[device]
    if MODE[mode]["engine"] != NO_NETWORK and mode != CONTROL
]
# records of all modes under load
LOADS = [ARCHIVE.load(*place) / layout.LOAD_RECORD for place in SERVING if CONFIG["load"]]
# modes with an accuracy pass, and the figures of all passes
ANSWERING = SERVING if CONFIG["accuracy"] else []
PASSES = [ARCHIVE.accuracy_pass(*place) / layout.ACCURACY for place in ANSWERING]
PASSES += [ARCHIVE.reference_pass / layout.ACCURACY] if CONFIG["accuracy"] else []
if PASSES and len(FALLBACK) == len(SOURCES):
    raise WorkflowError(
        "config: accuracy is on, but all models have synthetic weights, whose accuracy means "
        f"nothing ({FALLBACK[0].why}): give release weights, see docs/installation.md, or turn "
        "accuracy off."
    )
# The terminal estimates the duration of a run by these seconds, which were measured on two cores: to load and warm up a
# mode in a round, less what fast modes save of `seconds`; and for a load test, of all modes together (quick) or of each
# mode (full).
MODE_SECONDS = 3
LOAD_SECONDS = {"quick": 540, "full": 5400}
ANSWER_SECONDS = 0.15  # of a model for one photo in an accuracy pass, on two cores together
# More threads than any machine has. Snakemake lowers them to --cores, so every computing job runs alone, and nothing
# runs beside a timing, even with more --cores.
ALONE = 1_000_000
STAGE_REQUESTS = 4  # of each mode, in a round's separate pass that times stages
REFERENCES = [str(ARCHIVE.reference(model)) for model in SOURCES]
THUMBNAILS = [ARCHIVE.thumbnails / os.path.basename(path) for path in PHOTOS[:PICTURED]]
ROUNDINGS = [str(layout.reference_rounding(record)) for record in REFERENCES]
ROUNDING_TABLES = [str(layout.rounding_table(record)) for record in ROUNDINGS]
# int8 is not emulated, because quantisation is not a rounding of the same network
PRECISIONS = sorted({modes.precision_of(mode) for mode in CONFIG["modes"]} - {"int8"})
DRAWN = [*DRAWINGS]
DRAWN += ["accuracy"] if CONFIG["annotations"] else []
DRAWN += ["load"] if CONFIG["load"] else []
REPORT_LOG = str(ARCHIVE.logs / "report.log")
STARTED = time.time()


wildcard_constraints:
    device="|".join(DEVICES),
    mode="|".join(MODE),
    model="|".join(SOURCES),
    export="|".join(EXPORTS) or "none",


def job_files(name, device=None, last=None):
    """The file `name` of every timing job that counts.

    Or only of those of one `device`, and up to the round `last`.
    """
    return [
        str(ARCHIVE.job(where, which, number) / name)
        for where, plan in PLANS.items()
        for which in MODES[where]
        for number in plan.counted[which]
        if device in (None, where) and (last is None or number <= last)
    ]


def measured_records():
    """The records of all timings, load tests and accuracy passes.

    Targets name them, because Snakemake makes a missing file again only if it is asked for, or if something newer needs
    it. Otherwise, what `retry` deletes would stay missing.
    """
    passes = [ARCHIVE.accuracy_pass(*place) / layout.PASS_RECORD for place in ANSWERING]
    return [*job_files(layout.JOB_RECORD), *LOADS, *passes]


def standings_files():
    """The standings after each new round."""
    return [ARCHIVE.standings(device, number) for device in PLANS for number in PLANS[device].new]


def export_records(device, names):
    """The records of the exports that the modes with these `names` need on `device`."""
    needed = [modes.export_of(MODE[name], device) for name in names]
    exports = dict.fromkeys(export["name"] for export in needed if export)
    return [record for export in exports for record in exports_of(export)]


def answers_depend(device, mode):
    """Digests of what the answers of a mode depend on: what its timing does, without settings of rounds."""
    return {
        part: digest
        for part, digest in DEPENDS[device][mode].items()
        if part not in ("settings", "photos")
    }


def exports_of(export):
    """The records of an export, one for each model."""
    found = [
        layout.export_record(export, source.model, source.weights) for source in SOURCES.values()
    ]
    return [str(record) for record in found]


def export_of(wildcards):
    return EXPORTS[wildcards.export]


def show_plan():
    """Tells the user what this run measures, and the logger plugin the seconds for its estimate."""
    where = " and ".join(device.upper() for device in PLANS)
    number = sum(len(MODES[device]) for device in PLANS)
    timed = sum(bool(plan.timed(mode)) for plan in PLANS.values() for mode in plan.counted)
    rounds = max((len(plan.new) for plan in PLANS.values()), default=0)
    each = max((len(names) for plan in PLANS.values() for names in plan.new.values()), default=0)
    load = LOAD_SECONDS[CONFIG["load"]] if CONFIG["load"] else 0
    some = f"{timed} of " if timed < number else ""
    plan = f"times {some}{number} modes on {where}, {rounds} rounds. Close other programs."
    then = f" Each mode answers {len(PHOTOS):,} photos." if PASSES else ""
    logger.info(
        f"effdet-bench: {plan if timed else f'{number} modes on {where} keep their figures.'}{then}",
        extra={
            "round_seconds": each * (CONFIG["seconds"] + MODE_SECONDS),
            "load_seconds": load * (len(LOADS) if CONFIG["load"] == "full" else 1),
            "pass_seconds": len(PHOTOS) * len(ENSEMBLE) * ANSWER_SECONDS,
        },
    )


def show_modes():
    """Tells for each mode whether it is timed and why, if the run times any."""
    for device, plan in PLANS.items():
        if plan.new:
            logger.info("\n".join(sets.describe(plan, device)))


def show_finding():
    """Prints what the report finds as the last lines, if this run wrote the report."""
    if os.path.exists(REPORT_LOG) and os.path.getmtime(REPORT_LOG) > STARTED:
        # at exit, because Snakemake prints a few lines of its own after this
        atexit.register(print, Path(REPORT_LOG).read_text())
