"""`python -m effdet_bench STEP …`: every step of the workflow, by hand."""

import argparse
import errno
import os
import sys
from importlib import import_module

from effdet_bench import runs
from effdet_bench.errors import BenchError

STEPS = {
    "download": ("checkpoints.download", "fetch one release checkpoint"),
    "synthesise": ("checkpoints.synthetic", "make one synthetic checkpoint"),
    "verify": ("checkpoints.verify", "verify one checkpoint and record it"),
    "settings": ("config.settings", "record the settings of a run"),
    "environment": ("timing.environment", "record this machine and its versions"),
    "photos": ("config.photos", "check the photos and record them"),
    "annotations": ("reference.annotations", "check and keep COCO annotations of the photos"),
    "reference": ("reference.reference", "compute what answers are judged against"),
    "rounding": ("reference.rounding", "measure what rounding does to a reference"),
    "export": ("export.export", "export one model for an engine"),
    "check_export": ("export.check", "check that an export answers as PyTorch does"),
    "roofline": ("roofline.roofline", "measure a device's ceilings and bound the request"),
    "timing": ("timing.job", "time all modes of one device and round"),
    "retry": ("timing.retry", "forget exports and timing jobs that did not complete"),
    "validity": ("validity.gate", "judge the answers of one device and mode"),
    "load": ("load.job", "put one mode under load"),
    "capacities": ("load.capacities", "compute what modes under load sustain"),
    "summary": ("summary.summary", "compute every number of a report"),
    "figures": ("report.figures.draw", "draw the figures of the report"),
    "render": ("archive.render", "render an archive anew, from its raw data alone"),
    "archive": ("archive.pack", "write a manifest, pack an archive, or bring one in"),
    "audit": ("archive.audit", "recompute every number of an archive"),
    "strict": ("archive.strict", "fail if a mode is not valid"),
    "node": ("cluster.node", "time the node that this runs on, as one type of a cluster"),
    "compare": ("archive.compare", "compare all machines, or two runs of one"),
    "report": ("report.report", "render the report"),
    "recommend": ("report.recommendation", "name the mode to deploy, by constraints"),
}
# what a user can do about errors of the system; all others are mistakes of this code
MENDS = {
    errno.ENOSPC: "free some space and run again; what was measured is kept",
    errno.EDQUOT: "free some of your quota and run again; what was measured is kept",
    errno.EACCES: "give yourself the right to it, or choose another folder",
    errno.EPERM: "give yourself the right to it, or choose another folder",
    errno.EROFS: "choose a folder that can be written to",
}
# Snakemake sets these to a rule's threads, capped by --cores; steps set threads from config
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def main(argv: list[str] | None = None) -> None:
    """Runs the step that `argv` (else the command line) names."""
    argv = sys.argv[1:] if argv is None else argv
    steps = "\n".join(f"  {name:12} {text}" for name, (_, text) in STEPS.items())
    parser = argparse.ArgumentParser(
        prog="python -m effdet_bench",
        description=f"One step of effdet-bench:\n{steps}\n\nEach has its own --help.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("step", choices=STEPS, metavar="STEP")
    step = parser.parse_args(argv[:1]).step
    runs.end_with_run()
    # before the step imports torch or NumPy, which read them
    for variable in THREAD_VARIABLES:
        os.environ.pop(variable, None)
    module = import_module(f"effdet_bench.{STEPS[step][0]}")
    own = argparse.ArgumentParser(prog=f"{parser.prog} {step}", description=module.__doc__)
    module.add_arguments(own)
    try:
        module.run(own.parse_args(argv[1:]))
    except BenchError as error:
        sys.exit(f"effdet-bench {step}: {error}")
    except OSError as error:
        if error.errno not in MENDS:
            raise
        where = f" ({error.filename})" if error.filename else ""
        sys.exit(f"effdet-bench {step}: {error.strerror}{where}: {MENDS[error.errno]}.")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
