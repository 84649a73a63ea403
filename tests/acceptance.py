"""Whether verdicts hold up: python tests/acceptance.py FOLDER RUNS PERCENT [rounds=… requests=…]

Each run of the workflow times `baseline`, its twin, and an engine that does PERCENT more real work
per request. A run takes minutes and wants an otherwise idle machine, so it is not part of
`make test`. Prints the verdicts and keeps every archive under FOLDER.
"""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

from helpers import copy_project

# after each model, matrix products for a share of the time that its forward and postprocessing took
SLOWER = '''"""The eager engine, and {share} of its work on top."""

import time

import torch

from effdet_bench.engines.eager import Eager


class Slower(Eager):
    def forward(self, index, pixels):
        self.begin = time.perf_counter()
        return super().forward(index, pixels)

    def postprocess(self, *args):
        table = super().postprocess(*args)
        end = time.perf_counter()
        matrix = torch.ones(96, 96)
        while time.perf_counter() < end + {share} * (end - self.begin):
            matrix = matrix @ matrix / 96
        return table


def load(models, device, options):
    return Slower(models, device, options)
'''


def main(folder: Path, runs: int, percent: float, settings: list[str]) -> None:
    made = copy_project(folder / "project")
    (made.package / "engines" / "slower.py").write_text(SLOWER.format(share=percent / 100))
    modes = "{name: baseline, engine: eager}, {name: slower, engine: slower}"
    made.set(f"modes: [{modes}]")
    counts: dict[str, Counter] = {}
    for run in range(runs):
        done = made.snakemake("--config", f"seed={run}", *settings)
        if done.returncode != 0:
            sys.exit(done.stdout)
        shutil.move(made.results, folder / f"run-{run}")
        summary = json.loads((folder / f"run-{run}" / "summary.json").read_text())
        for row in summary["rows"]:
            if (found := row["comparison"]) is not None:
                counts.setdefault(row["mode"], Counter())[found["verdict"]] += 1
                speed = f"{found['ratio']:.4f} ± {found['half_width']:.1%}"
                print(run, row["mode"], row["validity"]["verdict"], found["verdict"], speed)
        sys.stdout.flush()
    for mode, verdicts in counts.items():
        print(mode, dict(verdicts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
