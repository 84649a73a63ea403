"""`python -m effdet_bench STEP …`: every step of the workflow, by hand."""

import argparse
import sys
from importlib import import_module

from effdet_bench.errors import BenchError

STEPS = {
    "download": ("effdet_bench.checkpoints.download", "fetch one release checkpoint"),
    "synthesise": ("effdet_bench.checkpoints.synthetic", "make one synthetic checkpoint"),
    "verify": ("effdet_bench.checkpoints.verify", "verify one checkpoint and record it"),
    "settings": ("effdet_bench.config", "record the settings of a run"),
    "environment": ("effdet_bench.environment", "record this machine and its versions"),
    "photos": ("effdet_bench.photos", "check the photos and record them"),
    "annotations": ("effdet_bench.annotations", "check and keep COCO annotations of the photos"),
    "reference": ("effdet_bench.reference", "compute what answers are judged against"),
    "export": ("effdet_bench.export", "export one model for an engine"),
    "roofline": ("effdet_bench.roofline", "measure a device's ceilings and bound the request"),
    "timing": ("effdet_bench.timing", "time all modes of one device and round"),
    "retry": ("effdet_bench.retry", "forget exports and timing jobs that did not complete"),
    "validity": ("effdet_bench.validity", "judge the answers of one device and mode"),
    "summary": ("effdet_bench.summary", "compute every number of a report"),
    "figures": ("effdet_bench.figures.draw", "draw the figures of the report"),
    "render": ("effdet_bench.render", "render an archive anew, from its raw data alone"),
    "archive": ("effdet_bench.archive", "write a manifest, pack an archive, or bring one in"),
    "audit": ("effdet_bench.audit", "recompute every number of an archive"),
    "compare": ("effdet_bench.compare", "compare all machines, or two runs of one"),
    "report": ("effdet_bench.report", "render the report"),
}


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
    module = import_module(STEPS[step][0])
    own = argparse.ArgumentParser(prog=f"{parser.prog} {step}", description=module.__doc__)
    module.add_arguments(own)
    try:
        module.run(own.parse_args(argv[1:]))
    except BenchError as error:
        sys.exit(f"effdet-bench {step}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
