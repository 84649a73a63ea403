"""Whether verdicts hold up: python tests/acceptance.py KIND FOLDER RUNS PERCENT [SETTING …]

Each run of the workflow times `baseline`, its twin, and a third mode. With KIND `slower`, the third
mode does PERCENT more real work per request. With KIND `biased`, `baseline` sleeps for PERCENT of
each request, while its twin and the third mode do not: the third mode must not be FASTER. A SETTING
is one of config.yaml, such as rounds=8.

A run takes minutes and wants an otherwise idle machine, so it is not part of `make test`. Prints
the verdicts and keeps every archive under FOLDER.
"""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

from helpers import Workspace, copy_project

# appended to an engine: after each model, matrix products or sleep for a share of its time
SLOWER = """

import time


class Slower(Eager):
    def forward(self, index, pixels):
        self.begin = time.perf_counter()
        return super().forward(index, pixels)

    def postprocess(self, *args):
        table = super().postprocess(*args)
        end = time.perf_counter()
        matrix = torch.ones(96, 96)
        while time.perf_counter() < end + {share} * (end - self.begin):
            {work}
        return table


def load(models, device, options):
    return Slower(models, device, options)
"""


def plant(made: Workspace, kind: str, share: float) -> None:
    """Makes two engines of the eager one, in the copy `made` of the project: one takes longer."""
    work = {"slower": "matrix = matrix @ matrix / 96", "biased": "time.sleep(1e-5)"}[kind]
    engines = made.package / "engines"
    shutil.copy(engines / "eager.py", engines / "third.py")
    changed = engines / {"slower": "third.py", "biased": "eager.py"}[kind]
    changed.write_text(changed.read_text() + SLOWER.format(share=share, work=work))
    made.set("modes: [{name: baseline, engine: eager}, {name: third, engine: third}]")
    if kind == "biased":
        twin = '{"name": CONTROL}'
        made.replace("config/settings.py", twin, twin[:-1] + ', "engine": "third"}')


def main(kind: str, folder: Path, runs: int, percent: float, settings: list[str]) -> None:
    made = copy_project(folder / "project")
    plant(made, kind, percent / 100)
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
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5:])
