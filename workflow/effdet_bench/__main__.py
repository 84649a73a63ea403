"""`effdet-bench COMMAND …`, and the steps of the workflow: `python -m effdet_bench STEP …`."""

import argparse
import atexit
import errno
import gc
import os
import sys
from importlib import import_module

from effdet_bench import __version__, runs
from effdet_bench.errors import BenchError
from effdet_bench.imports import importing

# modules with the functions `add_arguments` and `run`
COMMANDS = {
    "init": ("config.init", "make a folder to run the benchmark in, without a clone"),
    "recommend": ("report.recommendation", "name the mode to deploy, by constraints"),
    "compare": ("archive.compare", "compare all machines, or two runs of one"),
    "history": ("archive.history", "show the results of one machine over time, with steps marked"),
    "audit": ("archive.audit", "recompute and check every number of an archive"),
    "render": ("archive.render", "render an archive again, from its raw data alone"),
    "figures": ("report.figures.draw", "draw the figures of the report, also as PNG"),
    "coco-results": ("accuracy.coco", "write detections on all photos in COCO's results format"),
    "check-engine": ("conformance.check_engine", "check whether an engine keeps the contract"),
    "retry": ("archive.retry", "have the next run repeat what failed or was unavailable"),
    "pack": ("archive.pack", "pack an archive as one .zip file"),
    "import": ("archive.unpack", "unpack the .zip file of another machine"),
}
STEPS = {
    "download": ("checkpoints.download", "fetch one release checkpoint"),
    "synthesise": ("checkpoints.synthetic", "make synthetic checkpoints"),
    "verify": ("checkpoints.verify", "verify checkpoints and record them"),
    "settings": ("config.settings", "record the settings of a run"),
    "environment": ("timing.environment", "record this machine and its versions"),
    "photos": ("facts.photos", "check the photos and record them"),
    "annotations": ("reference.annotations", "check and keep COCO annotations of the photos"),
    "reference": ("reference.reference", "compute upstream's answers, by which modes are judged"),
    "rounding": ("reference.rounding", "measure what rounding does to a reference"),
    "export": ("export.export", "export all models for an engine"),
    "check_export": ("export.check", "compare the outputs of exports with PyTorch's"),
    "roofline": ("roofline.roofline", "measure a device's ceilings, compute the bounds"),
    "timing": ("timing.job", "time all modes of one device and round"),
    "standings": ("report.standings", "show where things stand after a round"),
    "accuracy_reference": ("accuracy.upstream", "answer all photos as upstream does"),
    "accuracy_pass": ("accuracy.passes", "answer all photos by one mode"),
    "measure": ("accuracy.measure", "compute COCO's figures of a pass over all photos"),
    "validity": ("validity.gate", "judge the answers of all modes"),
    "load": ("load.job", "put one mode under load"),
    "capacities": ("load.capacities", "compute the capacities of modes under load"),
    "summary": ("summary.summary", "compute every number of a report"),
    "report": ("report.report", "render the report"),
    "manifest": ("archive.manifest", "write the manifest of an archive"),
    "bundle": ("deploy.bundle", "make a bundle of a mode, to deploy it"),
    "strict": ("archive.strict", "fail if a mode is not valid"),
    "node": ("cluster.node", "time this node, as one machine type of a cluster"),
}
# what a user can do about errors of the operating system; all other errors are bugs here
MENDS = {
    errno.ENOSPC: "free some space and run again; finished measurements are kept",
    errno.EDQUOT: "free some of your quota and run again; finished measurements are kept",
    errno.EACCES: "give yourself permission, or choose another folder",
    errno.EPERM: "give yourself permission, or choose another folder",
    errno.ENOTDIR: "choose another path, where no file has the name of a folder",
    errno.EEXIST: "choose another path, where no file has the name of a folder",
    errno.EISDIR: "choose another path, where no folder has the name of a file",
    errno.EROFS: "choose a folder in which you can write",
}
# Snakemake sets these variables to the threads of a rule, at most --cores; steps take the number
# of threads from config instead
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def main(argv: list[str] | None = None) -> None:
    """Runs the command or step that `argv` names; without `argv`, the command line names it."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="effdet-bench",
        description="Reads results of effdet-bench; `snakemake --cores 1` measures.\n\n"
        f"Commands:\n{_listed(COMMANDS)}\n\nSteps of the workflow:\n{_listed(STEPS)}\n\n"
        "Each has its own --help.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="effdet-bench COMMAND …",
    )
    known = COMMANDS | STEPS
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("step", choices=known, metavar="COMMAND", help=argparse.SUPPRESS)
    step = parser.parse_args(argv[:1]).step
    runs.end_with_run()
    # torch and NumPy, which the step imports, read these variables when they are imported
    for variable in THREAD_VARIABLES:
        os.environ.pop(variable, None)
    # the last search for garbage, among all of torch's objects, would take a second
    atexit.register(gc.freeze)
    try:
        with importing():
            module = import_module(f"effdet_bench.{known[step][0]}")
        own = argparse.ArgumentParser(prog=f"{parser.prog} {step}", description=module.__doc__)
        module.add_arguments(own)
        module.run(own.parse_args(argv[1:]))
        sys.stdout.flush()
    except BrokenPipeError:
        if step in STEPS:
            raise
        # the program that reads the output has ended, such as `head`; Python would complain of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except BenchError as error:
        sys.exit(f"effdet-bench {step}: {error}")
    except OSError as error:
        if error.errno not in MENDS:
            raise
        where = f" ({error.filename})" if error.filename else ""
        sys.exit(f"effdet-bench {step}: {error.strerror}{where}: {MENDS[error.errno]}.")
    except KeyboardInterrupt:
        sys.exit(130)


def _listed(known: dict[str, tuple[str, str]]) -> str:
    return "\n".join(f"  {name:18} {text}" for name, (_, text) in known.items())


if __name__ == "__main__":
    main()
