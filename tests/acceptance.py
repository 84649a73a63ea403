"""Whether verdicts hold up, by whole runs of the workflow: python tests/acceptance.py FOLDER RUNS

Each run times `baseline`, its twin, and two engines that do 1 % and 10 % more real work per
request. A run takes minutes and wants an otherwise idle machine, so it is not part of `make test`.
Prints the verdicts and keeps every archive under FOLDER.
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


def load(models, device):
    return Slower(models, device)
'''
PLANTED = {"slower-1": 0.01, "slower-10": 0.10}


def main(folder: Path, runs: int, settings: list[str]) -> None:
    made = copy_project(folder / "project")
    modes = ["{name: baseline, engine: eager}"]
    for name, share in PLANTED.items():
        engine = name.replace("-", "_")
        (made.package / "engines" / f"{engine}.py").write_text(SLOWER.format(share=share))
        modes.append(f"{{name: {name}, engine: {engine}}}")
    made.append("smoke.yaml", f"modes: [{', '.join(modes)}]\n")
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
                width = found["half_width"]
                print(run, row["mode"], found["verdict"], f"{found['ratio']:.4f} ± {width:.1%}")
        sys.stdout.flush()
    for mode, verdicts in counts.items():
        print(mode, dict(verdicts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
